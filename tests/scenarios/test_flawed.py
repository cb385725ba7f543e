from dataclasses import replace

import numpy as np
import pytest

from assets.errors import InputError
from perception.prediction import LUMEN, POLYP, WALL, Prediction
from scenarios.colonoscopy import TASK
from scenarios.conditions import LATENCIES_MS, NOMINAL, SEVERITIES, Condition, conditions_of
from scenarios.drivers.flawed import ERRORS, Flawed
from scenarios.interface import Observation
from scenarios.scope_episode import ScopeReadings
from sim.camera import Camera
from sim.scope_state import ScopeCommand

CAMERA = Camera.with_fov(40, 40, 140.0)


class Steady:
    """A driver that sees a polyp and the lumen, 30 mm away, and notes how it was asked."""

    name = "steady"
    needs_truth = False

    def reset(self, rng):
        self.acted = []

    def perceive(self, observation):
        classes = np.full((40, 40), WALL)
        classes[5:15, 5:15] = POLYP
        classes[20:34, 20:34] = LUMEN
        return Prediction(
            probabilities=(np.arange(4)[:, None, None] == classes).astype(np.float32),
            depth=np.full((40, 40), 0.03, np.float32),
            depth_scale=np.zeros((40, 40), np.float32),
            lumen_direction=np.array([0.6, 0.0, 0.8]),
            lumen_visible=1.0,
            uncertainty=np.zeros((40, 40), np.float32),
            polyp_centres=np.array([[9.5, 9.5, 1.0]], np.float32),
            frame_uncertainty=observation.readings.time,  # tells which frame it was
        )

    def act(self, prediction, readings, phase):
        self.acted.append(prediction)
        return ScopeCommand()


def readings(time: float) -> ScopeReadings:
    return ScopeReadings(time, 1.0, 0.1, 0.0, 0.0, 0.0, 0.0, False)


def run(error: str, severity: float, steps: int = 1, seed: int = 0) -> list[Prediction]:
    driver = Flawed(Steady(), error, severity)
    driver.reset(np.random.default_rng(seed))
    picture = np.zeros((40, 40, 3), np.uint8)
    return [driver.perceive(Observation(picture, CAMERA, readings(0.1 * k))) for k in range(steps)]


@pytest.mark.parametrize("error", ERRORS)
def test_severity_0_changes_nothing(error):
    for k, said in enumerate(run(error, 0.0, 5)):
        plain = Steady().perceive(Observation(np.zeros((40, 40, 3), np.uint8), CAMERA, readings(0.1 * k)))
        np.testing.assert_array_equal(said.classes, plain.classes)
        np.testing.assert_allclose(said.depth, plain.depth)
        np.testing.assert_allclose(said.lumen_direction, plain.lumen_direction)
        assert said.frame_uncertainty == plain.frame_uncertainty


@pytest.mark.parametrize("error", ERRORS)
def test_the_same_seed_gives_the_same_errors(error):
    severity = 300.0 if error == "latency_ms" else 0.7
    one, same, other = (run(error, severity, 40, seed) for seed in (1, 1, 2))

    def key(run):
        return [
            (s.probabilities.tobytes(), s.depth.tobytes(), s.lumen_direction.tobytes(), s.frame_uncertainty)
            for s in run
        ]

    assert key(one) == key(same)
    if error not in ("latency_ms", "depth_bias", "mask_erosion"):  # in these nothing is left to chance
        assert key(one) != key(other)


def test_a_dropped_class_is_missing_in_its_share_of_the_frames():
    runs = run("dropped_class", 0.3, 500)
    missing = np.mean([not np.any(said.classes == POLYP) for said in runs])
    assert missing == pytest.approx(0.3, abs=0.07)
    gone = next(said for said in runs if not np.any(said.classes == POLYP))
    assert np.count_nonzero(gone.classes == WALL) == 1600 - 14 * 14
    np.testing.assert_allclose(gone.probabilities.sum(axis=0), 1.0)


def test_erosion_takes_the_rim_of_masks():
    said = run("mask_erosion", 1.0)[0]  # 5 % of 40 px: 2 px from each side
    assert np.count_nonzero(said.classes == POLYP) == 6 * 6
    assert np.count_nonzero(said.classes == LUMEN) == 10 * 10


def test_depth_is_biased_and_noisy_as_asked_for():
    np.testing.assert_allclose(run("depth_bias", 0.5)[0].depth, 0.045, rtol=1e-6)
    noise = np.log(np.concatenate([said.depth.ravel() for said in run("depth_noise", 1.0, 300)]) / 0.03)
    assert noise.mean() == pytest.approx(0, abs=0.05)
    assert noise.std() == pytest.approx(0.5, rel=0.25)  # interpolation between the 5 x 5 takes some


def test_the_direction_strays_slowly_and_stays_a_unit_vector():
    said = np.array([one.lumen_direction for one in run("direction_error", 0.5, 3000)])
    np.testing.assert_allclose(np.linalg.norm(said, axis=1), 1.0)
    off = np.arccos(np.clip(said @ [0.6, 0.0, 0.8], -1, 1))
    # A rotation vector of standard deviation 30 degrees an axis; the part along the direction itself turns nothing.
    assert np.degrees(np.sqrt(np.mean(off**2))) == pytest.approx(30 * np.sqrt(2), rel=0.15)
    steps = np.arccos(np.clip((said[1:] * said[:-1]).sum(axis=1), -1, 1))
    assert np.median(steps) < 0.6 * np.median(off)


def test_latency_hands_out_what_was_seen_before():
    def seen(latency):
        return [round(said.frame_uncertainty, 3) for said in run("latency_ms", float(latency), 5)]

    assert seen(0) == [0, 0.1, 0.2, 0.3, 0.4]  # in time
    assert seen(1) == seen(100) == [1.0, 0, 0.1, 0.2, 0.3]  # at first nothing is known: uncertainty 1
    assert seen(101) == seen(200) == [1.0, 1.0, 0, 0.1, 0.2]


def test_dropped_and_stale_frames_repeat_the_last():
    dropped = [said.frame_uncertainty for said in run("dropped_frames", 0.6, 400)]
    assert np.mean(np.diff(dropped) == 0) == pytest.approx(0.6, abs=0.08)
    stale = np.array([said.frame_uncertainty for said in run("stale_frames", 1.0, 2000)])
    repeats = np.diff(stale) == 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], repeats.astype(int), [0]])))
    lengths = edges[1::2] - edges[::2]
    assert np.median(lengths) == 30
    assert 0.3 < repeats.mean() < 0.6  # 30 of every 30 + 1 / 0.03 steps


def test_the_wrapped_driver_acts_on_what_it_was_told():
    inner = Steady()
    driver = Flawed(inner, "depth_bias", 1.0)
    driver.reset(np.random.default_rng(0))
    said = driver.perceive(Observation(np.zeros((40, 40, 3), np.uint8), CAMERA, readings(0.0)))
    driver.act(said, readings(0.0), "insertion")
    assert inner.acted == [said]
    assert (driver.name, driver.needs_truth) == ("steady", False)


def test_conditions_are_read():
    assert conditions_of(["latency_ms=250", "depth_bias"], "error") == [
        Condition("error", "latency_ms", 250.0),
        *(Condition("error", "depth_bias", one) for one in SEVERITIES),
    ]
    assert [one.severity for one in conditions_of(["latency_ms"], "error")] == list(LATENCIES_MS)
    (smoke,) = conditions_of(["smoke=0.5", "smoke=0.50"], "degradation")
    assert smoke.label == "smoke=0.5"
    assert smoke.degradations(3).smoke == 0.5
    assert smoke.degradations(3).seed == 3
    assert NOMINAL.label == ""
    assert NOMINAL.degradations(3) is None
    driver = Steady()
    assert NOMINAL.spoil(driver, TASK) is driver
    assert smoke.spoil(driver, TASK) is driver
    assert isinstance(Condition("error", "depth_bias", 0.5).spoil(driver, TASK), Flawed)
    assert replace(NOMINAL, kind="error", name="depth_bias").label == "depth_bias=0"


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("rain=0.5", "degradation", "of smoke, blood"),
        ("smoke=0.5", "error", "of dropped_class"),
        ("smoke=2", "degradation", "X within 0 and 1"),
        ("smoke=", "degradation", "X within 0 and 1"),
        ("smoke=nan", "degradation", "X within 0 and 1"),
        ("latency_ms=-1", "error", "X within 0 and 10000"),
    ],
)
def test_wrong_conditions_are_refused(text, kind, expected):
    with pytest.raises(InputError, match=expected):
        conditions_of([text], kind)
