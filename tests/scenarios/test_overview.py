from dataclasses import replace

import cv2
import numpy as np
import trimesh

from assets.mesh import Mesh
from assets.patient import Organ, Patient
from scenarios.overview import overview


def ball(name, centre, *, kind="solid", label="liver"):
    solid = trimesh.creation.icosphere(2, radius=0.05).apply_translation(centre)
    mesh = Mesh(np.asarray(solid.vertices, np.float32), np.asarray(solid.faces, np.int32))
    return Organ(name, label, kind, "liver", mesh)


def picture(patient):
    return cv2.imdecode(np.frombuffer(overview(patient), np.uint8), cv2.IMREAD_COLOR_RGB)


def lit(view):
    """Columns and rows of what is lit below the caption."""
    rows, columns = np.nonzero(view[40:].max(axis=2) > 40)
    return columns, rows + 40


def test_each_side_shows_what_lies_where():
    # One ball on the patient's right, the other on the left and higher.
    patient = Patient("p", "test", "none", (ball("a", [0.1, 0, 0]), ball("b", [-0.1, 0.0, 0.1])))
    sheet = picture(patient)
    front, left = sheet[:480, :480], sheet[:480, 484:964]
    columns, rows = lit(front)
    # Seen from the front the patient's right is on the left of the picture, and lower here.
    assert rows[columns < 200].mean() > rows[columns > 280].mean() + 80
    columns, _ = lit(left)
    assert 200 < columns.mean() < 280  # one behind the other


def test_what_hides_the_rest_is_left_out_unless_it_is_all_there_is():
    inner = ball("a", [0.0, 0.0, 0.0])
    outer = replace(ball("w", [0.0, 0.0, 0.0], label="abdominal_wall"), name="w")
    big = replace(outer, surface=Mesh(outer.surface.vertices * np.float32(3), outer.surface.triangles))
    np.testing.assert_array_equal(
        picture(Patient("p", "t", "n", (inner, big))), picture(Patient("p", "t", "n", (inner,)))
    )
    assert lit(picture(Patient("p", "t", "n", (big,)))[:480, :480])[0].size > 1000


def test_a_patient_of_nothing_is_a_blank_sheet():
    assert (picture(Patient("p", "t", "n", ())) == 255).all()
