from dataclasses import replace

import numpy as np
import pytest

from scenarios.catalogue import driver_named
from scenarios.caution import LONGEST_STOP, CautionOptions, Cautious, Watch
from scenarios.colonoscopy import COLONOSCOPY, TASK
from scenarios.drivers.model import Model
from scenarios.interface import Observation, Readings
from scenarios.loop import run_episode
from scenarios.picture_monitor import PictureOptions
from scenarios.planted import EARLIEST, FAILURES, LASTS, LATEST, Planted
from scenarios.safety import Safety, safety_of
from scenarios.truth import nothing_seen
from sim.camera import Camera

CAMERA = Camera.with_fov(16, 16, 140.0)
GOOD = [np.random.default_rng(k).integers(60, 160, (16, 16, 3), dtype=np.uint8) for k in range(40)]
BLACK = np.zeros((16, 16, 3), np.uint8)
IN_TUBE = replace(COLONOSCOPY, max_steps=200)


def shares(pictures, doubts=None) -> list[float]:
    watch = Watch()
    found = []
    for k, picture in enumerate(pictures):
        watch.look(Observation(picture, CAMERA, Readings(0.1 * k, 1.0)))
        found.append(watch.share(0.0 if doubts is None else doubts[k]))
    return found


def test_a_live_picture_is_never_stopped():
    assert shares(GOOD) == [1.0] * len(GOOD)
    assert shares(GOOD, [0.2] * len(GOOD)) == [1.0] * len(GOOD)


def test_one_lost_frame_does_not_stop_and_two_do_until_the_picture_is_back():
    assert shares([*GOOD[:3], BLACK, *GOOD[3:6]]) == [1.0] * 7
    assert shares([*GOOD[:3], BLACK, BLACK, BLACK, GOOD[4]]) == [1, 1, 1, 1, 0, 0, 1]
    frozen = [*GOOD[:3], GOOD[2], GOOD[2], GOOD[2], GOOD[4]]
    assert shares(frozen) == [1, 1, 1, 1, 0, 0, 1]


def test_a_change_of_one_value_is_no_frozen_picture():
    other = GOOD[0].copy()
    other[3, 4, 1] += 1
    assert shares([GOOD[0], other] * 4) == [1.0] * 8


def test_the_dark_surround_does_not_make_a_picture_black():
    camera = replace(CAMERA, content_radius=3.0)
    _, shown = camera.rays()
    picture = np.repeat(np.where(shown[..., None], 20, 0), 3, axis=2).astype(np.uint8)
    assert picture.mean() < PictureOptions().black
    watch = Watch()
    for k in range(4):
        watch.look(Observation(picture + np.uint8(k), camera, Readings(0.1 * k, 1.0)))
        assert watch.share(0.0) == 1.0


def test_uncertainty_slows_in_proportion_and_stops():
    assert shares(GOOD[:4], [0.525] * 4) == pytest.approx([0.5] * 4)
    assert shares(GOOD[:4], [0.9] * 4) == [0.0] * 4
    # one uncertain frame among three says nothing
    assert shares(GOOD[:6], [0.1, 0.1, 0.95, 0.1, 0.1, 0.1]) == [1.0] * 6


def test_a_stop_for_uncertainty_ends_in_a_crawl():
    steps = round(LONGEST_STOP / 0.1)
    found = shares(GOOD, [0.9] * len(GOOD))
    assert found == [0.0] * steps + [CautionOptions().crawl] * (len(GOOD) - steps)


def test_a_fogged_lens_stops_from_the_second_frame_on_and_ends_in_a_crawl():
    fogged = [np.clip(100 + 0.1 * (one.astype(int) - 100), 0, 255).astype(np.uint8) for one in GOOD]
    steps, crawl = round(LONGEST_STOP / 0.1), CautionOptions().crawl
    found = shares([*GOOD[:12], *fogged])
    assert found[: 13 + steps + 2] == [1.0] * 13 + [0.0] * steps + [crawl] * 2
    assert shares([*GOOD[:12], *fogged[:4], *GOOD[12:14]]) == [1.0] * 13 + [0.0] * 3 + [1.0] * 2


@pytest.mark.parametrize("failure", FAILURES)
def test_a_planted_failure_begins_at_a_drawn_time_and_ends(failure, tube_scene):
    environment = TASK.start(tube_scene, 1, 0.02, None, None)
    frame, _, _ = environment.observe()
    starts = {Planted(failure, seed).start for seed in range(30)}
    assert len(starts) > 15
    assert EARLIEST <= min(starts) < max(starts) <= LATEST
    planted = Planted(failure, 4)
    before = replace(frame, time=planted.start - 0.1, rgb=frame.rgb // 2)
    assert planted.spoil(before) is before
    during = planted.spoil(replace(frame, time=planted.start))
    assert not np.array_equal(during.rgb, frame.rgb)
    np.testing.assert_array_equal(during.depth, frame.depth)
    if failure == "frozen":
        np.testing.assert_array_equal(during.rgb, before.rgb)
    if failure == "black":
        assert not during.rgb.any()
    after = replace(frame, time=planted.start + LASTS)
    assert planted.spoil(after) is after


def test_safety_counts_what_it_should():
    planted = Planted("black", 4)
    first, count = round(planted.start * 10), round(planted.start * 10) + 80
    path = np.zeros((count + 1, 3))
    path[:, 0] = 0.002 * np.arange(count + 1)
    allowed = np.ones(count)
    allowed[2:6] = 0  # one false stop of 0.4 s
    allowed[8] = 0.4  # slow is not a stop
    allowed[first + 3 : first + 52] = 0  # stopped 0.3 s after the onset, until 0.2 s after its end
    found = safety_of(list(allowed), path, planted)
    assert found.false_stops == 1
    assert found.stopped == pytest.approx(0.4)
    assert found.onset == pytest.approx(planted.start)
    assert found.detect == pytest.approx(0.3)
    assert found.way == pytest.approx(0.002 * 50)
    assert safety_of(list(allowed), path, planted, [""] * (first + 3) + ["black"] * 77).cause == "black"
    missed = safety_of([1.0] * count, path, planted)
    assert (missed.detect, missed.false_stops) == (None, 0)
    brief = safety_of([1.0] * 5, path[:6], planted)
    assert brief == Safety(0, 0.0)  # over before the failure began


def noise_model(rgb, exposure):
    """A network that takes its uncertainty from the picture: a dark one is doubtful."""
    said = nothing_seen(rgb.shape[:2], np.array([0.0, 0.0, 1.0]))
    return replace(said, frame_uncertainty=0.9 if rgb.mean() < 10 else 0.1)


@pytest.mark.parametrize("failure", ["black", "frozen"])
def test_a_watched_driver_stops_for_a_dead_picture_and_goes_on(tube_scene, failure):
    planted = Planted(failure, 0)  # begins early enough for the tube
    planted.start = 1.0
    driver = Cautious(Model(noise_model), TASK)
    episode = run_episode(tube_scene, IN_TUBE, driver, 3, planted=planted)
    safety = safety_of(driver.shares, episode.path, planted)
    assert safety.detect == pytest.approx(0.1 if failure == "black" else 0.0, abs=0.11)
    assert safety.false_stops == 0
    standing = np.linalg.norm(np.diff(episode.path[13:60], axis=0), axis=1)
    assert standing.max() < 0.001
    assert episode.summary.success
    plain = run_episode(tube_scene, IN_TUBE, Model(noise_model), 3)
    assert 45 <= episode.summary.success_steps - plain.summary.success_steps <= 52
    unwatched = run_episode(tube_scene, IN_TUBE, Model(noise_model), 3, planted=Planted(failure, 0))
    assert unwatched.summary.success_steps <= plain.summary.success_steps + 2


def test_without_a_failure_the_watch_changes_nothing(tube_scene):
    plain = run_episode(tube_scene, IN_TUBE, driver_named("classical", TASK), 3)
    driver = Cautious(driver_named("classical", TASK), TASK)
    watched = run_episode(tube_scene, IN_TUBE, driver, 3)
    np.testing.assert_array_equal(plain.path, watched.path)
    assert set(driver.shares) == {1.0}
    assert (driver.name, driver.needs_truth) == ("classical", False)
