from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from perception.activations import activate
from perception.batches import cut_batch
from perception.dataset import load_split
from perception.losses import losses
from perception.network import build
from perception.predictor import Predictor
from perception.tasks import COLONOSCOPY
from perception.train import MODEL, train
from perception.train_options import TrainOptions

CPU = torch.device("cpu")
REFERENCES = {
    "relu": torch.nn.ReLU(),
    "leaky_relu": torch.nn.LeakyReLU(),
    "elu": torch.nn.ELU(),
    "silu": torch.nn.SiLU(),
    "tanh": torch.nn.Tanh(),
    "sigmoid": torch.nn.Sigmoid(),
}


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("size", ["mlp", "linear"])
def test_what_is_said_of_a_pixel_hangs_on_that_pixel_alone(size):
    network = build(size).eval()
    image, exposure, rays = torch.rand(1, 3, 32, 32), torch.rand(1), torch.rand(3, 32, 32)
    other = torch.rand(1, 3, 32, 32)
    other[..., 5, 7] = image[..., 5, 7]
    with torch.inference_mode():
        a, b = network(image, exposure, rays), network(other, exposure, rays)
    for name in ("class_logits", "log_distance", "log_scale"):
        torch.testing.assert_close(getattr(a, name)[..., 5, 7], getattr(b, name)[..., 5, 7])
        assert not torch.allclose(getattr(a, name), getattr(b, name))
    assert a.centre_logits.shape == (1, 8, 8)
    assert float(a.direction.norm()) == pytest.approx(1, abs=1e-5)


def test_the_linear_model_is_linear_in_the_log_of_the_gain_and_the_perceptron_is_not():
    image, rays = torch.rand(1, 3, 32, 32), torch.rand(3, 32, 32)
    bends = {}
    for size in ("linear", "mlp"):
        network = build(size).eval()
        with torch.inference_mode():
            a, b, c = (network(image, torch.tensor([gain]), rays).class_logits for gain in (-3.0, 0.0, 3.0))
        bends[size] = float((a + c - 2 * b).abs().max())
    assert bends["linear"] < 1e-5
    assert bends["mlp"] > 1e-3


@pytest.mark.parametrize("name", REFERENCES)
def test_activations_are_those_of_torch(name):
    x, shortcut = torch.randn(2, 6, 4, 4), torch.randn(2, 6, 4, 4)
    torch.testing.assert_close(activate(x.clone(), name), REFERENCES[name](x))
    torch.testing.assert_close(activate(x.clone(), name, shortcut), REFERENCES[name](x + shortcut))


def test_maxout_is_the_larger_of_two_pieces():
    x, shortcut = torch.randn(2, 6, 4, 4), torch.randn(2, 3, 4, 4)
    larger = functional.max_pool3d(x.view(2, 2, 3, 4, 4).transpose(1, 2), (2, 1, 1))[:, :, 0]
    torch.testing.assert_close(activate(x, "maxout"), larger)
    torch.testing.assert_close(activate(x, "maxout", shortcut), larger + shortcut)


@pytest.mark.parametrize("size", ["S", "mlp"])
@pytest.mark.parametrize("activation", [*REFERENCES, "maxout"])
def test_every_activation_learns(tubes, size, activation):
    frames = load_split(tubes, "train")
    batch = cut_batch(frames, np.arange(8), CPU)
    network = build(size, activation)
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3)
    seen = []
    for _ in range(8):
        optimiser.zero_grad()
        loss = losses(network(batch.image, batch.log_exposure, batch.rays), batch, COLONOSCOPY).total
        loss.backward()
        optimiser.step()
        seen.append(loss.item())
    assert seen[-1] < 0.97 * seen[0]


def test_a_baseline_is_trained_saved_and_used_as_the_network_is(tubes, tmp_path):
    options = TrainOptions(
        tubes, tmp_path / "a", size="linear", epochs=1, batch=16, device="cpu", threads=1, quiet=True
    )
    train(options)
    predictor = Predictor.load(tmp_path / "a" / MODEL, device="cpu")
    assert predictor.config.size == "linear"
    train(replace(options, out=tmp_path / "b", size="mlp", activation="maxout"))
    predictor = Predictor.load(tmp_path / "b" / MODEL, device="cpu")
    assert predictor.config.activation == "maxout"
    image = np.zeros((64, 64, 3), np.uint8)
    assert {field.name for field in fields(predictor(image, 1.0))} >= {"polyp_centres", "uncertainty"}
