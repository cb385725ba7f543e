from dataclasses import replace

import numpy as np
import pytest
import trimesh

from assets.errors import InputError
from assets.instruments.hand_held import laparoscope
from assets.labels import label_id
from assets.mesh import Mesh
from assets.patient import Organ, Patient
from assets.sources import load_source
from assets.transforms import apply, inverse
from perception.survey_classes import INSTRUMENT, LIVER, OTHER, survey_class_map
from scenarios.drivers.survey_classical import SurveyClassical
from scenarios.evaluate import EvaluateOptions, evaluate
from scenarios.interface import Observation, Phase, Readings
from scenarios.liver_survey import FOLLOWED, LIVER_SURVEY, TASK, accomplished
from scenarios.loop import run_episode
from scenarios.survey_episode import CENTRED, SERVO_STEPS, ScopeMove, SurveySituation, rests
from scenarios.survey_plan import SHARP, segments_shown
from scenarios.survey_reach import Reach, Room
from scenarios.survey_scene import TOOL
from scenarios.survey_stage import find_stage
from scenarios.truth import nothing_seen
from sim.instruments.laparoscope import laparoscope_camera
from sim.laparoscopy.placement import start_joints
from sim.laparoscopy.trocars import port_axes
from sim.looks import OtherLooks
from sim.render.appearance import Appearance

CAMERA = laparoscope_camera(40, 40)


@pytest.fixture(scope="module")
def scene():
    with TASK.open_scene(load_source("synth:abdomen:904"), TASK.camera(64, 64), None) as made:
        yield made


def ball(centre, radius: float) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    return Mesh((made.vertices + centre).astype(np.float32), made.faces.astype(np.int32))


def test_a_segment_is_shown_in_the_middle_within_the_sharp_distances_alone():
    depth = np.full((40, 40), 0.07, np.float32)

    def shown(rows: slice, columns: slice, distance: float = 0.07) -> frozenset[int]:
        segments = np.zeros((40, 40), np.uint8)
        segments[rows, columns] = 5
        return segments_shown(segments, np.full((40, 40), distance, np.float32), CAMERA)

    assert shown(slice(15, 23), slice(15, 19)) == {5}  # 32 px are 2 % of 1600
    assert shown(slice(15, 23), slice(15, 18)) == frozenset()
    assert shown(slice(0, 10), slice(0, 40)) == frozenset()  # all of the upper quarter
    assert shown(slice(15, 25), slice(15, 25), SHARP[0] - 0.005) == frozenset()
    assert shown(slice(15, 25), slice(15, 25), SHARP[1] + 0.001) == frozenset()
    assert segments_shown(np.zeros((40, 40), np.uint8), depth, CAMERA) == frozenset()


def test_pixels_are_sorted_into_the_survey_s_classes():
    semantic = np.array([[0, label_id("liver"), label_id("grasper"), label_id("stomach")]], np.uint8)
    depth = np.array([[0.0, 0.1, 0.1, 0.1]], np.float32)
    assert survey_class_map(semantic, depth).tolist() == [[0, LIVER, INSTRUMENT, OTHER]]


def test_room_is_the_distance_to_what_is_nearest_and_negative_outside_of_the_gas():
    wall = Organ("abdominal_wall", "abdominal_wall", "lumen", "peritoneum", ball(np.zeros(3), 0.10))
    liver = Organ("liver", "liver", "solid", "liver", ball(np.zeros(3), 0.03))
    room = Room(Patient("p", "s", "l", (wall, liver)))
    distances = np.array([0.0, 0.02, 0.045, 0.06, 0.09, 0.12])
    expected = [-0.03, -0.01, 0.015, 0.03, 0.01, -0.02]
    np.testing.assert_allclose(room.about(distances[:, None] * [0.6, 0.0, 0.8]), expected, atol=0.0012)


@pytest.mark.parametrize(("slope", "least", "most"), [(60.0, 0.0, 0.0), (45.0, 0.0, 0.0), (20.0, 5.0, 15.0)])
def test_home_leans_off_the_trocar_s_axis_as_little_as_the_wall_asks_for(slope, least, most):
    wall = Organ("abdominal_wall", "abdominal_wall", "lumen", "peritoneum", ball(np.zeros(3), 0.10))
    reach = Reach(laparoscope(30.0), oblique_port(slope), Patient("p", "s", "l", (wall,)))
    home = reach.home(1.0)
    assert reach.free(home[None])[0]
    assert least <= np.degrees(np.linalg.norm(home[:2])) <= most
    assert home[3] == 1.0
    if most > 0:
        assert not reach.free(start_joints(reach.device, 0.04)[None])[0]
        # it leans away from the wall, towards the middle of the ball
        assert np.linalg.norm(reach.camera_pose(home)[:3, 3]) < np.linalg.norm(
            reach.camera_pose(start_joints(reach.device, 0.04, 1.0))[:3, 3]
        )


def test_no_room_beyond_the_trocar_is_told_as_that():
    wall = Organ("abdominal_wall", "abdominal_wall", "lumen", "peritoneum", ball(np.zeros(3), 0.10))
    with pytest.raises(InputError, match=r"p: expected room for the laparoscope's tip 40 mm beyond its trocar"):
        Reach(laparoscope(30.0), oblique_port(-30.0), Patient("p", "s", "l", (wall,)))


def oblique_port(slope: float) -> np.ndarray:
    """A port at the top of a ball of 10 cm, whose way in goes down by so many degrees off the wall."""
    inward = np.array([np.cos(np.radians(slope)), -np.sin(np.radians(slope)), 0.0])
    return port_axes(np.array([0.0, 0.10, 0.0]), np.array([0.0, 0.10, 0.0]) + 0.1 * inward)


def test_a_view_rests_if_it_hardly_moves_and_turns():
    pose, moved, turned = np.eye(4), np.eye(4), np.eye(4)
    moved[0, 3] = 0.005
    turned[:2, :2] = [[np.cos(0.07), -np.sin(0.07)], [np.sin(0.07), np.cos(0.07)]]
    assert rests(pose, pose)
    assert not rests(pose, moved)
    assert not rests(pose, turned)


def test_success_takes_all_segments_the_tip_in_the_middle_and_no_touch():
    done = SurveySituation(1500, 650, "servo", frozenset({1, 2}), frozenset({1, 2}), SERVO_STEPS, 480, 0.0)
    assert accomplished(done)
    assert not accomplished(replace(done, seen=frozenset({1})))
    assert not accomplished(replace(done, centred_steps=479))
    assert not accomplished(replace(done, servo_steps=SERVO_STEPS - 1))
    assert not accomplished(replace(done, touch_time=0.1))
    assert done.place == "2 of 2 segments"


def test_the_plan_s_views_are_free_and_show_their_segment_unless_something_hides_it(scene):
    reach = scene.plan.reach
    assert len(scene.plan.visible) >= 5
    assert scene.plan.visible <= set(scene.plan.views)
    for number, views in scene.plan.views.items():
        for view in views:
            assert view.segment == number
            assert reach.free(view.joints[None])[0]
            segments, depth = scene.liver_map.look(reach.camera_pose(view.joints))
            assert number in segments_shown(segments, depth, scene.camera)
    into_the_liver = view.joints + np.array([0, 0, 0.06, 0])
    assert not reach.free(into_the_liver[None])[0]


def test_map_and_picture_agree_on_the_liver(scene):
    environment = TASK.start(scene, 1, 0.0, None, None)
    target = scene.plan.views[5][0].joints
    for _ in range(25):
        environment.step(ScopeMove(target), "survey")
    frame, truth, readings = environment.observe()
    np.testing.assert_allclose(readings.T_world_camera, scene.plan.reach.camera_pose(readings.joints), atol=1e-9)
    liver = truth.classes == LIVER
    assert liver.mean() > 0.2
    assert (readings.segments[liver] > 0).mean() > 0.98
    assert np.median(np.abs(readings.depth - frame.depth)[liver]) < 1e-4


def test_the_oracle_sees_all_segments_and_touches_nothing(scene):
    brief = replace(LIVER_SURVEY, phases=LIVER_SURVEY.phases[:1], success=lambda now: now.complete, max_steps=300)
    summary = run_episode(scene, brief, TASK.drivers["oracle"](), 1).summary
    assert summary.success
    assert summary.measures["segments_seen"] == summary.measures["segments_visible"] == len(scene.plan.visible)
    assert summary.measures["touch_time"] == 0
    assert summary.steps < 250


SERVO = replace(LIVER_SURVEY, phases=(Phase("survey", lambda now: True), LIVER_SURVEY.phases[1]), max_steps=150)


def test_room_that_the_laparoscope_cannot_follow_is_told_from_no_room(scene, monkeypatch):
    device, port = scene.theatre.table.instruments[TOOL].device, scene.theatre.trocars[TOOL]
    monkeypatch.setattr("scenarios.survey_stage._view", lambda *_: None)
    with pytest.raises(InputError, match=r"found it in \d+ places, none of which the laparoscope can follow"):
        find_stage(scene.plan.reach, device, port, scene.theatre.field, "p")
    monkeypatch.setattr("scenarios.survey_stage._within", lambda *_: False)
    with pytest.raises(
        InputError, match=r"^p: expected room for an instrument to swing 12 mm to all sides, found none$"
    ):
        find_stage(scene.plan.reach, device, port, scene.theatre.field, "p")


def test_the_tip_swings_by_centimetres_clear_of_organs_and_everywhere_within_reach(scene):
    stage, reach = scene.plan.stage, scene.plan.reach
    across = np.linalg.norm(stage.swing[:2], axis=1)
    assert across.min() >= 0.012
    np.testing.assert_allclose(
        stage.swing @ stage.swing.T, np.diag([across[0] ** 2, across[1] ** 2, 0.0625 * across[0] ** 2]), atol=1e-12
    )
    insertion = reach.depth(stage.joints)
    environment = TASK.start(scene, 1, 0.0, None, None)
    environment.begin_phase()
    tips = np.array([environment._tool_place(time) for time in np.arange(0.0, 65.0, 0.1)])
    assert np.linalg.norm(np.diff(tips, axis=0), axis=1).max() < 0.003  # smooth: 30 mm/s at most
    assert reach.room.about(tips).min() > 0.005
    span = np.ptp((tips - stage.centre) @ (stage.swing[:2] / across[:, None]).T, axis=0)
    assert (span > 1.9 * across).all()
    for tip in tips[50::20]:
        joints, left = reach.aim(tip, insertion=insertion, roll=float(stage.joints[3]))
        assert left < 1e-6
        assert reach.free(joints[None])[0]


def test_the_oracle_keeps_the_tip_in_the_middle_and_a_driver_without_eyes_cannot(scene):
    oracle = run_episode(scene, SERVO, TASK.drivers["oracle"](), 2).summary.measures
    assert oracle["servo_steps"] == 99
    assert oracle["centred_steps"] / oracle["servo_steps"] > 0.95
    assert oracle["touch_time"] == 0
    blind = run_episode(scene, SERVO, TASK.drivers["blind"](), 2).summary.measures
    assert blind["centred_steps"] / blind["servo_steps"] < 0.5 * FOLLOWED


def test_wherever_a_view_rests_the_tip_is_not_centred_for_long_enough(scene):
    """A still view of the best place would fail too, for any episode: the limit is no matter of luck."""
    stage = scene.plan.stage
    joints = stage.joints
    to_camera = inverse(scene.plan.reach.camera_pose(joints))
    for seed in range(20):
        environment = TASK.start(scene, seed, 0.0, None, None)
        tips = np.array([environment._tool_place(time) for time in np.arange(5.0, 65.0, 0.1)])
        pixels, before = scene.camera.project(apply(to_camera, tips))
        assert before.all()
        best = max(
            (np.linalg.norm(pixels - middle, axis=1) <= CENTRED * scene.camera.width).mean() for middle in pixels[::10]
        )
        assert best < 0.6 * FOLLOWED


def test_key_points_are_on_the_tool_and_another_look_shows_the_same(scene):
    seen = []

    def look(moment) -> bool:
        if moment.situation.step == 30:
            seen.append(
                (moment.frame, scene.key_points(moment.frame), OtherLooks(scene, [Appearance(hue=1.0)]).frames())
            )
        return not seen

    run_episode(scene, SERVO, TASK.drivers["oracle"](), 2, recorder=look)
    frame, points, (other,) = seen[0]
    tool = scene.theatre.state.instruments["grasper"]
    assert {point.name for point in points} == set(tool.key_points)
    instances = np.unique(frame.instance[frame.semantic == label_id("grasper")])
    assert {point.instance for point in points} <= set(instances.tolist())
    visible = [point for point in points if point.sight == "visible"]
    assert visible
    for point in visible:
        column, row = np.rint(point.pixel).astype(int)
        near = frame.instance[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
        assert (near == point.instance).any()
    for name in ("semantic", "instance", "depth", "normal", "T_world_camera"):
        np.testing.assert_array_equal(getattr(other, name), getattr(frame, name))
    assert (other.rgb != frame.rgb).any()


def test_an_episode_is_the_same_again(scene):
    brief = replace(LIVER_SURVEY, max_steps=15)
    first = run_episode(scene, brief, TASK.drivers["classical"](), 3)
    run_episode(scene, brief, TASK.drivers["blind"](), 4)
    again = run_episode(scene, brief, TASK.drivers["classical"](), 3)
    np.testing.assert_array_equal(first.path, again.path)


def test_what_is_seen_does_not_depend_on_what_is_said(scene):
    environment = TASK.start(scene, 1, 0.0, None, None)
    target = scene.plan.views[5][0].joints
    for _ in range(35):
        frame, _, _ = environment.observe()
        environment.count(frame, nothing_seen((64, 64), np.array([0.0, 0.0, 1.0]), class_count=4))
        environment.step(ScopeMove(target), "survey")
    assert 5 in environment.situation(35, 35, "survey").seen


def test_no_speed_means_no_motion(scene):
    environment = TASK.start(scene, 1, 0.0, None, None)
    before = environment.path[-1]
    for _ in range(5):
        environment.step(TASK.slowed(ScopeMove(scene.plan.views[5][0].joints), 0.0), "survey")
    assert np.linalg.norm(environment.path[-1] - before) < 2e-4


def test_the_classical_driver_finds_a_grey_tool_s_far_end():
    picture = np.full((40, 40, 3), (150, 60, 50), np.uint8)
    picture[18:22, :25] = (150, 152, 155)
    said = SurveyClassical().perceive(Observation(picture, CAMERA, Readings(0.0, 1.0)))
    rays, _ = CAMERA.rays()
    assert said.lumen_visible == 1
    assert np.degrees(np.arccos(said.lumen_direction @ rays[20, 24])) < 6
    assert (said.classes[19:21, 2:22] == INSTRUMENT).all()
    nothing = SurveyClassical().perceive(Observation(np.full_like(picture, (150, 60, 50)), CAMERA, Readings(0.0, 1.0)))
    assert nothing.lumen_visible == 0


def test_a_patient_without_a_liver_is_refused(tube_patient):
    with pytest.raises(InputError, match="expected a liver to survey, found colon_wall"):
        TASK.open_scene(tube_patient, CAMERA, None)


def test_the_same_evaluation_and_report_serve_this_task(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\n"
        "from scenarios.liver_survey import LIVER_SURVEY\n"
        "Brief = replace(LIVER_SURVEY, name='brief', max_steps=12)\n"
    )
    options = EvaluateOptions(
        patients=("synth:abdomen:901",),
        out=tmp_path / "run",
        scenario=f"{tmp_path}/mine.py:Brief",
        drivers=("oracle", "classical"),
        episodes=1,
        size=(48, 48),
        workers=1,
        planted=("black",),
        errors=("dropped_class=1",),
    )
    found = {(one.name, one.subset.rpartition("/")[2]): one.value for one in evaluate(options)}
    assert 0 <= found["oracle.survey.segments_seen", "synthetic"] <= 1
    assert found["oracle.dice.liver", "synthetic"] == 1
    assert ("classical.safety.success_cost", "caution=on") in found
    assert ("oracle.survey.segments_seen", "dropped_class=1") in found
    page = (tmp_path / "run" / "report.html").read_text()
    assert "segments seen" in page
    assert "caecum" not in page
