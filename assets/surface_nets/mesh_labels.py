"""Closed surfaces of all labels of a volume at once; neighbours share the vertices and triangles between them."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, UInt16
from numpy.typing import NDArray
from scipy import ndimage

from assets.mesh import Mesh
from assets.surface_nets.islands import Islands, without_islands
from assets.surface_nets.manifold import label_surfaces, singular
from assets.surface_nets.merging import merged
from assets.surface_nets.net import Sheets, surface_net
from assets.surface_nets.reduction import reduced
from assets.surface_nets.smoothing import smoothed, triangulated, with_volumes
from assets.transforms import apply

FINEST = 1.5e-3
"""Voxels smaller than this are merged before meshing [m]; the surfaces are coarser anyway."""

LOST = 0.15
"""Share of its volume by which merging may change a label; a thinner one is meshed by itself, of unmerged voxels."""

SMOOTHING = 20
"""Iterations of the filter."""

TOLERANCE = 0.2
"""Root mean square distance by which reducing may move the surface [voxel]."""

FEWEST = 200
"""Triangles that every label may keep."""


@dataclass(frozen=True)
class LabelMesh:
    """The surface of one label, and what it was made of."""

    surface: Mesh
    """RAS [m]; closed, normals outwards."""
    voxels: int
    """Of the label, its islands apart."""
    volume: float
    """Of those voxels [m^3]."""
    wanted: int
    """Budget of triangles."""
    islands: Islands
    """What was dropped."""
    neighbours: tuple[int, ...]
    """Labels with which it shares triangles."""
    voxel: float
    """Edge of a voxel of the net, geometric mean [m]."""


def mesh_labels(
    labels: UInt16[np.ndarray, "i j k"], T_world_index: Float64[np.ndarray, "4 4"], *, edge: float
) -> dict[int, LabelMesh]:
    """Mesh every label but 0.

    Args:
        labels: The labels.
        T_world_index: Maps voxel indices to RAS [m]; its columns are perpendicular and right-handed.
        edge: Wanted length of the triangles' edges [m]; sets each label's budget by its area.
    """
    occupied = [np.flatnonzero(labels.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not len(occupied[0]):
        return {}
    low = np.array([part[0] for part in occupied])
    high = np.array([part[-1] + 1 for part in occupied])
    crop = labels[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    shift = np.eye(4)
    shift[:3, 3] = low
    T_world_index = T_world_index @ shift
    spacing = np.linalg.norm(T_world_index[:3, :3], axis=0)
    whole, islands = without_islands(crop, float(np.prod(spacing)))
    counts = np.bincount(whole.ravel()).astype(np.float64)

    factor = np.maximum((FINEST / spacing + 1e-6).astype(int), 1)
    block = int(np.prod(factor))
    coarse, T_world_coarse = whole, T_world_index
    if block > 1:
        coarse = merged(whole, (int(factor[0]), int(factor[1]), int(factor[2])))
        T_index_block = np.diag([*factor.astype(float), 1.0])
        T_index_block[:3, 3] = (factor - 1) / 2
        T_world_coarse = T_world_index @ T_index_block
    kept = np.bincount(coarse.ravel(), minlength=len(counts)) * float(block)
    thin = np.abs(kept - counts) > LOST * counts
    thin[0] = False
    meshes = _meshed(coarse, T_world_coarse, np.where(thin, kept, counts), block, edge)
    boxes = ndimage.find_objects(whole.astype(np.int32)) if thin.any() else []
    for label in np.flatnonzero(thin).tolist():
        box = boxes[label - 1]
        shift[:3, 3] = [part.start for part in box]
        alone = np.where(whole[box] == label, whole[box], 0).astype(np.uint16)
        meshes |= {label: _meshed(alone, T_world_index @ shift, counts, 1, edge)[label]}
    return {label: replace(meshes[label], islands=islands.get(label, Islands(0, 0))) for label in sorted(meshes)}


def _meshed(
    labels: NDArray[np.uint16],
    T_world_index: NDArray[np.float64],
    counts: NDArray[np.float64],
    block: int,
    edge: float,
) -> dict[int, LabelMesh]:
    """Mesh the labels to the volumes of so many voxels, of which a block makes one voxel here."""
    scale = np.linalg.norm(T_world_index[:3, :3], axis=0)
    voxel = float(np.prod(scale) ** (1 / 3))
    if not labels.any():
        return {}
    wanted = counts / block
    net = smoothed(surface_net(labels), SMOOTHING)
    sheets = triangulated(net, scale)
    points = with_volumes(net.points, sheets, wanted, 6)
    budget = np.maximum(_areas(points * scale, sheets, len(wanted)) / (edge**2 * np.sqrt(3) / 4), FEWEST)
    locked = singular(len(points), sheets)
    sheets = reduced(points * scale, sheets, budget, locked, TOLERANCE * voxel)
    points = with_volumes(points, sheets, wanted, 4)
    pairs = np.unique(np.sort(sheets.sides, axis=1), axis=0)
    return {
        label: LabelMesh(
            Mesh(apply(T_world_index, corners).astype(np.float32), faces),
            round(float(counts[label])),
            float(wanted[label]) * voxel**3,
            int(budget[label]),
            Islands(0, 0),
            tuple(int(pair.sum() - label) for pair in pairs if label in pair and pair[0] > 0),
            voxel,
        )
        for label, (corners, faces) in label_surfaces(points, sheets).items()
    }


def _areas(points: NDArray[np.float64], sheets: Sheets, size: int) -> NDArray[np.float64]:
    """Return the area of each label's surface, shape (size,), in the unit of the points, squared."""
    corners = points[sheets.triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    return np.asarray(
        np.bincount(sheets.sides[:, 0], weights=area, minlength=size)
        + np.bincount(sheets.sides[:, 1], weights=area, minlength=size)
    )
