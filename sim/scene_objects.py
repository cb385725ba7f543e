"""What the renderer sees of a patient: named triangle meshes with a label and a material each."""

from collections.abc import Sequence
from dataclasses import dataclass

from assets.labels import label_id
from assets.materials import Material, load_materials
from assets.mesh import Mesh
from assets.patient import Kind, Patient


@dataclass(frozen=True)
class SceneObject:
    """One thing in the scene, or one part of a thing; its part id is 1 + its index in the scene."""

    name: str
    mesh: Mesh
    """Surface, world frame [m]; its normals point out of what it encloses."""
    label_id: int
    """Id in `assets/labels.csv`."""
    material: Material
    kind: Kind
    """A lumen is seen from inside only, everything else from outside only."""
    thing: str | None = None
    """The thing that it is a part of, such as an instrument: all its parts have one instance id. None: it is a thing of
    its own."""


def things_of(objects: Sequence[SceneObject]) -> list[int]:
    """Return the instance id of each object: 1 + the place of its thing in the order in which things first appear."""
    numbers: dict[tuple[str, int | str], int] = {}
    keys = [("alone", index) if item.thing is None else ("thing", item.thing) for index, item in enumerate(objects)]
    return [numbers.setdefault(key, 1 + len(numbers)) for key in keys]


def objects_of(patient: Patient) -> tuple[SceneObject, ...]:
    """Return the patient's lumens and solids in the order of its organs.

    The outer wall of a hollow organ is left out where its lumen is there: a camera inside the lumen cannot see it.
    """
    materials = load_materials()
    lumens = {organ.label for organ in patient.organs if organ.kind == "lumen"}
    return tuple(
        SceneObject(organ.name, organ.surface, label_id(organ.label), materials[organ.material], organ.kind)
        for organ in patient.organs
        if organ.kind != "wall" or organ.label not in lumens
    )
