"""Smooth a net within its cells, and give each label back the volume of its voxels."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from assets.surface_nets.net import Net, Sheets, averaging

PASS_BAND = 0.1
"""Of the filter: shapes longer than some ten voxels stay (Taubin, SIGGRAPH 1995, doi:10.1145/218380.218473)."""

SHRINK = 0.5
"""Step of the filter's first half."""

REACH = 0.45
"""How far a vertex may leave the middle of its cell along each axis [voxel]; below a half two vertices never meet."""

LARGEST_STEP = 0.2
"""Most by which a boundary moves in one step of the volumes' correction [voxel]."""


def smoothed(net: Net, iterations: int) -> Net:
    """Smooth without shrinking; no vertex leaves its cell, so every voxel's centre stays on its side, or nearly so."""
    average = averaging(net.quads, len(net.points))
    grow = 1.0 / (PASS_BAND - 1.0 / SHRINK)
    points = net.points
    for _ in range(iterations):
        for factor in (SHRINK, grow):
            points = points + factor * (average @ points - points)
            points = np.clip(points, net.centres - REACH, net.centres + REACH)
    return replace(net, points=points)


def triangulated(net: Net, scale: Float64[np.ndarray, "3"]) -> Sheets:
    """Cut each quadrilateral along its shorter diagonal; both sides get the same two triangles.

    Args:
        net: The net.
        scale: Size of a voxel along each axis, of any unit.
    """
    a, b, c, d = (net.points[net.quads[:, n]] * scale for n in range(4))
    first = ((a - c) ** 2).sum(axis=1) <= ((b - d) ** 2).sum(axis=1)
    one = np.where(first[:, None], net.quads[:, [0, 1, 2]], net.quads[:, [0, 1, 3]])
    two = np.where(first[:, None], net.quads[:, [0, 2, 3]], net.quads[:, [1, 2, 3]])
    triangles = np.stack([one, two], axis=1).reshape(-1, 3)
    return Sheets(triangles, np.repeat(net.sides, 2, axis=0), np.repeat(net.voxels, 2, axis=0))


def with_volumes(
    points: Float64[np.ndarray, "v 3"], sheets: Sheets, wanted: Float64[np.ndarray, "n"], iterations: int
) -> NDArray[np.float64]:
    """Move the boundaries along their normals until each label has its volume; return the vertices, shape (v, 3).

    Each label gets a pressure; a boundary moves from the higher to the lower one by their difference, so both sides
    stay together. The pressures that give the volumes solve one small linear system (a graph Laplacian weighted by
    areas).

    Args:
        points: Vertices [voxel].
        sheets: The boundaries.
        wanted: Volume by label [voxel]; index 0, the background, is not looked at.
        iterations: Steps; the system is solved anew in each.
    """
    triangles, sides, size = sheets.triangles, sheets.sides, len(wanted)
    for _ in range(iterations):
        corners = points[triangles]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
        error = wanted - label_volumes(corners, sides, size)
        area = np.linalg.norm(normal, axis=1)
        between = np.bincount(sides[:, 0] * size + sides[:, 1], weights=area, minlength=size * size).reshape(size, size)
        between = between + between.T
        laplacian = np.diag(between.sum(axis=1)) - between
        present = np.flatnonzero(between.sum(axis=1)[1:]) + 1
        pressure = np.zeros(size)
        pressure[present] = np.linalg.lstsq(laplacian[np.ix_(present, present)], error[present], rcond=None)[0]
        pressure = np.clip(pressure, -LARGEST_STEP, LARGEST_STEP)
        push = (pressure[sides[:, 0]] - pressure[sides[:, 1]])[:, None] * normal
        move, weight = np.zeros_like(points), np.zeros(len(points))
        for corner in range(3):
            weight += np.bincount(triangles[:, corner], weights=area, minlength=len(points))
            for axis in range(3):
                move[:, axis] += np.bincount(triangles[:, corner], weights=push[:, axis], minlength=len(points))
        points = points + move / np.maximum(weight, 1e-12)[:, None]
    return points


def label_volumes(corners: Float64[np.ndarray, "t 3 3"], sides: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Return the volume that the triangles enclose, by label, shape (size,), in the unit of the corners, cubed."""
    a, b, c = (corners[:, n] for n in range(3))
    part = np.einsum("ij,ij->i", a, np.cross(b, c)) / 6
    return np.asarray(
        np.bincount(sides[:, 0], weights=part, minlength=size) - np.bincount(sides[:, 1], weights=part, minlength=size)
    )
