import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

import perception.train as training
from assets.errors import InputError
from perception.checkpoint import read_tensors
from perception.dataset import load_split
from perception.evaluate import evaluate_model
from perception.prediction import POLYP
from perception.predictor import Predictor
from perception.real_examples import order_with_real
from perception.train import LOG, MODEL, STATE, rate_share, train
from perception.train_options import TrainOptions
from perception.training_state import fresh_state, keep_log_until, load_state, read_log, save_state
from perception.views import STILLS, WIDE
from sim.shards import file_sha256

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def options(make_tubes, tmp_path_factory):
    folder = make_tubes(tmp_path_factory.mktemp("small"), {"train": [8, 8], "validation": [3, 3], "test": [2, 2]}, 32)
    return TrainOptions(folder, folder / "unused", epochs=3, batch=8, device="cpu", threads=1, quiet=True)


@pytest.fixture(scope="module")
def finished(options, tmp_path_factory):
    done = replace(options, out=tmp_path_factory.mktemp("run"))
    return done, train(done)


def test_a_training_leaves_a_model_a_log_and_figures(finished):
    options, figures = finished
    predictor = Predictor.load(options.out / MODEL, device="cpu")
    assert predictor.config.training["step"] == 6
    lines = read_log(options.out / LOG)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[-1]["loss"]["total"] < lines[0]["loss"]["total"]
    assert "model.dice.mean" in lines[0]["validation"]
    found = {(one["name"], one["subset"]): one for one in figures}
    for subset in ("tube/validation", "tube/test"):
        for name in ("model.dice.mean", "model.dice.polyp", "model.depth.abs_rel", "hue_threshold.dice.polyp"):
            assert (name, subset) in found
    one = found["model.depth.abs_rel", "tube/validation"]
    assert one["n"] == 6
    assert one["low"] <= one["value"] <= one["high"]
    assert found["train.frames_per_second", "tube/train"]["value"] > 0
    assert not list(options.out.glob(".*"))  # nothing half-written is left


def test_the_same_seed_gives_the_same_weights_and_another_does_not(finished, tmp_path):
    options, _ = finished
    train(replace(options, out=tmp_path / "again"))
    assert (tmp_path / "again" / MODEL).read_bytes() == (options.out / MODEL).read_bytes()
    train(replace(options, out=tmp_path / "other", seed=1))
    assert (tmp_path / "other" / MODEL).read_bytes() != (options.out / MODEL).read_bytes()


@pytest.mark.parametrize("stop_at", [1, 3, 4])
def test_an_interrupted_training_resumes_to_the_same_weights(finished, tmp_path, monkeypatch, stop_at):
    options, _ = finished
    jitter, calls = training.jitter, []

    def interrupt(image, log_exposure, foreign, rng):
        calls.append(0)
        if len(calls) > stop_at:
            raise KeyboardInterrupt
        return jitter(image, log_exposure, foreign, rng)

    again = replace(options, out=tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(training, "jitter", interrupt)
        patch.setattr(training, "_SAVE_EVERY", 0.0)
        with pytest.raises(KeyboardInterrupt):
            train(again)
    assert Predictor.load(again.out / MODEL).config.training["step"] == stop_at
    train(again)
    assert [line["epoch"] for line in read_log(again.out / LOG)] == [1, 2, 3]
    ours, theirs = read_tensors(again.out / MODEL), read_tensors(options.out / MODEL)
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name


def test_a_finished_training_is_not_done_again(finished):
    options, figures = finished
    before = (options.out / STATE).read_bytes()
    again = train(options)
    assert (options.out / STATE).read_bytes() == before
    values = [{one["name"] + one["subset"]: one["value"] for one in found} for found in (figures, again)]
    assert values[0].keys() == values[1].keys()
    for name, value in values[0].items():
        assert value == values[1][name] or math.isnan(value), name


def test_a_training_learns_a_model_further(finished, tmp_path):
    options, _ = finished
    start = options.out / MODEL
    further = replace(options, out=tmp_path / "further", start=start, epochs=1, learning_rate=1e-12, weight_decay=0.0)
    train(further)
    before, after = read_tensors(start), read_tensors(further.out / MODEL)
    name = "stem.convolution.weight"
    assert torch.allclose(before[name], after[name], atol=1e-7)
    assert Predictor.load(further.out / MODEL).config.training["options"]["start_sha256"] == file_sha256(start)
    with pytest.raises(InputError, match=r"start from, found S"):
        train(replace(further, out=tmp_path / "other", size="M"))
    with pytest.raises(InputError, match="start_sha256"):
        train(replace(further, start=further.out / MODEL))


def test_a_training_for_stills_alters_frames_to_the_end(options):
    stills = replace(options, stills=True, wide=0.5)
    assert stills.alteration(0.0) == stills.alteration(1.0) == STILLS
    assert (options.alteration(0.0), options.alteration(1.0)) == (WIDE, None)
    assert stills.identity() != options.identity()


def test_a_few_real_frames_are_learned_beside_simulated_ones(finished, tmp_path):
    options, _ = finished
    for part in ("images", "masks"):
        (tmp_path / "real" / part).mkdir(parents=True)
    picture, mask = np.full((40, 60, 3), (200, 60, 90), np.uint8), np.zeros((40, 60), np.uint8)
    picture[10:30, 20:40], mask[10:30, 20:40] = (40, 200, 60), 255
    for number in range(3):
        cv2.imwrite(str(tmp_path / "real" / "images" / f"{number}.png"), picture)
        cv2.imwrite(str(tmp_path / "real" / "masks" / f"{number}.png"), mask)
    start = options.out / MODEL
    further = replace(options, out=tmp_path / "run", start=start, real=tmp_path / "real", real_first=2, real_share=0.5)
    train(replace(further, epochs=40))
    before, after = (
        Predictor.load(path, device="cpu")(picture[..., ::-1], 1.0) for path in (start, further.out / MODEL)
    )
    marked = mask > 0
    assert after.probabilities[POLYP][marked].mean() > before.probabilities[POLYP][marked].mean() + 0.2
    with pytest.raises(InputError, match="at least 4 real frames, found 3"):
        train(replace(further, out=tmp_path / "more", real_first=4))
    with pytest.raises(InputError, match="expected a start"):
        replace(further, start=None)


def test_real_frames_take_the_places_of_a_share():
    order = np.arange(1000)
    mixed = order_with_real(order, np.array([1000, 1001]), 0.2, np.random.default_rng(0))
    taken = mixed >= 1000
    assert 0.15 < taken.mean() < 0.25
    assert np.array_equal(mixed[~taken], order[~taken])
    assert set(mixed[taken]) == {1000, 1001}


def test_a_bound_of_time_ends_the_training(options, tmp_path):
    train(replace(options, out=tmp_path, epochs=10_000, minutes=0.02))
    seconds = read_log(tmp_path / LOG)[-1]["seconds"]
    assert 1.0 < seconds < 4


def test_losses_that_are_no_numbers_never_reach_the_weights(options, tmp_path, monkeypatch):
    jitter, calls = training.jitter, []

    def sometimes_nan(image, log_exposure, foreign, rng):
        calls.append(0)
        return jitter(image * (float("nan") if len(calls) % 2 else 1), log_exposure, foreign, rng)

    monkeypatch.setattr(training, "jitter", sometimes_nan)
    train(replace(options, out=tmp_path / "half"))
    assert all(torch.isfinite(one).all() for one in read_tensors(tmp_path / "half" / MODEL).values())
    monkeypatch.setattr(
        training, "jitter", lambda image, log_exposure, foreign, rng: (image * float("nan"), log_exposure)
    )
    with pytest.raises(FloatingPointError, match="20 times"):
        train(replace(options, out=tmp_path / "all", epochs=20))


def test_another_training_is_not_resumed_and_a_damaged_state_is_refused(finished, tmp_path):
    options, _ = finished
    with pytest.raises(InputError, match="learning_rate"):
        train(replace(options, learning_rate=1e-4))
    damaged = replace(options, out=tmp_path)
    for data in (b"", b"nonsense", (options.out / STATE).read_bytes()[:-9], (options.out / MODEL).read_bytes()):
        (tmp_path / STATE).write_bytes(data)
        with pytest.raises(InputError, match=r"state\.safetensors"):
            train(damaged)


def test_a_state_survives_the_disk(tmp_path):
    state = fresh_state("S", 0, 0.01, CPU)
    for one in state.network.parameters():
        one.grad = torch.ones_like(one)
    state.optimiser.step()
    state.step, state.seconds = 7, 1.5
    save_state(tmp_path / STATE, state, {"seed": 0})
    other = fresh_state("S", 1, 0.01, CPU)
    load_state(tmp_path / STATE, other, {"seed": 0})
    assert (other.step, other.seconds) == (7, 1.5)
    assert torch.equal(other.network.stem.convolution.weight, state.network.stem.convolution.weight)
    mine, theirs = state.optimiser.state_dict()["state"], other.optimiser.state_dict()["state"]
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key]["exp_avg"], theirs[key]["exp_avg"]) for key in mine)
    with pytest.raises(InputError, match="seed"):
        load_state(tmp_path / STATE, other, {"seed": 1})


def test_the_log_forgets_what_will_be_done_again_and_a_line_cut_short(tmp_path):
    path = tmp_path / LOG
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in (10, 20, 30)) + '{"step": 4')
    assert [line["step"] for line in read_log(path)] == [10, 20, 30]
    keep_log_until(path, 20)
    assert path.read_text() == '{"step": 10}\n{"step": 20}\n'
    assert read_log(tmp_path / "none") == []


def test_the_learning_rate_rises_and_falls():
    shares = [rate_share(done) for done in np.linspace(0, 1, 101)]
    assert max(shares) == pytest.approx(1, abs=2e-3)
    assert int(np.argmax(shares)) == 3
    assert shares[0] == pytest.approx(0.02)
    assert shares[-1] == pytest.approx(0.02)


@pytest.mark.parametrize(
    "change",
    [{"epochs": 0}, {"minutes": 0.0}, {"batch": 1}, {"learning_rate": float("nan")}, {"polyp_share": 1.5}],
)
def test_senseless_options_are_refused(options, change):
    with pytest.raises(InputError, match=next(iter(change))):
        replace(options, **change)


def test_too_few_frames_for_a_batch_are_refused(options, tmp_path):
    with pytest.raises(InputError, match="at least 64 training frames"):
        train(replace(options, out=tmp_path, batch=64))


def test_open_loop_figures_are_those_of_single_predictions(finished):
    options, _ = finished
    figures = {one["name"]: one for one in evaluate_model(options.data, options.out / MODEL, device="cpu")}
    predictor, frames = Predictor.load(options.out / MODEL, device="cpu"), load_split(options.data, "test")
    errors, angles = [], []
    for row in range(len(frames)):
        prediction = predictor(frames.rgb[row], float(np.exp(frames.log_exposure[row])))
        truth = frames.distance[row].astype(np.float64) * frames.camera.rays()[0][..., 2]
        valid = truth > 0
        errors.append(np.mean(np.abs(prediction.depth - truth)[valid] / truth[valid]))
        if frames.visible[row]:
            angles.append(np.degrees(np.arccos(prediction.lumen_direction @ frames.direction[row])))
    assert figures["model.depth.abs_rel"]["value"] == pytest.approx(np.mean(errors), rel=1e-3)
    assert figures["model.direction.error_visible_deg"]["value"] == pytest.approx(np.mean(angles), rel=1e-3)
    assert figures["model.dice.mean"]["subset"] == "tube/test"
    assert figures["model.dice.mean"]["n"] == 2


def test_a_model_of_another_lens_is_refused(finished, tubes):
    options, _ = finished
    with pytest.raises(InputError, match="camera"):
        evaluate_model(tubes, options.out / MODEL, device="cpu")
