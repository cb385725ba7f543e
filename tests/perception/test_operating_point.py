from dataclasses import replace

import numpy as np
import pytest
import torch

from perception.dataset import load_split
from perception.detector import logit
from perception.network import build
from perception.operating_point import Look, Sighting, alarm_rate, best_alarm_shift, looks_of

CPU = torch.device("cpu")
SIZE = 32


def spot(number: int) -> np.ndarray:
    """One of four places that are too far apart to be taken for one another."""
    mask = np.zeros((SIZE, SIZE), np.bool_)
    row, column = 20 * (number // 2), 20 * (number % 2)
    mask[row : row + 5, column : column + 5] = True
    return mask


def look(*sightings: Sighting, polyps: int = 0, steps: int = 3, first: bool = True) -> Look:
    return Look(sightings, polyps, steps, first)


def polyp(logit: float) -> Sighting:
    return Sighting(spot(0), logit, 0.5, hits=True, false=False)


def nothing(logit: float, place: int = 1) -> Sighting:
    return Sighting(spot(place), logit, 0.5, hits=False, false=True)


def test_rates_are_those_counted_by_hand():
    # 10 looks of 3 steps of 0.1 s: 0.05 minutes. At shift 0 a logit of 0 is an alarm from its first step on.
    looks = [look(polyp(0.1), polyps=1), look(polyp(-9.0), polyps=1), look(nothing(0.1)), *[look() for _ in range(7)]]
    rate = alarm_rate(looks, 0.0)
    assert rate.found == pytest.approx(1 / 2)
    assert rate.false_alarms_per_minute == pytest.approx(1 / 0.05)
    assert alarm_rate(looks, -9.0).false_alarms_per_minute == 0
    assert alarm_rate([look()], 0.0).found is None


def test_short_false_alarms_count_none_and_a_long_one_counts_one():
    assert alarm_rate([look(nothing(3.0), steps=2), look(steps=4)], 0.0).false_alarms_per_minute == 0
    lasting = [look(nothing(3.0), first=not number) for number in range(4)]
    assert alarm_rate(lasting, 0.0).false_alarms_per_minute == pytest.approx(1 / (12 * 0.1 / 60))


def test_evidence_adds_up_within_a_sequence_and_not_beyond_it():
    doubt = float(np.log(0.3 / 0.7))  # alone below 0.5, with the step before above
    alone = [look(polyp(doubt), polyps=1, steps=1, first=True) for _ in range(2)]
    assert alarm_rate(alone, 0.0).found == 0
    together = [alone[0], look(polyp(doubt), polyps=1, steps=1, first=False)]
    assert alarm_rate(together, 0.0).found == pytest.approx(1 / 2)


def test_the_shift_is_the_smallest_that_finds_most_within_the_bound():
    # Polyps at 2, 0 and -2, false regions at -1 and -3: which may be alarms decides how far one can go.
    regions = [polyp(2.0), polyp(0.0), polyp(-2.0), nothing(-1.0), nothing(-3.0)]
    looks = [look(one, polyps=int(one.hits), steps=3) for one in regions]
    one_a_minute = 1 / (15 * 0.1 / 60)
    for bound in (0.0, one_a_minute, 2 * one_a_minute):
        shift, rate = best_alarm_shift(looks, most_false_alarms=bound)
        assert rate == alarm_rate(looks, shift)
        assert rate.false_alarms_per_minute <= bound
        allowed = [
            (one, at)
            for at in np.linspace(-8, 8, 161)
            if (one := alarm_rate(looks, float(at))).false_alarms_per_minute <= bound
        ]
        assert rate.found == max(one.found for one, _ in allowed)
        assert shift == min(at for one, at in allowed if one.found == rate.found)
    assert best_alarm_shift([look(nothing(0.0))]) == (0.0, alarm_rate([look(nothing(0.0))], 0.0))


def test_a_shift_does_in_the_network_what_it_did_in_the_fit(make_tubes, tmp_path):
    frames = load_split(make_tubes(tmp_path, {"validation": [6, 6]}, 64), "validation")
    torch.manual_seed(3)
    network = build("S").eval()
    network.shift_class(2, 0.3)  # untrained it sees polyps here and there
    looks = looks_of(network, frames, CPU)
    middle = -float(np.median([one.logit + logit(one.belief) for look in looks for one in look.sightings]))
    expected = [alarm_rate(looks, middle + more) for more in (-2.0, 0.0, 2.0)]
    assert expected[0] != expected[2]
    for rate, more in zip(expected, (middle - 2.0, 2.0, 2.0), strict=True):
        network.shift_centres(more)
        assert alarm_rate(looks_of(network, frames, CPU), 0.0) == rate


def test_a_frame_stands_until_the_next_of_its_sequence(make_tubes, tmp_path):
    frames = load_split(make_tubes(tmp_path, {"validation": [4, 4]}, 32), "validation")
    times = np.array([0.0, 0.3, 0.6, 5.0, 0.0, 0.1, 0.4, 0.7], np.float32)
    looks = looks_of(build("S"), replace(frames, times=times), CPU)
    assert [one.first for one in looks] == [True, False, False, True, True, False, False, False]
    assert [one.steps for one in looks] == [3, 3, 3, 3, 1, 3, 3, 3]


def test_an_alarm_on_a_polyp_far_away_is_not_false(make_tubes, tmp_path):
    frames = load_split(make_tubes(tmp_path, {"validation": [6, 6]}, 64), "validation")
    torch.manual_seed(3)
    network = build("S").eval()
    network.shift_class(2, 0.3)
    near = looks_of(network, frames, CPU)
    assert any(one.false for look in near for one in look.sightings)
    everywhere = np.full_like(frames.packed_sought, 255)  # as of a polyp beyond the wall that is near
    for before, after in zip(near, looks_of(network, replace(frames, packed_sought=everywhere), CPU), strict=True):
        assert not any(one.false for one in after.sightings)
        assert [one.hits for one in after.sightings] == [one.hits for one in before.sightings]
