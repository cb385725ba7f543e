"""A soft organ of a scene as plain values and arrays, cuts included, and back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from sim.laparoscopy.soft_organ import SoftOrgan
from sim.soft.body import SoftBody
from sim.soft.embedding import Binding
from sim.soft.grasp import Grasp
from sim.soft.state import SoftState

Arrays = Mapping[str, NDArray[Any]]
_GRASP = ("nodes", "T_world_jaw", "anchors", "slipped", "held")
_MESH = ("nodes", "tets", "cut_faces")
_ORGAN = ("fixed", "tied", "stiffness")
_SEEN = ("rest", "triangles", "tet", "shares")


def pack_organ(organ: SoftOrgan, body: SoftBody, seen: Binding) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the state of an organ as JSON values, and arrays under names that begin with its own."""
    state = body.save_state()
    arrays: dict[str, NDArray[Any]] = dict(state.arrays)
    arrays |= {f"tool/{key}": values for key, values in state.tools.items()}
    for index, grasp in enumerate(state.grasps):
        arrays |= {f"grasp{index}/{key}": np.array(getattr(grasp, key)) for key in _GRASP}
    plain: dict[str, Any] = {
        "grasps": [[grasp.stiffness, grasp.limit, grasp.reach] for grasp in state.grasps],
        "tied_to": None,
    }
    if len(state.mesh.cut_faces):
        plain["tied_to"] = list(organ.tied_to)
        arrays |= {f"mesh/{key}": getattr(state.mesh, key) for key in _MESH}
        arrays |= {f"organ/{key}": getattr(organ, key) for key in _ORGAN}
        arrays |= {f"seen/{key}": getattr(seen, key) for key in _SEEN}
    return plain, {f"{organ.name}/{key}": values for key, values in arrays.items()}


def unpack_organ(
    whole: SoftOrgan, body: SoftBody, time: float, plain: Mapping[str, Any], arrays: Arrays
) -> tuple[SoftState, SoftOrgan, Binding | None]:
    """Return the body's state, the organ, and where its surface is bound; None for that of the whole organ.

    Args:
        whole: The organ before any cut.
        body: Its body, in any state.
        time: Of the state [s].
        plain: The organ's, from `pack_organ`.
        arrays: All that were packed.

    Raises:
        InputError: Shapes or numbers are not those of this organ.
        KeyError: Something is missing.
        ValueError: The cut mesh is damaged.
    """
    name, now = whole.name, body.save_state()
    mesh, organ, seen = whole.mesh, whole, None
    if plain["tied_to"] is not None:
        nodes, tets, cut_faces = (arrays[f"{name}/mesh/{key}"].copy() for key in _MESH)
        mesh = replace(whole.mesh, nodes=nodes, tets=tets, cut_faces=cut_faces)
        fixed, tied, stiffness = (arrays[f"{name}/organ/{key}"].copy() for key in _ORGAN)
        held_by = tuple(plain["tied_to"])
        organ = replace(whole, mesh=mesh, fixed=fixed, tied=tied, stiffness=stiffness, tied_to=held_by)
        bound = {key: arrays[f"{name}/seen/{key}"].copy() for key in _SEEN}
        seen = Binding(**bound, uncut=len(whole.surface.vertices))
        _check(name, "corners", mesh.tets, whole.mesh.tets.shape, len(mesh.nodes))
        _check(name, "cut faces", mesh.cut_faces, mesh.cut_faces.shape, 4 * len(mesh.tets))
        _check(name, "held nodes", np.concatenate([organ.fixed, organ.tied]), (-1,), len(mesh.nodes))
        _check(name, "seen corners", seen.triangles, (len(seen.triangles), 3), len(seen.rest))
        _check(name, "seen elements", seen.tet, (len(seen.rest),), len(mesh.tets))

    def like(key: str, values: NDArray[Any], rows: int) -> NDArray[Any]:
        found, shape = arrays[f"{name}/{key}"], (rows, *values.shape[1:])
        if found.shape != shape or found.dtype != values.dtype or not np.isfinite(found).all():
            raise InputError(
                f"saved state of {name}: expected finite {key} of {values.dtype} {shape}, "
                f"found {found.dtype} {found.shape}"
            )
        return found.copy()

    points = len(now.tools["pressed"]) // len(now.mesh.surface) * len(mesh.surface)
    state = SoftState(
        uncut=now.uncut,
        mesh=mesh,
        time=time,
        arrays={key: like(key, values, len(mesh.nodes)) for key, values in now.arrays.items()},
        tools={
            key: like(f"tool/{key}", values, points if key == "pressed" else len(values))
            for key, values in now.tools.items()
        },
        grasps=tuple(
            _grasp(name, len(mesh.nodes), {key: arrays[f"{name}/grasp{index}/{key}"].copy() for key in _GRASP}, numbers)
            for index, numbers in enumerate(plain["grasps"])
        ),
    )
    return state, organ, seen


def _check(name: str, what: str, found: NDArray[Any], shape: tuple[int, ...], count: int) -> None:
    """Refuse indices of another shape (-1: of any length) or not below `count`."""
    fits = found.shape == shape or (shape == (-1,) and found.ndim == 1)
    if not fits or found.dtype.kind != "i" or (found.size and not 0 <= found.min() <= found.max() < count):
        raise InputError(f"saved state of {name}: expected {what} below {count}, shape {shape}, found {found.shape}")


def _grasp(name: str, nodes: int, part: dict[str, NDArray[Any]], numbers: list[float]) -> Grasp:
    count = len(part["nodes"])
    if part["anchors"].shape != (count, 3) or not (part["nodes"] >= 0).all() or count == 0:
        raise InputError(f"saved state of {name}: expected a grasp of nodes, found {part['anchors'].shape}")
    if part["nodes"].max() >= nodes:
        raise InputError(f"saved state of {name}: expected nodes of this mesh, found {part['nodes'].max()}")
    stiffness, limit, reach = numbers
    return Grasp(stiffness=stiffness, limit=limit, reach=reach, **part)
