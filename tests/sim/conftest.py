"""Lumens of known shape, as patients."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from assets.mesh import Mesh
from assets.patient import Centreline, Organ, Orifice, Patient
from assets.transforms import parallel_frames, unit

RING = 48
TubePatient = Callable[..., Patient]


def _path(straight: float, radius: float, angle: float, after: float) -> NDArray[np.float64]:
    """Run along z, then round a bend towards +y, then straight on; points 2 mm apart."""
    first = np.arange(0.0, straight, 0.002)
    turn = np.arange(0.0, angle, 0.002 / radius) if angle else np.zeros(0)
    last = np.arange(0.0, after, 0.002)[:, None]
    end = np.array([0.0, radius * (1 - np.cos(angle)), straight + radius * np.sin(angle)])
    return np.concatenate(
        [
            np.stack([0 * first, 0 * first, first], axis=1),
            np.stack([0 * turn, radius * (1 - np.cos(turn)), straight + radius * np.sin(turn)], axis=1),
            end + last * np.array([0.0, np.sin(angle), np.cos(angle)]),
        ]
    )


def _tube(points: NDArray[np.float64], radius: NDArray[np.float64]) -> Mesh:
    """Close a tube about points by a flat disc at each end; normals outwards."""
    tangents = unit(np.gradient(points, axis=0))
    frames = parallel_frames(tangents, np.array([1.0, 0.0, 0.0]))
    angle = np.linspace(0, 2 * np.pi, RING, endpoint=False)
    outward = (
        np.cos(angle)[None, :, None] * frames[:, None, :, 0] + np.sin(angle)[None, :, None] * frames[:, None, :, 1]
    )
    rings = points[:, None] + radius[:, None, None] * outward
    corner = np.arange(len(points) * RING).reshape(len(points), RING)
    a, b = corner[:-1], np.roll(corner, -1, axis=1)[:-1]
    c, d = corner[1:], np.roll(corner, -1, axis=1)[1:]
    first, last = len(points) * RING, len(points) * RING + 1
    triangles = [
        np.stack([a, b, c], axis=-1).reshape(-1, 3),
        np.stack([b, d, c], axis=-1).reshape(-1, 3),
        np.stack([np.full(RING, first), np.roll(corner[0], -1), corner[0]], axis=-1),
        np.stack([np.full(RING, last), corner[-1], np.roll(corner[-1], -1)], axis=-1),
    ]
    vertices = np.concatenate([rings.reshape(-1, 3), points[:1], points[-1:]])
    return Mesh(vertices.astype(np.float32), np.concatenate(triangles).astype(np.int32))


@pytest.fixture(scope="session")
def tube_patient() -> TubePatient:
    """A factory of colons: straight, then a bend, then straight; with or without ring-shaped folds and solids."""

    def make(
        *,
        radius: float = 0.02,
        straight: float = 0.2,
        bend_radius: float = 0.05,
        angle: float = 0.0,
        after: float = 0.1,
        fold: float = 0.0,
        solids: tuple[Mesh, ...] = (),
    ) -> Patient:
        points = _path(straight, bend_radius, angle, after)
        arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        from_fold = (arc + 0.015) % 0.03 - 0.015
        radii = radius - fold * np.exp(-((from_fold / 0.003) ** 2)) * (arc > 0.04)
        organs = (
            Organ("colon_lumen", "colon_wall", "lumen", "colon_mucosa", _tube(points, radii)),
            *(Organ(f"polyp_{i:02d}", "polyp", "solid", "polyp", mesh) for i, mesh in enumerate(solids, 1)),
        )
        return Patient(
            name="tube",
            source="test",
            licence="none",
            organs=organs,
            centrelines=(Centreline("colon", points, radii),),
            landmarks={"anus": points[0], "caecum": points[-1]},
            orifices=(Orifice("anus", "colon_lumen", points[0], np.array([0.0, 0.0, 1.0]), 0.9 * radius),),
        )

    return make
