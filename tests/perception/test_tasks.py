"""A network for another task than colonoscopy: other classes, a target instead of the way ahead."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from assets.errors import InputError
from assets.labels import label_id
from perception.batches import cut_batch
from perception.calibration import best_target_shift, best_threshold
from perception.checkpoint import ModelConfig, load_model, save_model
from perception.dataset import load_split
from perception.evaluate import evaluate_model
from perception.losses import losses
from perception.network import build
from perception.network_outputs import CENTRE_STRIDE, NO_PEAK, aim_at_peak
from perception.predictor import Predictor, ray_planes
from perception.survey_classes import INSTRUMENT, LIVER, OTHER, SURVEY_CLASSES
from perception.targets import sample_targets, tip_centre
from perception.tasks import LIVER_SURVEY, PerceptionTask
from perception.train import MODEL, train
from perception.train_options import TrainOptions
from sim.camera import Camera
from sim.dataset_index import write_dataset
from sim.frame import Frame
from sim.frame_meta import json_bytes
from sim.shards import Sample, encode, index_record, write_shard

CPU = torch.device("cpu")
LABELS = {name: label_id(name) for name in ("liver", "grasper", "stomach")}
CAMERA = Camera.with_fov(64, 64, 70.0, model="pinhole")


def survey_sample(number: int, *, patient: str = "abdomen", split: str = "train", tip: bool = True) -> Sample:
    """A wall of stomach with a disc of liver before it, 60 mm away, and a grey shaft from the edge to its tip."""
    rng = np.random.default_rng(number)
    row, column = np.mgrid[0:64, 0:64]
    semantic = np.full((64, 64), LABELS["stomach"], np.uint8)
    semantic[(row - rng.uniform(16, 48)) ** 2 + (column - rng.uniform(16, 48)) ** 2 < 15**2] = LABELS["liver"]
    u, v = rng.uniform(12, 52, 2)
    if tip:
        semantic[(np.abs(row - v) < 3) & (column <= u)] = LABELS["grasper"]
    colours = {LABELS["stomach"]: (200, 140, 120), LABELS["liver"]: (130, 40, 35), LABELS["grasper"]: (150, 150, 155)}
    rgb = np.zeros((64, 64, 3), np.uint8)
    for label, colour in colours.items():
        rgb[semantic == label] = colour
    ray = np.array([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, 1.0])
    frame = Frame(
        rgb=rgb,
        semantic=semantic,
        instance=np.ones((64, 64), np.uint16),
        depth=np.full((64, 64), 0.06, np.float32),
        normal=np.zeros((64, 64, 3), np.float32),
        flow=np.zeros((64, 64, 2), np.float32),
        flow_valid=np.zeros((64, 64), np.bool_),
        T_world_camera=np.eye(4),
        camera=CAMERA,
        time=0.0,
        exposure=1.0,
    )
    meta = {
        "task": "liver_survey",
        "patient": patient,
        "split": split,
        "labels": LABELS,
        "lumen_direction": (ray / np.linalg.norm(ray)).tolist(),
        "lumen_visible": tip,
        "step": number,
    }
    return encode(frame, meta, key=f"{patient}-{number:05d}")


@pytest.fixture(scope="module")
def surveys(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("surveys")
    infos, records, names = {}, [], {"train": "a", "validation": "b"}
    for split, patient in names.items():
        samples = [survey_sample(n, patient=patient, split=split, tip=n % 4 > 0) for n in range(24)]
        infos[split] = [write_shard(folder / f"{patient}.tar", samples)]
        records += [index_record(sample, f"{patient}.tar") for sample in samples]
    write_dataset(
        folder,
        records,
        labels=LABELS,
        depth_step=1e-5,
        splits={split: [patient] for split, patient in names.items()},
        shards=infos,
        config={"scenario": "liver_survey"},
    )
    return folder


def test_a_sample_of_a_survey_has_its_classes_and_the_tip_where_it_is_seen():
    sample = survey_sample(1)
    targets = sample_targets(sample)
    assert targets.task is LIVER_SURVEY
    semantic = sample.channel("semantic")
    for label, index in (("stomach", OTHER), ("liver", LIVER), ("grasper", INSTRUMENT)):
        np.testing.assert_array_equal(targets.classes == index, semantic == LABELS[label])
    (u, v, _) = targets.centres[0]
    assert abs(u - np.nonzero(targets.classes == INSTRUMENT)[1].max()) <= 1
    assert abs(v - np.nonzero(targets.classes == INSTRUMENT)[0].mean()) <= 1
    assert sample_targets(survey_sample(1, tip=False)).centres.shape == (0, 3)
    assert tip_centre(np.array([1.0, 0.0, 0.1], np.float32), CAMERA).shape == (0, 3)


@pytest.mark.parametrize(("key", "value"), [("task", "cooking"), ("task", 3), ("labels", {"grasper": 2})])
def test_a_sample_of_no_known_task_or_without_its_labels_is_refused(key, value):
    sample = survey_sample(0)
    bad = replace(sample, members={**sample.members, "meta.json": json_bytes({**sample.meta(), key: value})})
    with pytest.raises(InputError, match=key):
        sample_targets(bad)


@pytest.mark.parametrize("size", ["S", "mlp"])
def test_a_task_decides_classes_and_heads(size):
    network = build(size, task=LIVER_SURVEY).eval()
    names = {name.partition(".")[0] for name in network.state_dict()}
    assert "centres" in names
    assert not {"heat", "frame"} & names
    rays = ray_planes(CAMERA, CPU)
    with torch.inference_mode():
        outputs = network(torch.rand(2, 3, 64, 64), torch.zeros(2), rays)
    assert outputs.class_logits.shape == (2, len(SURVEY_CLASSES), 64, 64)
    direction, logit = aim_at_peak(outputs.centre_logits, rays[None])
    torch.testing.assert_close(outputs.direction, direction)
    torch.testing.assert_close(outputs.visible_logit, logit)
    seven = replace(LIVER_SURVEY, classes=tuple("abcdefg"), heads=("direction",))
    network = build(size, task=seven).eval()
    with torch.inference_mode():
        outputs = network(torch.rand(1, 3, 32, 32), torch.zeros(1), torch.rand(3, 32, 32))
    assert outputs.class_logits.shape == (1, 7, 32, 32)
    assert (outputs.centre_logits == NO_PEAK).all()
    assert "centres" not in {name.partition(".")[0] for name in network.state_dict()}


def test_the_direction_of_a_peak_is_its_ray_and_between_two_equal_cells_the_middle():
    rays = ray_planes(CAMERA, CPU)[None]
    logits = torch.full((1, 16, 16), -12.0)
    logits[0, 5, 9] = 2.0
    direction, logit = aim_at_peak(logits, rays)
    pixel, _ = CAMERA.project(direction.double().numpy())
    middle = (CENTRE_STRIDE - 1) / 2
    np.testing.assert_allclose(pixel, [[9 * CENTRE_STRIDE + middle, 5 * CENTRE_STRIDE + middle]], atol=0.02)
    assert float(logit) == 2.0
    logits[0, 5, 10] = 2.0
    pixel, _ = CAMERA.project(aim_at_peak(logits, rays)[0].double().numpy())
    np.testing.assert_allclose(pixel[0, 0], 9.5 * CENTRE_STRIDE + middle, atol=0.02)
    logits[0, 0, 0] = 1.9  # another peak, far off, plays no part
    np.testing.assert_allclose(CAMERA.project(aim_at_peak(logits, rays)[0].double().numpy())[0], pixel, atol=1e-3)


def test_a_tip_that_is_covered_is_not_seen(surveys):
    frames = load_split(surveys, "train")
    assert frames.task is LIVER_SURVEY
    assert frames.with_sought.sum() == frames.visible.sum() == 18
    gone = 0
    for seed in range(12):
        batch = cut_batch(frames, np.arange(24), CPU, np.random.default_rng(seed))
        has_peak = (batch.centres == 1).flatten(1).any(dim=1)
        assert torch.equal(has_peak, batch.visible > 0)
        gone += int((frames.visible & ~has_peak.numpy()).sum())
    assert gone > 0


def test_the_direction_of_an_unseen_target_costs_nothing(surveys):
    frames = load_split(surveys, "train")
    batch = cut_batch(frames, np.flatnonzero(~frames.visible), CPU)
    network = build("S", task=LIVER_SURVEY)
    with torch.inference_mode():
        found = losses(network(batch.image, batch.log_exposure, batch.rays), batch, LIVER_SURVEY)
    assert float(found.direction) == 0


def test_a_training_for_a_survey_finds_liver_and_tip(surveys, tmp_path, tubes):
    options = TrainOptions(
        surveys,
        tmp_path / "run",
        task="liver_survey",
        epochs=20,
        batch=8,
        learning_rate=4e-3,
        wide=0.0,
        device="cpu",
        threads=1,
        quiet=True,
    )
    figures = {one["name"]: one["value"] for one in train(options)}
    assert figures["model.dice.liver"] > 0.8
    assert figures["model.dice.instrument"] > 0.8
    assert figures["model.direction.error_visible_deg"] < 6  # 70 degrees across; the middle is 19 off in the mean
    assert "model.direction.error_hidden_deg" not in figures
    assert "hue_threshold.dice.instrument" in figures
    predictor = Predictor.load(options.out / MODEL, device="cpu")
    assert predictor.config.task is LIVER_SURVEY
    prediction = predictor(survey_sample(2).channel("rgb"), 1.0)
    assert prediction.probabilities.shape == (len(SURVEY_CLASSES), 64, 64)
    card = (options.out / "model.md").read_text()
    assert "background, other, instrument, liver" in card
    assert "the instrument's tip" in card
    assert "lumen" not in card
    with pytest.raises(InputError, match="expected the model's task liver_survey, found colonoscopy"):
        evaluate_model(tubes, options.out / MODEL)


def test_data_of_another_task_are_refused(surveys, tubes, tmp_path):
    with pytest.raises(InputError, match="expected frames for the task colonoscopy, found them for liver_survey"):
        train(TrainOptions(surveys, tmp_path / "a", task="colonoscopy", batch=8, device="cpu", quiet=True))
    with pytest.raises(InputError, match="expected frames for the task liver_survey, found them for colonoscopy"):
        train(TrainOptions(tubes, tmp_path / "b", task="liver_survey", batch=8, device="cpu", quiet=True))
    with pytest.raises(InputError, match=r"train: task: expected a task of colonoscopy, liver_survey, found 'baking'"):
        TrainOptions(tubes, tmp_path, task="baking")


def saved(folder: Path, task: PerceptionTask) -> Path:
    path = folder / f"{task.name}.safetensors"
    save_model(path, build("S", task=task), ModelConfig("S", CAMERA, {}, task=task))
    return path


def test_the_task_is_kept_with_the_model(tmp_path):
    network, config = load_model(saved(tmp_path, LIVER_SURVEY))
    assert config.task is network.task is LIVER_SURVEY


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda stored: stored.update(task="colonoscopy"), "expected classes .* of a model for colonoscopy"),
        (lambda stored: stored.update(heads=["direction"]), r"expected heads \['target'\]"),
        (lambda stored: stored.update(task=["x"]), "expected a task of colonoscopy, liver_survey"),
        (lambda stored: stored.pop("task"), "expected a task of colonoscopy, liver_survey, found None"),
        (lambda stored: stored.pop("heads"), r"expected heads \['target'\]"),
        (lambda stored: stored.update(classes=["a", "b"]), "expected classes"),
    ],
)
def test_a_config_that_does_not_fit_its_task_is_refused(tmp_path, change: Callable[..., None], said):
    path = saved(tmp_path, LIVER_SURVEY)
    stored = json.loads(path.with_suffix(".json").read_text())
    change(stored)
    path.with_suffix(".json").write_text(json.dumps(stored))
    with pytest.raises(InputError, match=said):
        load_model(path)


def test_the_best_threshold_is_that_of_all_thresholds():
    rng = np.random.default_rng(0)
    right, wrong, present = rng.normal(1, 1, 50), rng.normal(-1, 1, 200), 60

    def f1(threshold: float) -> float:
        hits, false = (right >= threshold).sum(), (wrong >= threshold).sum()
        return float(2 * hits / (hits + false + present))

    found = best_threshold(right, wrong, present)
    assert f1(found) == pytest.approx(max(f1(one) for one in np.linspace(-5, 5, 10_001)))
    assert best_threshold(np.array([1.0]), np.array([]), 1) == 1.0


def test_a_target_that_is_told_too_seldom_is_told_as_it_should_be(surveys, monkeypatch):
    frames = load_split(surveys, "validation")
    network = build("S", task=LIVER_SURVEY)
    heat = torch.full((24, 16, 16), -9.0)
    for row, centres in enumerate(frames.centres):  # peaks at the tips with a logit of -2, elsewhere at -5
        u, v = (centres[0, :2] // CENTRE_STRIDE).astype(int) if len(centres) else (3, 3)
        heat[row, v, u] = -2.0 if len(centres) else -5.0
    outputs = SimpleNamespace(centre_logits=heat)
    monkeypatch.setattr("perception.calibration._outputs", lambda *_: [(np.arange(24), None, outputs)])
    assert best_target_shift(network, frames, CPU) == pytest.approx(3.5, abs=1e-4)
    bare = replace(frames, centres=tuple(np.zeros((0, 3), np.float32) for _ in range(24)))
    assert best_target_shift(network, bare, CPU) == 0.0
