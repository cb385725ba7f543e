from dataclasses import replace

import numpy as np
import pytest
import torch

from perception.calibration import (
    ReliabilityCounts,
    best_depth_scale_factor,
    best_sought_shift,
    best_temperature,
    dice_by_shift,
)
from perception.dataset import load_split
from perception.evaluate import measure
from perception.metrics import segmentation_scores
from perception.network import build
from perception.prediction import POLYP

CPU = torch.device("cpu")


def test_dice_by_shift_agrees_with_masks():
    rng = np.random.default_rng(0)
    needed, truth = rng.normal(0, 2, 4000), rng.random(4000) < 0.1
    edges = np.linspace(-8, 8, 161)
    bins = np.searchsorted(edges, needed, side="left")
    curve = dice_by_shift(np.bincount(bins[truth], minlength=162), np.bincount(bins[~truth], minlength=162))
    for index in (0, 40, 80, 123, 160):
        said = needed <= edges[index]
        expected = 2 * np.count_nonzero(said & truth) / max(np.count_nonzero(said) + np.count_nonzero(truth), 1)
        assert curve[index] == pytest.approx(expected)


def test_the_shift_mends_a_network_that_sees_polyps_everywhere(make_tubes, tmp_path):
    frames = load_split(make_tubes(tmp_path, {"validation": [4, 4]}, 32), "validation")
    torch.manual_seed(3)
    network = build("S").eval()

    def dice() -> float:
        counts = measure(network, frames, CPU).counts
        return float(np.mean([segmentation_scores(one).dice[POLYP] for one in counts.values()]))

    network.shift_class(POLYP, 6.0)
    everywhere = dice()
    shift = best_sought_shift(network, frames, CPU)
    assert shift < 0
    network.shift_class(POLYP, shift)
    assert dice() > everywhere
    assert best_sought_shift(network, frames, CPU) == pytest.approx(0, abs=0.11)  # nothing is left to gain


def test_for_stills_the_shift_is_fitted_on_altered_frames_that_show_a_polyp(make_tubes, tmp_path):
    frames = load_split(make_tubes(tmp_path, {"validation": [6, 6]}, 32), "validation")
    showing = replace_rows(frames, frames.with_sought)
    assert 0 < len(showing) < len(frames)
    torch.manual_seed(3)
    network = build("S").eval()
    stills = best_sought_shift(network, frames, CPU, stills=True)
    assert stills == best_sought_shift(network, showing, CPU, stills=True)  # those without one have no say
    assert stills != best_sought_shift(network, showing, CPU)  # nor have frames as they were recorded


def replace_rows(frames, rows):
    """Return the frames of some rows, of a mask."""
    names = ("rgb", "log_exposure", "classes", "distance", "direction", "visible", "times", "packed_sought")
    kept = {name: getattr(frames, name)[rows] for name in names}
    tuples = {name: tuple(np.array(getattr(frames, name), object)[rows]) for name in ("centres", "patients")}
    return replace(frames, **kept, **tuples)


def test_a_shift_moves_one_class_alone():
    network = build("S").eval()
    image, exposure, rays = torch.rand(1, 3, 32, 32), torch.zeros(1), torch.zeros(3, 32, 32)
    with torch.inference_mode():
        before = network(image, exposure, rays)
        network.shift_class(POLYP, 1.5)
        after = network(image, exposure, rays)
    moved = after.class_logits - before.class_logits
    expected = torch.zeros(4)
    expected[POLYP] = 1.5
    torch.testing.assert_close(moved.mean(dim=(0, 2, 3)), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(after.log_distance, before.log_distance)


def test_without_polyps_nothing_is_shifted(make_tubes, tmp_path):
    frames = load_split(make_tubes(tmp_path, {"validation": [2]}, 32), "validation")
    bare = replace(frames, classes=np.where(frames.classes == POLYP, 1, frames.classes).astype(np.uint8))
    assert best_sought_shift(build("S"), bare, CPU) == 0.0


def test_the_temperature_brings_back_logits_that_were_scaled(make_tubes, tmp_path):
    frames = load_split(make_tubes(tmp_path, {"validation": [4, 4]}, 32), "validation")
    network = build("S").eval()
    share = np.bincount(frames.classes[:, ::2, ::2].ravel(), minlength=4) / frames.classes[:, ::2, ::2].size
    with torch.no_grad():  # it says of every pixel how often each class comes: no temperature is likelier than 1
        network.pixels.weight.zero_()
        network.pixels.bias[:16] = torch.from_numpy(np.log(share)).float().repeat_interleave(4)
    assert best_temperature(network, frames, CPU) == pytest.approx(1, rel=0.06)
    before = measure(network, frames, CPU)
    network.divide_classes(0.5)
    assert best_temperature(network, frames, CPU) == pytest.approx(2, rel=0.06)
    doubled = measure(network, frames, CPU)
    assert all((doubled.counts[name] == before.counts[name]).all() for name in before.counts)
    network.shift_depth_scale(-float(np.log(best_depth_scale_factor(network, frames, CPU))))
    factor = best_depth_scale_factor(network, frames, CPU)
    network.shift_depth_scale(float(np.log(factor)))
    assert best_depth_scale_factor(network, frames, CPU) == pytest.approx(1, rel=1e-4)


def test_the_calibration_error_of_beliefs_that_come_true_is_none_and_of_boasts_the_boast():
    rng = np.random.default_rng(0)
    belief = rng.uniform(0.25, 1, 400_000)
    honest = ReliabilityCounts()
    honest.add(belief, rng.random(400_000) < belief)
    assert honest.error < 0.005
    boasting = ReliabilityCounts()
    boasting.add(np.full(1000, 0.9), np.arange(1000) < 600)
    assert boasting.error == pytest.approx(0.3)
    assert np.isnan(ReliabilityCounts().error)
    apart = ReliabilityCounts()
    apart.add_sums(boasting.sums)
    assert apart.error == boasting.error
    once = apart.error
    apart.add_sums(boasting.sums)
    assert apart.error == pytest.approx(once)
    apart.add_sums(honest.sums)
    pooled = honest.error * 400_000 + 0.3 * 2000
    assert apart.error <= (pooled + 1e-6) / 402_000
