"""Put a patient's organs and the instruments into a physics world, and list them for the renderer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assets.errors import InputError
from assets.labels import label_id
from assets.materials import load_materials
from assets.patient import Patient
from sim.instruments.instrument import Instrument
from sim.laparoscopy.placement import Placement, start_joints
from sim.laparoscopy.trocars import Trocar, operative_field, trocar, wall_ports
from sim.scene_objects import SceneObject
from sim.wall_building import drop_orifices
from sim.world import BulletWorld

CLEARANCE = 0.016
"""Room that is left around the tip of an instrument at the start [m]."""
_STEP = 0.001  # [m] in which the way in is searched
_DEEPEST = 0.5  # of the way to the operative field, at the start
_OPENING = 0.045
"""Radius around a port in which the wall gives way to shafts, so that it does not touch them [m]. Triangles go whole,
by their middle, so that coarse ones reach in: in `synth:abdomen:900` the nearest that are left are 34 to 40 mm away."""
_FIT = 0.0012  # [m]; a trocar takes instruments up to this much thicker than its radius says


@dataclass(frozen=True)
class Anatomy:
    """The organs in a physics world."""

    bodies: dict[str, int]
    """The body of each organ that instruments can touch."""
    names: dict[int, str]
    """The organ of each body."""


def add_anatomy(world: BulletWorld, patient: Patient, soft: Sequence[str] = ()) -> Anatomy:
    """Put the organs into the world; soft ones are left out, and the wall is open at its trocar sites."""
    openings = tuple(replace(port, radius=max(_OPENING, port.radius)) for port in wall_ports(patient).values())
    bodies = {}
    for organ in patient.organs:
        if organ.name in soft or organ.kind == "wall":
            continue
        surface = organ.surface
        if organ.label == "abdominal_wall":
            surface = drop_orifices(surface, openings)
        bodies[organ.name] = world.add_anatomy(surface)
    return Anatomy(bodies, {body: name for name, body in bodies.items()})


def add_instruments(
    world: BulletWorld, patient: Patient, placements: Sequence[Placement]
) -> tuple[list[Instrument], dict[str, Trocar]]:
    """Put the instruments into the world, each in its trocar.

    Returns:
        The instruments in their order, and their trocars by the instruments' names.

    Raises:
        InputError: A port is not there, or an instrument is too thick for it.
    """
    trocars = {placement.key: trocar(patient, placement.port) for placement in placements}
    organs = [organ.surface.vertices for organ in patient.organs if organ.label != "abdominal_wall"]
    tree = cKDTree(np.concatenate(organs)) if organs else None
    field = operative_field(patient)
    instruments = []
    for placement in placements:
        port = trocars[placement.key]
        thickest = max(ball.radius for part in placement.device.parts for ball in part.balls)
        if thickest > port.radius + _FIT:
            raise InputError(
                f"{patient.name}: expected an instrument of at most {2000 * port.radius:.0f} mm in {port.name}, "
                f"found {placement.key} of {2000 * thickest:.0f} mm"
            )
        depth = placement.insertion if placement.insertion is not None else _way_in(port, field, tree)
        joints = start_joints(placement.device, depth, placement.roll)
        instruments.append(
            Instrument(
                world,
                placement.device,
                port.T_world_port,
                name=placement.key,
                joints=joints,
                latency=placement.latency,
            )
        )
    return instruments, trocars


def _way_in(port: Trocar, field: NDArray[np.float64], tree: cKDTree | None) -> float:
    """Return how deep a tip may go along the trocar's axis before it comes near an organ [m]."""
    whole = float(np.linalg.norm(field - port.T_world_port[:3, 3]))
    depths = np.arange(0.0, _DEEPEST * whole, _STEP)
    if tree is None:
        return float(depths[-1])
    ways = port.T_world_port[:3, 3] - depths[:, None] * port.T_world_port[:3, 2]
    close = np.flatnonzero(tree.query(ways)[0] < CLEARANCE)
    return float(depths[close[0]] if len(close) else depths[-1])


def part_name(instrument: str, part: str) -> str:
    """Return the scene's name of an instrument's part."""
    return f"{instrument}/{part}"


def instrument_objects(placements: Sequence[Placement], camera: str) -> tuple[SceneObject, ...]:
    """Return the parts of all instruments but the one that watches, each mesh in the part's own axes."""
    materials = load_materials()
    return tuple(
        SceneObject(
            part_name(placement.key, part.name),
            part.mesh,
            label_id(placement.device.label),
            materials[part.material],
            "solid",
            thing=placement.key,
        )
        for placement in placements
        if placement.key != camera
        for part in placement.device.parts
    )
