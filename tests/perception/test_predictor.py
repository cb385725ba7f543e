import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from assets.errors import InputError
from perception.checkpoint import ModelConfig, load_model, save_model
from perception.network import build
from perception.prediction import CLASSES
from perception.predictor import Predictor
from sim.camera import Camera

CAMERA = replace(Camera.with_fov(64, 64, 140.0), content_radius=0.45 * 64)


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = build("S")
        rays = torch.rand(3, 64, 64)
        for _ in range(3):
            made(torch.rand(4, 3, 64, 64), torch.zeros(4), rays)
    return made.eval()


@pytest.fixture
def model(network, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, network, ModelConfig("S", CAMERA, {"seed": 1}))
    return path


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def assert_same(a, b, **tolerance):
    for name in (
        "probabilities",
        "depth",
        "depth_scale",
        "lumen_direction",
        "lumen_visible",
        "uncertainty",
        "frame_uncertainty",
        "polyp_centres",
    ):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), err_msg=name, **tolerance)


def test_a_prediction_keeps_its_promises(model, image):
    prediction = Predictor.load(model, device="cpu")(image, 0.7)
    shown = CAMERA.rays()[1]
    assert prediction.probabilities.shape == (len(CLASSES), 64, 64)
    np.testing.assert_allclose(prediction.probabilities.sum(axis=0), 1, rtol=1e-5)
    assert (prediction.depth[shown] > 0).all()
    assert (prediction.depth[~shown] == 0).all()
    assert (prediction.depth_scale[~shown] == 0).all()
    assert np.linalg.norm(prediction.lumen_direction) == pytest.approx(1, abs=1e-12)
    assert 0 <= prediction.lumen_visible <= 1
    assert 0 <= prediction.frame_uncertainty <= 1
    assert prediction.uncertainty.shape == (64, 64)
    assert (prediction.uncertainty[~shown] == 0).all()
    assert prediction.frame_uncertainty == pytest.approx(prediction.uncertainty[shown].mean(), rel=1e-5)
    assert prediction.classes.shape == (64, 64)
    assert prediction.depth.dtype == np.float32


def test_saved_and_loaded_weights_predict_the_same_to_the_bit(model, network, image):
    loaded, config = load_model(model)
    assert config == ModelConfig("S", CAMERA, {"seed": 1})
    first = Predictor.of(network, config, device="cpu")(image, 1.3)
    assert_same(first, Predictor.of(loaded, config, device="cpu")(image, 1.3), rtol=0)
    assert_same(first, Predictor.load(model, device="cpu")(image, 1.3), rtol=0)


def test_exposure_is_used(model, image):
    predictor = Predictor.load(model, device="cpu")
    assert not np.allclose(predictor(image, 1.0).depth, predictor(image, 4.0).depth, rtol=1e-3)


@pytest.mark.parametrize("shape", [(128, 128), (90, 120), (33, 20), (1, 1)])
def test_an_image_of_another_size_comes_back_in_its_size(model, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    prediction = Predictor.load(model, device="cpu")(image, 1.0)
    assert prediction.probabilities.shape == (len(CLASSES), *shape)
    assert prediction.depth.shape == shape
    np.testing.assert_allclose(prediction.probabilities.sum(axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("image", "exposure"),
    [
        (np.zeros((64, 64), np.uint8), 1.0),
        (np.zeros((64, 64, 3), np.float32), 1.0),
        (np.zeros((64, 64, 3), np.uint8), 0.0),
        (np.zeros((64, 64, 3), np.uint8), float("nan")),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_image_is_refused(model, image, exposure):
    predictor = Predictor.load(model, device="cpu")
    # The checks of array annotations, which only tests have, would come first.
    with pytest.raises(InputError, match="image"):
        predictor.__call__.__wrapped__(predictor, image, exposure)  # type: ignore[attr-defined]


def test_missing_and_damaged_files_are_refused(model, tmp_path):
    with pytest.raises(InputError, match="config beside"):
        Predictor.load(tmp_path / "nothing.safetensors")
    data = model.read_bytes()
    for damaged in (b"", data[:100], data[:-7], b"\x00" * 64, b"PK\x03\x04" + data[4:]):
        model.write_bytes(damaged)
        with pytest.raises(InputError, match="safetensors"):
            Predictor.load(model)
    model.unlink()
    with pytest.raises(InputError, match=r"model\.safetensors"):
        Predictor.load(model)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format": "other"}, "format"),
        ({"size": "XXL"}, "size"),
        ({"size": "M"}, "expected"),
        ({"size": "linear"}, "expected"),
        ({"activation": "step"}, "activation"),
        ({"classes": ["a"]}, "classes"),
        ({"lumen_distance": 0.1}, "lumen"),
        ({"camera": {"width": 3}}, "camera"),
        ({"camera": {**CAMERA.__dict__, "distortion": [0, 0, 0, 0], "width": 50}}, "multiples"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(model, change, match):
    config = model.with_suffix(".json")
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    with pytest.raises(InputError, match=match):
        Predictor.load(model)


def test_a_config_that_is_no_json_is_refused(model):
    for text in ("", "[1]", "{", "[" * 100_000):
        model.with_suffix(".json").write_text(text)
        with pytest.raises(InputError):
            Predictor.load(model)


def test_weights_that_are_no_numbers_are_refused(model, network):
    with torch.no_grad():
        network.stem.convolution.weight[0, 0, 0, 0] = float("nan")
    save_model(model, network, ModelConfig("S", CAMERA, {}))
    with pytest.raises(InputError, match="finite"):
        Predictor.load(model)


def test_an_unknown_device_is_refused(model):
    with pytest.raises(InputError, match="device"):
        Predictor.load(model, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="CUDA"):
            Predictor.load(model, device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cpu_and_cuda_agree(model, image):
    cpu, cuda = Predictor.load(model, device="cpu")(image, 1.0), Predictor.load(model, device="cuda")(image, 1.0)
    # CUDA's convolutions may round to TF32, ten bits of mantissa.
    assert_same(cpu, cuda, rtol=1e-2, atol=1e-2)
    assert np.mean(cpu.classes == cuda.classes) > 0.99
