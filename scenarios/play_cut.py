"""The scripted cut: a blade is drawn along a curve over a block of liver, and its lips are pulled apart."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from assets.transforms import compose, look_along
from sim.exposure import AutoExposure
from sim.instruments.laparoscope import laparoscope_camera, laparoscope_light
from sim.laparoscopy.parting import cut_name, no_cut
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject
from sim.soft.body import SoftBody
from sim.soft.cut_surface import cut_surface, laid_open
from sim.soft.cutters import Edge
from sim.soft.embedding import EmbeddedSurface
from sim.soft.tet_mesh import TetMesh, tet_mesh
from sim.soft.tet_shapes import box

FRAME = 1 / 30
"""Of the pictures [s]; the tissue takes two steps in each."""
_SIZE, _CELLS = (0.09, 0.03, 0.07), (18, 6, 14)  # [m]; cells of 5 mm
_DEPTH = 0.013  # [m] that the blade goes in
_CUT, _PULL, _HOLD = 30, 24, 6  # pictures
PICTURES = _CUT + _PULL + _HOLD
"""Of the whole scene."""
_LIPS = (0.003, 0.009)  # [m] beside the cut
_FORCE = 0.9  # [N] on each lip
_EYE = np.array([0.0, 0.055, 0.055])  # of the laparoscope [m]


def way(share: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where the blade is above the block after a share of its way [m], shape (..., 3)."""
    x = 0.026 * (2 * np.asarray(share, np.float64) - 1)
    return np.stack([x, np.zeros_like(x), 0.007 * np.sin(x / 0.026 * np.pi / 1.5)], axis=-1)


def block() -> TetMesh:
    """Return a block of liver; its top is the plane y = 0, with its middle at the origin."""
    nodes, tets = box(_SIZE, _CELLS)
    return tet_mesh(np.asarray(nodes) - [_SIZE[0] / 2, _SIZE[1], _SIZE[2] / 2], tets, "liver", name="block")


def finer(mesh: TetMesh) -> Mesh:
    """Return the outside of tetrahedra with each triangle in four."""
    corners = mesh.nodes[mesh.surface]
    middles = (corners + np.roll(corners, -1, axis=1)) / 2
    (a, b, c), (p, q, r) = corners.transpose(1, 0, 2), middles.transpose(1, 0, 2)
    parts = np.concatenate([np.stack(part, axis=1) for part in ((a, p, r), (p, b, q), (r, q, c), (p, q, r))])
    points, index = np.unique(np.round(parts.reshape(-1, 3), 9), axis=0, return_inverse=True)
    return Mesh(points.astype(np.float32), index.reshape(-1, 3).astype(np.int32))


def cut_block(size: tuple[int, int], seed: int, threads: int) -> Iterator[tuple[NDArray[np.uint8], dict[str, Any]]]:
    """Cut the block and open the cut; yield picture and record of every moment.

    Args:
        size: Width and height of the pictures [px].
        seed: Of the sensor noise.
        threads: Of the renderer.
    """
    mesh = block()
    body = SoftBody(mesh, name="block")
    body.fix(mesh.nodes[:, 1] < 1e-9 - _SIZE[1])
    body.equilibrate()
    skin, opened = EmbeddedSurface(finer(mesh), body), None
    materials = load_materials()
    objects = [
        SceneObject("liver", skin.mesh(), label_id("liver"), materials["liver"], "solid"),
        SceneObject(cut_name("liver"), no_cut(skin.mesh()), label_id("cut_tissue"), materials["cut_tissue"], "solid"),
    ]
    pose = look_along(-_EYE - np.array([0.0, 0.006, 0.0]), np.array([0.0, 1.0, 0.0]), _EYE)
    exposure, noise, volume = AutoExposure(), np.random.default_rng(seed), mesh.volumes.sum()
    blade = Edge(np.array([[0.0, 0.02, 0.0], [0.0, -_DEPTH, 0.0]]), _tool(0.0))
    with Renderer(objects, laparoscope_camera(*size), threads=threads) as renderer:
        for picture in range(PICTURES):
            cuts = []
            if picture < _CUT:
                cuts = list(blade.move(body, _tool((picture + 1) / _CUT)))
            else:
                _pull(body, min((picture + 1 - _CUT) / _PULL, 1.0))
            for _ in range(2):
                body.step(FRAME / 2)
            if cuts:
                skin = cut_surface(skin, cuts)
                opened = laid_open(body, skin)
                renderer.scene.replace_mesh("liver", skin.mesh(), rest=skin.rest)
                if opened is not None:
                    renderer.scene.replace_mesh(cut_name("liver"), opened.mesh(), rest=opened.rest)
            else:
                renderer.scene.deform("liver", skin.update()[0])
                if opened is not None:
                    renderer.scene.deform(cut_name("liver"), opened.update()[0])
            frame = None
            for _ in range(6 if picture == 0 else 1):
                frame = renderer.render(
                    pose, exposure=exposure.gain, light=laparoscope_light(), seed=int(noise.integers(2**31))
                )
                exposure.update(renderer.metered, 1.0 if picture == 0 else FRAME)
            assert frame is not None
            yield (
                frame.rgb,
                {
                    "time": round(body.time, 6),
                    "phase": "cut" if picture < _CUT else "pull",
                    "cut_faces": len(body.mesh.cut_faces),
                    "longest_skin_edge": _longest(skin.update()[0], skin.triangles),
                    "volume": float(body.mesh.volumes.sum() / volume),
                },
            )


def _longest(vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> float:
    """Return the longest edge of triangles [m]."""
    corners = vertices[triangles].astype(np.float64)
    return float(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max())


def _tool(share: float) -> Float[np.ndarray, "4 4"]:
    return compose(np.eye(3), way(share))


def _pull(body: SoftBody, share: float) -> None:
    """Pull at both lips with a share of the force."""
    rest, top = body.mesh.nodes, np.unique(body.mesh.surface[~body.mesh.surface_is_cut])
    line = way(np.linspace(0.15, 0.85, 60))
    away = rest[top, None] - line[None]
    nearest = np.linalg.norm(away, axis=2).argmin(axis=1)
    beside = away[np.arange(len(top)), nearest]
    distance = np.linalg.norm(beside, axis=1)
    lips = (rest[top, 1] > -1e-6) & (distance > _LIPS[0]) & (distance < _LIPS[1])
    for sign in (-1.0, 1.0):
        nodes = top[lips & (sign * beside[:, 2] > 0)]
        force = np.array([0.0, 0.3, sign]) / np.hypot(0.3, 1.0) * _FORCE * share / max(1, len(nodes))
        body.load(nodes, np.tile(force, (len(nodes), 1)))
