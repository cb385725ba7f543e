"""What is seen of a wall that gives way: its own surface, and what stands on it goes along."""

from collections.abc import Sequence

import numpy as np

from assets.errors import InputError
from assets.materials import load_materials
from assets.patient import Patient
from sim.control_step import CONTROL_STEP
from sim.passage import Passage
from sim.render.scene import RenderScene
from sim.scene_objects import SceneObject
from sim.soft_wall.soft_wall import SoftWall
from sim.wall_distance import WallDistance, lumen_of


def soft_wall_of(patient: Patient, passage: Passage, rest: WallDistance) -> SoftWall:
    """Return the wall of the lumen that the passage names, made of what its material says.

    Raises:
        InputError: The material says nothing of a wall.
    """
    name, surface = lumen_of(patient, passage.lumen)
    material = load_materials()[next(organ.material for organ in patient.organs if organ.name == name)]
    if material.wall is None:
        known = ", ".join(one.name for one in load_materials().values() if one.wall is not None)
        raise InputError(f"soft wall: expected a material with a wall ({known}), found {material.name} of {name}")
    return SoftWall(surface, rest, material.wall, material.mechanical, (passage.orifice,), dt=CONTROL_STEP)


def draw_wall(wall: SoftWall, lumen: str, objects: Sequence[SceneObject], scene: RenderScene) -> None:
    """Give the scene the wall as it is now; every other object moves with the wall nearest to its middle.

    Args:
        wall: The wall.
        lumen: Name of the object that is it.
        objects: Of the scene.
        scene: What is rendered.
    """
    scene.deform(lumen, wall.vertices)
    others = [item for item in objects if item.name != lumen]
    if not others:
        return
    shifts = wall.shift(np.stack([item.mesh.vertices.mean(axis=0) for item in others]))
    for item, shift in zip(others, shifts, strict=True):
        pose = np.eye(4)
        pose[:3, 3] = shift
        scene.move(item.name, pose)
