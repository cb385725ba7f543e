"""What of a patient the renderer gets."""

import numpy as np

from assets.labels import label_id
from assets.mesh import Mesh
from assets.patient import Organ, Patient
from sim.scene_objects import objects_of

TETRAHEDRON = Mesh(
    np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32) / 100,
    np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32),
)


def test_order_labels_and_materials():
    organs = (
        Organ("polyp_01", "polyp", "solid", "polyp", TETRAHEDRON),
        Organ("colon_outside", "colon_wall", "wall", "hollow_organ", TETRAHEDRON),
        Organ("colon_lumen", "colon_wall", "lumen", "colon_mucosa", TETRAHEDRON),
        Organ("liver", "liver", "solid", "liver", TETRAHEDRON),
        Organ("bladder", "urinary_bladder", "wall", "hollow_organ", TETRAHEDRON),
    )
    objects = objects_of(Patient("test", "test", "CC0", organs))
    # The outer wall of the colon is hidden behind its lumen; the bladder has none, so its outside is all there is.
    assert [item.name for item in objects] == ["polyp_01", "colon_lumen", "liver", "bladder"]
    assert [item.kind for item in objects] == ["solid", "lumen", "solid", "wall"]
    assert [item.label_id for item in objects] == [
        label_id(name) for name in ("polyp", "colon_wall", "liver", "urinary_bladder")
    ]
    assert [item.material.name for item in objects] == ["polyp", "colon_mucosa", "liver", "hollow_organ"]
    assert objects[0].mesh is TETRAHEDRON
