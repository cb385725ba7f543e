import numpy as np
import pytest
import torch

from assets.errors import InputError
from perception.checkpoint import ModelConfig, load_model, save_model
from perception.network import build
from scenarios.cli import main
from scenarios.colonoscopy import endoscope_camera
from scenarios.model_command import ExportOptions
from scenarios.models import model_named
from sim.camera import Camera
from sim.shards import file_sha256


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, build("S"), ModelConfig("S", Camera.with_fov(32, 32, 140.0), {}))
    return path


def test_an_exported_model_agrees_and_can_be_named_in_place_of_the_weights(model):
    pytest.importorskip("onnx", reason="needs the extra onnx")
    file = model.with_suffix(".onnx")
    assert main(["model", "export", str(model), str(file), "--at-most", "model.onnx.difference", "1e-4"]) == 0
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    a, b = (model_named(str(path))(image, 1.0) for path in (model, file))
    np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-4)


def test_the_alarms_of_a_model_are_fitted_anew_and_noted(tube_folder, tmp_path):
    data, path, out = tmp_path / "data", tmp_path / "model.safetensors", tmp_path / "fitted.safetensors"
    generate = ["dataset", "generate", "--patients", str(tube_folder), "--frames", "4", "--size", "32", "32"]
    assert main([*generate, "--splits", "0", "1", "0", "--workers", "1", "--out", str(data)]) == 0
    network, lens = build("S"), endoscope_camera(32, 32)
    save_model(path, network, ModelConfig("S", lens, {"calibration": {"centre_shift": 1.5, "temperature": 1.1}}))
    assert main(["model", "calibrate", str(path), "--data", str(data), "--out", str(out)]) == 0
    fitted, config = load_model(out)
    shift = config.training["calibration"]["centre_shift"] - 1.5
    assert config.training["calibration"]["temperature"] == 1.1
    assert config.training["calibration"]["refitted_sha256"] == file_sha256(path)
    assert config.training["calibration"]["false_alarms_per_minute"] <= 0.5
    before, after = network.state_dict(), fitted.state_dict()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(moved) == (shift != 0)
    for name in moved:
        torch.testing.assert_close(after[name] - before[name], torch.full_like(before[name], shift))
    main(["model", "calibrate", str(path), "--data", str(data)])
    assert torch.equal(load_model(path)[0].state_dict()[next(iter(before))], after[next(iter(before))])


def test_a_card_is_written_beside_the_model(model):
    assert main(["model", "card", str(model)]) == 0
    assert model.with_suffix(".md").read_text().startswith("# Endoscopy network for colonoscopy, size S")


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text("look = 3\n")
    with pytest.raises(InputError, match="callable"):
        model_named(f"{tmp_path / 'mine.py'}:look")
    with pytest.raises(InputError, match="onnx"):
        model_named(str(tmp_path / "nothing.onnx"))
    with pytest.raises(InputError, match=r"\.onnx"):
        ExportOptions(tmp_path, tmp_path / "model.pt")
