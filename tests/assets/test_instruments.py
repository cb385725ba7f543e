"""Instruments as data: closed shapes in sensible places, labels and materials that exist, limits with sources."""

from dataclasses import replace

import numpy as np
import pytest

from assets.errors import InputError
from assets.instruments.arm import Joint
from assets.instruments.device import Part
from assets.instruments.dvrk import PSM
from assets.instruments.hand_held import grasper, hook, laparoscope, scissors, suction
from assets.instruments.robot_held import ecm_laparoscope, psm_grasper, psm_scissors
from assets.instruments.shapes import TOOTH_PITCH, grasper_jaw
from assets.instruments.solids import bar, bent_wire, joined, moved, turned
from assets.labels import load_labels
from assets.materials import load_materials
from assets.mesh_check import check_mesh, winding_number
from assets.transforms import apply, compose

MAKERS = {
    "laparoscope_0": laparoscope,
    "laparoscope_30": lambda: laparoscope(30.0),
    "grasper": grasper,
    "scissors": scissors,
    "hook": hook,
    "suction": suction,
    "psm_grasper": psm_grasper,
    "psm_scissors": psm_scissors,
    "ecm_laparoscope_30": lambda: ecm_laparoscope(30.0),
}


@pytest.fixture(params=MAKERS, scope="module")
def device(request):
    made = MAKERS[request.param]()
    assert made.name == request.param
    return made


def test_every_part_is_closed_with_outward_normals(device):
    for part in device.parts:
        report = check_mesh(part.mesh)
        assert report.problems == (), part.name
        assert report.genus == 0
        assert report.volume > 0


def test_label_materials_and_links_exist(device):
    assert load_labels()[device.label].group == "instrument"
    assert {part.material for part in device.parts} <= set(load_materials())
    assert {part.link for part in device.parts} <= set(device.links)
    assert "tip" in {name for name, _, _ in device.key_points}


def test_the_spheres_that_collide_stay_within_the_shape(device):
    for part in device.parts:
        low, high = part.mesh.vertices.min(axis=0), part.mesh.vertices.max(axis=0)
        for ball in part.balls:
            assert (np.array(ball.centre) - ball.radius >= low - 1e-3).all(), part.name
            assert (np.array(ball.centre) + ball.radius <= high + 1e-3).all(), part.name
            assert ball.centre[2] + ball.radius <= high[2] + 1e-6, part.name


def test_the_tip_is_where_the_shape_ends(device):
    """The foremost point of the instrument at rest lies at the tip, which the kinematics bring to its place."""
    places = {name: (link, np.array(place)) for name, link, place in device.key_points}
    if device.jaw is None:
        link = device.arm.joints[-1].name
        tip = device.arm.T_last_tip[:3, 3]
        points = np.concatenate(
            [apply(part.T_link_part, part.mesh.vertices.astype(float)) for part in device.parts if part.link == link]
        )
        along = (points - tip) @ device.arm.T_last_tip[:3, 2]
        slant = 0.006 * np.tan(device.head.view_angle) if device.head else 0.0
        assert -1e-4 <= along.max() <= slant + 1e-4
    else:
        for side in ("left", "right"):
            link, place = places[f"jaw_{side}_tip"]
            jaw = next(part for part in device.parts if part.link == link)
            assert jaw.mesh.vertices[:, 2].max() == pytest.approx(place[2], abs=1e-6)
            assert place[2] == pytest.approx(device.jaw.length)


def test_closed_jaws_meet_without_running_through_each_other():
    jaw = grasper_jaw(0.02, 0.0046)
    ahead = jaw.vertices[jaw.vertices[:, 2] > 0.004]
    assert ahead[:, 1].min() == pytest.approx(0.0, abs=1e-6)
    teeth = np.unique(ahead[np.abs(ahead[:, 1]) < 1e-6][:, 2])
    assert np.diff(teeth).max() < 1.6 * TOOTH_PITCH
    assert len(teeth) > 10


def test_scissors_blades_slide_side_by_side():
    left, right = (part.mesh for part in scissors().parts if part.name.startswith("jaw"))
    probe = moved(right, compose(np.eye(3), np.zeros(3))).vertices[::7].astype(np.float64)
    assert winding_number(left, probe).max() < 0.5


def test_an_oblique_laparoscope_ends_in_a_face_across_its_view():
    device = laparoscope(30.0)
    window = next(part.mesh for part in device.parts if part.name == "window").vertices
    face = window[-1] - window[:-2][-40:]
    view = np.array([0.0, -np.sin(np.radians(30)), np.cos(np.radians(30))])
    assert np.abs(face @ view).max() < 1e-6


def test_volumes_of_solids():
    rod = check_mesh(turned([(0.0, 0.01), (0.1, 0.01)], around=256))
    assert rod.problems == ()
    assert rod.volume == pytest.approx(np.pi * 0.01**2 * 0.1, rel=1e-3)
    square = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]) * 0.01
    block = check_mesh(bar([(0.0, square), (0.05, square)]))
    assert block.problems == ()
    assert block.volume == pytest.approx(0.02 * 0.02 * 0.05, rel=1e-3)
    angle = np.linspace(0, np.pi / 2, 60)
    bend = np.stack([0.05 * np.cos(angle), 0.05 * np.sin(angle), 0 * angle], axis=1)
    wire = check_mesh(bent_wire(bend, np.full(60, 0.002), around=64))
    assert wire.problems == ()
    assert wire.volume == pytest.approx(np.pi * 0.002**2 * 0.05 * np.pi / 2, rel=5e-3)
    both = check_mesh(joined([turned([(0.0, 0.01), (0.1, 0.01)]), turned([(0.2, 0.01), (0.3, 0.01)])]))
    assert (both.problems, both.body_count) == ((), 2)


def test_the_same_call_gives_the_same_shape():
    for one, other in zip(grasper().parts, grasper().parts, strict=True):
        assert one.mesh.vertices.tobytes() == other.mesh.vertices.tobytes()
        assert one.mesh.triangles.tobytes() == other.mesh.triangles.tobytes()


def test_damaged_descriptions_are_refused():
    with pytest.raises(InputError, match="lower < upper"):
        Joint("yaw", "revolute", 0.0, 0.0, 0.0, 0.0, 1.0, -1.0, 1.0, 1.0, 1.0)
    with pytest.raises(InputError, match="above 0"):
        replace(PSM.joints[0], max_speed=0.0)
    with pytest.raises(InputError, match="view angle"):
        laparoscope(90.0)
    made = hook()
    with pytest.raises(InputError, match="found 'jaw_left'"):
        replace(made, parts=(*made.parts, Part("jaw", "jaw_left", np.eye(4), made.parts[0].mesh, "metal", ())))
