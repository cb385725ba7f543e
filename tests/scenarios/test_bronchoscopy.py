"""A bronchoscope bends in one plane, and gets into segmental bronchi as far as their calibre lets it."""

import re

import numpy as np
import pytest

from assets.bronchi.synthesis import synthetic_bronchi
from assets.errors import InputError
from assets.instruments.flexible import BRONCHOSCOPE
from assets.labels import label_id
from assets.patient import Orifice
from scenarios.bronchoscopy_episode import LUMEN, WALL, bronchial_classes, goal_arc
from scenarios.catalogue import driver_named, scenario_named
from scenarios.dataset_check import CheckOptions, check
from scenarios.drivers.bronchial import BronchialSteering
from scenarios.generate import GenerateOptions, generate
from scenarios.loop import run_episode
from sim.bronchoscopy import BronchoscopyScene
from sim.camera import Camera
from sim.flexible_scope import FlexibleScope
from sim.passage import bronchial_passage
from sim.scope_state import ScopeCommand
from sim.wall_distance import WallDistance


@pytest.fixture(scope="module")
def scene():
    patient = synthetic_bronchi(1)
    with BronchoscopyScene(patient, camera=Camera.with_fov(48, 48, 120.0), line="bronchi_B6_right", threads=1) as one:
        yield one


def test_it_gets_into_the_apical_segment_of_the_lower_lobe(scene):
    steering, state = BronchialSteering(), scene.reset(seed=0, friction=0.1)
    frame = scene.observe()
    assert np.mean(frame.semantic == label_id("bronchi_wall")) > 0.9
    for _ in range(80):
        direction, _ = scene.guide.lumen_direction(state.T_world_camera, scene.guide.arc)
        state = scene.step(steering.towards(direction))
        assert state.fault == ""
        if scene.guide.arc > scene.guide.length - 0.008:
            break
    assert scene.guide.arc > scene.guide.length - 0.008
    assert scene.wall.distance(state.nodes[:-2]).min() > BRONCHOSCOPE.tube_radius - 1e-3
    assert scene.guide.point(scene.guide.arc) @ [0, 0, 1] < scene.patient.landmarks["carina"][2]
    # Straight on, without the picture, it goes nowhere near: it stands at the first bend.
    state = scene.reset(seed=0, friction=0.1)
    for _ in range(80):
        state = scene.step(ScopeCommand(0.003))
    assert np.linalg.norm(state.T_world_camera[:3, 3] - scene.passage.line.points[-1]) > 0.02


def test_it_bends_in_one_plane_and_not_as_far_down_as_up():
    values = np.full((41, 41, 41), 1.0, np.float32)
    wall = WallDistance(values, np.array([-1.0, -1.0, -1.0]), 0.05)
    path = np.array([0.0, 0.0, 1.0]) * np.linspace(0, 0.5, 100)[:, None]
    orifice = Orifice("trachea", "lumen", np.zeros(3), np.array([0.0, 0.0, 1.0]), 0.008)
    scope = FlexibleScope(wall, orifice, path, insertion=0.1, device=BRONCHOSCOPE)
    for _ in range(15):
        state = scope.step(ScopeCommand(0.0, 1.0, 1.0))
    assert (np.degrees(state.bend_up), state.bend_right) == (pytest.approx(180), 0.0)
    for _ in range(25):
        state = scope.step(ScopeCommand(0.0, -1.0, -1.0))
    assert (np.degrees(state.bend_up), state.bend_right) == (pytest.approx(-130), 0.0)


def test_the_way_leads_to_the_target_unless_another_is_named(scene):
    target = next(organ for organ in scene.patient.organs if organ.name == "peripheral_target")
    assert bronchial_passage(scene.patient).line.name == target.attributes["centreline"]
    with pytest.raises(InputError, match=re.escape("found 'bronchi_B99' among bronchi_")):
        bronchial_passage(scene.patient, "bronchi_B99")


@pytest.mark.parametrize(("direction", "roll", "bend"), [((1, 0, 1), 1, 0), ((0, -1, 1), 0, 1), ((0, 1, 1), 0, -1)])
def test_what_lies_aside_is_turned_to_and_what_lies_up_or_down_is_bent_to(direction, roll, bend):
    command = BronchialSteering().towards(np.array(direction) / np.sqrt(2))
    assert np.sign(np.round(command.roll, 9)) == roll
    assert np.sign(np.round(command.bend_up, 9)) == bend


def test_in_the_loop_who_knows_the_way_arrives_and_touches_the_wall_less_than_who_does_not_look(scene):
    scenario = scenario_named("bronchoscopy")
    goal = goal_arc(scene)
    assert 0.1 < goal <= scene.guide.length
    oracle = run_episode(scene, scenario, driver_named("oracle", scenario.task), 3)
    assert oracle.summary.success
    assert oracle.summary.measures["reached_arc"] >= goal - 0.008
    assert np.linalg.norm(oracle.path[-1] - scene.guide.point(goal)) < 0.016
    assert (
        run_episode(scene, scenario, driver_named("oracle", scenario.task), 3).path.tobytes() == oracle.path.tobytes()
    )
    blind = run_episode(scene, scenario, driver_named("blind", scenario.task), 3)
    assert blind.summary.measures["contact_time"] > oracle.summary.measures["contact_time"]
    looking = run_episode(scene, scenario, driver_named("classical", scenario.task), 3)
    assert looking.summary.measures["reached_arc"] > 0.05
    with pytest.raises(InputError, match="--model FILE for bronchoscopy"):
        driver_named("model", scenario.task)


def test_near_wall_and_far_lumen_are_told_apart():
    camera = Camera.with_fov(3, 1, 60.0)
    rays, _ = camera.rays()
    depth = (np.array([[0.019, 0.021, 0.0]]) * rays[..., 2]).astype(np.float32)
    semantic = np.full((1, 3), label_id("bronchi_wall"), np.uint8)
    semantic[0, 2] = 0
    assert bronchial_classes(semantic, depth, camera).tolist() == [[WALL, LUMEN, 0]]


def test_a_data_set_of_it_is_recorded(tmp_path):
    options = GenerateOptions(
        patients=("synth:bronchi:1",),
        out=tmp_path / "data",
        scenario="bronchoscopy",
        frames=4,
        size=(48, 48),
        splits=(1.0, 0.0, 0.0),
        workers=1,
    )
    generate(options)
    assert check(CheckOptions(tmp_path / "data"))
