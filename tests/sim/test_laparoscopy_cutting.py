"""Scissors in the laparoscopic scene: what they part, what is drawn of it, and that states cover it."""

import numpy as np
import pytest

from assets.instruments.hand_held import scissors
from sim.instruments.command import PointTarget
from sim.laparoscopy.parting import cut_name
from sim.laparoscopy.placement import Placement
from sim.laparoscopy.scene import LaparoscopyScene
from sim.robots.kinematics import tip_pose
from tests.sim.test_laparoscopy_soft import ACROSS, CAMERA, SCOPE, TOP, UP, block_patient

SCISSORS = Placement(scissors(), "right", insertion=0.05)
SPOT = TOP - 0.006 * UP
"""Where the tip is while they close: the blades straddle the top of the ridge."""


def opened():
    return LaparoscopyScene(block_patient(), camera=CAMERA, instruments=(SCOPE, SCISSORS), soft=("liver",))


@pytest.fixture(scope="module")
def scene():
    with opened() as made:
        yield made


def roll_across(scene):
    """The roll at which the blades open across the ridge."""
    device, port = scissors(), scene.trocars["scissors"].T_world_port
    rolls = np.linspace(-np.pi / 2, np.pi / 2, 181)
    across = [abs((port @ tip_pose(device.arm, np.array([0.0, 0.0, 0.1, roll])))[:3, 1] @ ACROSS) for roll in rolls]
    return float(rolls[int(np.argmax(across))])


def go(scene, point, jaws):
    roll = roll_across(scene)
    for jaw in jaws:
        state = scene.step({"scissors": PointTarget(point=point, jaw=float(jaw), roll=roll)})
    return state


def straddle(scene):
    scene.reset(seed=0)
    go(scene, SPOT + 0.024 * UP, [0.8] * 6)
    return go(scene, SPOT, [0.8] * 5)


def test_open_blades_cut_nothing_and_closing_ones_part_what_is_between_them(scene):
    state = straddle(scene)
    body = scene.tissue.bodies["liver"]
    whole = body.mesh
    assert len(whole.cut_faces) == 0
    assert state.holds == {}
    state = go(scene, SPOT, np.linspace(0.7, 0.0, 8))
    assert state.fault == ""
    assert state.holds == {}
    assert len(body.mesh.cut_faces) > 10
    assert body.mesh.masses.sum() == pytest.approx(whole.masses.sum(), rel=1e-9)
    cut = body.mesh.nodes[body.mesh.face_corners(body.mesh.cut_faces)].mean(axis=1)
    blade = state.instruments["scissors"].T_world_tip
    assert np.abs((cut - blade[:3, 3]) @ np.cross(blade[:3, 1], UP)).max() < 0.005  # an element is 4.4 mm wide
    assert ((cut - SPOT) @ UP).min() > -0.006
    count = len(body.mesh.cut_faces)
    go(scene, SPOT, [0.4, 0.8])
    assert len(body.mesh.cut_faces) == count


def test_new_faces_are_drawn_as_cut_tissue_and_go_when_all_is_whole_again(scene):
    straddle(scene)
    before = scene.observe()
    drawn = {item.name: item for item in scene.renderer.scene.objects}
    assert len(drawn[cut_name("liver")].mesh.triangles) == 1
    go(scene, SPOT, np.linspace(0.7, 0.0, 8))
    assert scene.observe().rgb.shape == before.rgb.shape
    drawn = {item.name: item for item in scene.renderer.scene.objects}
    opened_faces = drawn[cut_name("liver")]
    assert opened_faces.material.name == "cut_tissue"
    assert len(opened_faces.mesh.triangles) >= len(scene.tissue.bodies["liver"].mesh.cut_faces)
    assert len(drawn["liver"].mesh.triangles) > len(block_patient().organs[1].surface.triangles)
    straddle(scene)
    again = scene.observe()
    np.testing.assert_array_equal(again.semantic, before.semantic)
    np.testing.assert_array_equal(again.depth, before.depth)


def test_a_state_saved_in_the_midst_of_a_cut_goes_on_to_the_byte(scene):
    straddle(scene)
    go(scene, SPOT, np.linspace(0.7, 0.4, 4))
    assert len(scene.tissue.bodies["liver"].mesh.cut_faces)
    saved = scene.save_state()
    go(scene, SPOT, np.linspace(0.3, 0.0, 4))
    first, picture = scene.save_state(), scene.observe().rgb
    assert first != saved
    with opened() as other:
        other.restore_state(saved)
        assert other.save_state() == saved
        go(other, SPOT, np.linspace(0.3, 0.0, 4))
        assert other.save_state() == first
        np.testing.assert_array_equal(other.observe().rgb, picture)
