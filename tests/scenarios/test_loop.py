from dataclasses import replace

import numpy as np
import pytest
import trimesh

from assets.errors import InputError
from assets.mesh import Mesh
from assets.patient import Organ
from scenarios.catalogue import driver_named, scenario_named
from scenarios.colonoscopy import COLONOSCOPY, TASK, endoscope_camera
from scenarios.drivers.model import Model
from scenarios.interface import Phase
from scenarios.loop import run_episode
from scenarios.observer import Observer, read_record, write_record
from scenarios.truth import truth_as_prediction
from sim.degradations.settings import single
from sim.scene import ColonoscopyScene
from sim.wall_distance import patient_wall_distance

IN_TUBE = replace(COLONOSCOPY, max_steps=60)


def test_the_oracle_reaches_the_end_of_a_straight_tube_and_withdraws(tube_scene):
    episode = run_episode(tube_scene, IN_TUBE, driver_named("oracle", TASK), 1)
    summary = episode.summary
    assert summary.success
    assert summary.reason == "done"
    assert summary.success_steps < summary.steps < 60
    assert summary.measures["minimum_distance_to_caecum"] <= 0.030
    # 30 mm short of 290 mm, from a start at 50 to 80 mm, at 8 mm a step
    assert (0.290 - 0.030 - 0.080) / 0.008 - 1 <= summary.success_steps <= 40
    assert summary.measures["path_length"] == pytest.approx(summary.measures["reached_arc"] - 0.065, abs=0.03)
    assert len(episode.path) == summary.steps + 1
    assert 0.3 < summary.measures["mucosa_seen"] <= 1


def test_an_episode_does_not_depend_on_what_ran_before_it(tube_scene):
    brief = replace(IN_TUBE, max_steps=12)
    first = run_episode(tube_scene, brief, driver_named("explorer", TASK), 5)
    run_episode(tube_scene, brief, driver_named("blind", TASK), 6)
    again = run_episode(tube_scene, brief, driver_named("explorer", TASK), 5)
    other = run_episode(tube_scene, brief, driver_named("explorer", TASK), 7)
    np.testing.assert_array_equal(first.path, again.path)
    assert not np.array_equal(first.path[0], other.path[0])


def path_with_truth(scene, driver, monkeypatch, *, spoiled: bool) -> np.ndarray:
    """Drive 20 steps; `spoiled` makes every ground truth of every frame, and of the way ahead, NaN or nonsense."""
    with monkeypatch.context() as patched:
        if spoiled:
            observe = scene.observe

            def blinded():
                frame = observe()
                frame.depth[:] = np.nan
                frame.normal[:] = np.nan
                frame.semantic[:] = 255
                return replace(frame, T_world_camera=np.full((4, 4), np.nan))

            patched.setattr(scene, "observe", blinded)
            patched.setattr(scene.guide, "lumen_direction", lambda pose, arc: (np.full(3, np.nan), False))
        return run_episode(scene, replace(IN_TUBE, max_steps=20), driver, 3).path


def brightness_model(rgb: np.ndarray, exposure: float):
    """A stand-in for a network that uses all it may: the picture and the exposure."""
    from scenarios.truth import nothing_seen

    left, right = rgb[:, : rgb.shape[1] // 2].mean(), rgb[:, rgb.shape[1] // 2 :].mean()
    direction = np.array([0.01 * (left - right) / exposure, 0.0, 1.0])
    return nothing_seen(rgb.shape[:2], direction / np.linalg.norm(direction))


@pytest.mark.parametrize("make", [lambda: driver_named("classical", TASK), lambda: Model(brightness_model)])
def test_without_the_ground_truth_model_and_classical_drive_the_same(tube_scene, monkeypatch, make):
    plain = path_with_truth(tube_scene, make(), monkeypatch, spoiled=False)
    spoiled = path_with_truth(tube_scene, make(), monkeypatch, spoiled=True)
    np.testing.assert_array_equal(plain, spoiled)


def test_without_the_ground_truth_the_oracle_cannot_drive_the_same(tube_scene, monkeypatch):
    plain = path_with_truth(tube_scene, driver_named("oracle", TASK), monkeypatch, spoiled=False)
    with pytest.raises(InputError, match="finite command"):
        path_with_truth(tube_scene, driver_named("oracle", TASK), monkeypatch, spoiled=True)
    assert len(plain) == 21


def test_phases_events_and_aborts_are_asked_after_every_step(tube_scene):
    scenario = replace(
        IN_TUBE,
        phases=(Phase("insertion", lambda now: now.phase_step == 4), Phase("withdrawal", lambda now: False)),
        events={"third": lambda now: now.step == 3, "never": lambda now: False},
        aborts={"enough": lambda now: now.phase == "withdrawal" and now.phase_step == 2},
    )
    episode = run_episode(tube_scene, scenario, driver_named("oracle", TASK), 1)
    assert episode.summary.steps == 6
    assert episode.summary.reason.startswith("enough in withdrawal")
    assert episode.events == {"third": 3}
    assert not episode.summary.success


def test_an_episode_that_makes_no_way_is_given_up(tube_scene):
    class Still:
        name, needs_truth = "still", False

        def reset(self, rng):
            pass

        def perceive(self, observation):
            return brightness_model(observation.rgb, observation.readings.exposure)

        def act(self, prediction, readings, phase):
            from sim.scope_state import ScopeCommand

            return ScopeCommand()

    summary = run_episode(tube_scene, COLONOSCOPY, Still(), 1).summary
    assert summary.reason.startswith("stuck in insertion")
    assert summary.steps == 80


def test_the_observer_judges_perfect_perception_as_perfect(tube_scene, tmp_path):
    observer = Observer(TASK)
    episode = run_episode(tube_scene, IN_TUBE, driver_named("oracle", TASK), 1, recorder=observer)
    record = observer.record("synth:tube", episode)
    counts = np.array(record.counts)
    assert record.frames > 3
    assert np.array_equal(counts, np.diag(np.diag(counts)))
    assert record.errors == {"abs_rel": 0.0, "abs_rel_scaled": 0.0, "direction_error_deg": 0.0}
    assert record.reliability is not None
    pixels, belief, right = np.array(record.reliability)
    assert pixels.sum() == counts.sum()
    assert np.array_equal(belief, pixels)
    assert np.array_equal(right, pixels)
    write_record(tmp_path / "one.json", record)
    assert read_record(tmp_path / "one.json") == record


def test_the_truth_as_a_prediction_has_one_class_a_pixel(tube_scene):
    frame, truth, _ = TASK.start(tube_scene, 1, 0.02, None, None).observe()
    prediction = truth_as_prediction(truth)
    np.testing.assert_array_equal(prediction.probabilities.sum(axis=0), 1)
    rays, shown = frame.camera.rays()
    far = shown & (frame.depth > 0.05 * rays[..., 2])
    assert far.any()
    np.testing.assert_array_equal(prediction.classes == 3, far)


def test_an_orifice_smaller_than_the_hole_it_leaves_is_refused(tube_patient):
    orifice = replace(tube_patient.orifices[0], radius=0.015)  # the cap's triangles reach to 20 mm
    with pytest.raises(InputError, match="as wide as their discs"):
        patient_wall_distance(replace(tube_patient, orifices=(orifice,)))


USER_FILE = """
from dataclasses import replace
from scenarios.colonoscopy import COLONOSCOPY, TASK, endoscope_camera
from scenarios.drivers.oracle import Oracle

Short = replace(COLONOSCOPY, name="short", max_steps=3)

class Timid(Oracle):
    name = "timid"

    def act(self, prediction, readings, phase):
        return replace(super().act(prediction, readings, phase), advance=0.001)
"""


def test_a_users_scenario_and_driver_come_from_their_file(tube_scene, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(USER_FILE)
    summary = run_episode(tube_scene, scenario_named(f"{file}:Short"), driver_named(f"{file}:Timid", TASK), 1).summary
    assert (summary.scenario, summary.driver, summary.steps) == ("short", "timid", 3)
    assert summary.measures["path_length"] < 0.006


def test_what_is_seen_of_the_mucosa_is_counted_under_a_rolling_shutter_too(tube_patient):
    ball = trimesh.creation.icosphere(2, radius=0.004).apply_translation([0.015, 0.0, 0.10])
    mesh = Mesh(np.asarray(ball.vertices, np.float32), np.asarray(ball.faces, np.int32))
    patient = replace(tube_patient, organs=(*tube_patient.organs, Organ("polyp_01", "polyp", "solid", "polyp", mesh)))
    with ColonoscopyScene(patient, camera=endoscope_camera(48, 48), threads=1) as scene:
        plain, rolled = (
            run_episode(
                scene, replace(IN_TUBE, max_steps=12), driver_named("oracle", TASK), 1, degradations=degradations
            )
            for degradations in (None, single("rolling_shutter", 1.0))
        )
    assert rolled.summary.measures["mucosa_seen"] == pytest.approx(plain.summary.measures["mucosa_seen"], rel=0.1)
