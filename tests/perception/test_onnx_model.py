from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from assets.errors import InputError
from perception.checkpoint import ModelConfig
from perception.network import build
from perception.onnx_model import OnnxPredictor, export_onnx
from perception.predictor import Predictor
from perception.tasks import LIVER_SURVEY
from sim.camera import Camera

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
CONFIG = ModelConfig("S", replace(Camera.with_fov(64, 64, 140.0), content_radius=0.5 * 64), {"seed": 1})


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = build("S")
        for _ in range(3):
            made(torch.rand(4, 3, 64, 64), torch.zeros(4), torch.rand(3, 64, 64))
        torch.nn.init.normal_(made.pixels.weight, 0, 0.1)
        made.shift_centres(4.6)
    return made.eval()


@pytest.fixture(scope="module")
def model(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(path, network, CONFIG)
    return path


def test_onnx_runtime_and_torch_agree_to_1e_4(network, model):
    ours, theirs = Predictor.of(network, CONFIG, device="cpu"), OnnxPredictor.load(model, threads=1)
    assert theirs.config == CONFIG
    rng = np.random.default_rng(0)
    for shape, exposure in (((64, 64), 0.7), ((64, 64), 1.5), ((90, 120), 1.0)):
        image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        a, b = ours(image, exposure), theirs(image, exposure)
        for name in ("probabilities", "depth", "depth_scale", "lumen_direction", "lumen_visible", "uncertainty"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-4, err_msg=name)
        np.testing.assert_allclose(a.polyp_centres, b.polyp_centres, atol=1e-3)
        assert len(a.polyp_centres)
        assert a.probabilities.std() > 0.01  # the network says something


def test_a_target_s_direction_agrees_too_and_the_file_tells_its_task(tmp_path):
    config = replace(CONFIG, task=LIVER_SURVEY)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = build("S", task=LIVER_SURVEY)
        torch.nn.init.normal_(network.centres[-1].weight, 0, 0.5)
    export_onnx(tmp_path / "survey.onnx", network.eval(), config)
    ours, theirs = Predictor.of(network, config, device="cpu"), OnnxPredictor.load(tmp_path / "survey.onnx", threads=1)
    assert theirs.config.task is LIVER_SURVEY
    rng = np.random.default_rng(0)
    directions = []
    for _ in range(3):
        image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        a, b = ours(image, 1.0), theirs(image, 1.0)
        for name in ("probabilities", "lumen_direction", "lumen_visible"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-4, err_msg=name)
        directions.append(a.lumen_direction)
    assert np.std(directions, axis=0).max() > 0.01  # it points here and there


def test_files_that_are_not_ours_are_refused(model, tmp_path):
    with pytest.raises(InputError, match="readable"):
        OnnxPredictor.load(tmp_path / "nothing.onnx")
    data = model.read_bytes()
    other = tmp_path / "other.onnx"
    for damaged in (b"", b"nonsense", data[: len(data) // 2]):
        other.write_bytes(damaged)
        with pytest.raises(InputError, match=r"other\.onnx"):
            OnnxPredictor.load(other)
    proto = onnx.load_model_from_string(data)
    del proto.metadata_props[:]
    other.write_bytes(proto.SerializeToString())
    with pytest.raises(InputError, match="trocar model export"):
        OnnxPredictor.load(other)
    for text in ("{", '{"format": "other"}', "[" * 5000):
        proto = onnx.load_model_from_string(data)
        proto.metadata_props[0].value = text
        other.write_bytes(proto.SerializeToString())
        with pytest.raises(InputError, match=r"other\.onnx"):
            OnnxPredictor.load(other)
