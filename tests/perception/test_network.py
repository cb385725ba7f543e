import copy
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch.nn import functional

from perception.batches import cut_batch
from perception.dataset import load_split
from perception.losses import gradient_loss, losses, masked_mean, soft_dice_loss
from perception.network import build, fold_norms
from perception.prediction import CLASSES, POLYP
from perception.predictor import ray_planes
from perception.tasks import COLONOSCOPY
from sim.camera import Camera

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(("size", "low", "high"), [("S", 0.5e6, 1.5e6), ("M", 1.5e6, 4e6), ("L", 4e6, 12e6)])
def test_the_sizes_differ_in_parameters_alone(size, low, high):
    network = build(size).eval()
    assert low < sum(one.numel() for one in network.parameters()) < high
    with torch.inference_mode():
        outputs = network(torch.rand(2, 3, 32, 48), torch.zeros(2), torch.rand(3, 32, 48))
    assert outputs.class_logits.shape == (2, len(CLASSES), 32, 48)
    assert outputs.log_distance.shape == outputs.log_scale.shape == (2, 32, 48)
    assert outputs.visible_logit.shape == (2,)
    torch.testing.assert_close(outputs.direction.norm(dim=1), torch.ones(2))


def test_one_network_takes_images_of_any_size_and_each_alone():
    network = build("S").eval()
    rays = ray_planes(Camera.with_fov(64, 64, 140.0), CPU)
    image, exposure = torch.rand(3, 3, 64, 64), torch.rand(3)
    with torch.inference_mode():
        together = network(image, exposure, rays)
        alone = network(image[1:2], exposure[1:2], rays)
        other = network(torch.rand(1, 3, 96, 32), torch.zeros(1), torch.rand(3, 96, 32))
    torch.testing.assert_close(together.class_logits[1:2], alone.class_logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.direction[1:2], alone.direction, atol=1e-4, rtol=1e-4)
    assert other.log_distance.shape == (1, 96, 32)


def test_folding_norms_changes_nothing_but_speed():
    network = build("S")
    rays = ray_planes(Camera.with_fov(32, 32, 140.0), CPU)
    for _ in range(3):  # norms other than the identity
        network(torch.rand(4, 3, 32, 32), torch.zeros(4), rays)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    folded = fold_norms(copy.deepcopy(network))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    image, exposure = torch.rand(2, 3, 32, 32), torch.rand(2)
    with torch.inference_mode():
        a, b = network.eval()(image, exposure, rays), folded(image, exposure, rays)
    for field in fields(a):
        torch.testing.assert_close(getattr(a, field.name), getattr(b, field.name), atol=1e-4, rtol=1e-4)


def test_soft_dice_of_hard_masks_is_dice():
    classes = torch.randint(0, 4, (2, 20, 20))
    predicted = torch.randint(0, 4, (2, 20, 20))
    loss = soft_dice_loss(functional.one_hot(predicted, 4).permute(0, 3, 1, 2).float(), classes, POLYP)
    expected, weights = 0.0, 0.0
    for index in (1, 2, 3):
        a, b = (classes == index).numpy(), (predicted == index).numpy()
        weight = 2 if index == POLYP else 1
        expected += weight * (1 - 2 * (a & b).sum() / (a.sum() + b.sum()))
        weights += weight
    assert float(loss) == pytest.approx(expected / weights, abs=5e-3)  # the loss adds 1 above and below
    right = functional.one_hot(classes, 4).permute(0, 3, 1, 2).float()
    assert float(soft_dice_loss(right, classes, POLYP)) == pytest.approx(0, abs=1e-6)


def test_depth_terms_by_hand():
    truth = torch.zeros(1, 4, 4)
    valid = torch.ones(1, 4, 4, dtype=torch.bool)
    slope = torch.arange(4.0).expand(1, 4, 4)  # rises by 2 over two pixels along a row, by 0 along a column
    assert float(gradient_loss(slope, truth, valid)) == pytest.approx(2)
    assert float(gradient_loss(slope + 5, truth, valid)) == pytest.approx(2)
    assert float(gradient_loss(slope, truth, ~valid)) == 0
    half = valid.clone()
    half[..., 2:] = False
    assert float(masked_mean(slope, half)) == pytest.approx(0.5)


def test_perfect_outputs_leave_little_loss_and_each_part_answers_its_own_fault(tubes):
    batch = cut_batch(load_split(tubes, "train"), np.arange(8), CPU)
    network = build("S").eval()
    with torch.inference_mode():
        outputs = network(batch.image, batch.log_exposure, ray_planes(Camera.with_fov(64, 64, 140.0), CPU))
    truth = {
        "class_logits": 30 * functional.one_hot(batch.classes, len(CLASSES)).permute(0, 3, 1, 2).float(),
        "log_distance": torch.log(batch.distance.clamp_min(1e-4)),
        "log_scale": torch.full_like(outputs.log_scale, -7.0),
        "direction": batch.direction,
        "visible_logit": 30 * (2 * batch.visible - 1),
        "centre_logits": torch.where(batch.centres == 1, 30.0, -30.0),
    }
    perfect = losses(type(outputs)(**truth), batch, COLONOSCOPY)
    for part in ("cross_entropy", "dice", "depth", "gradient", "direction", "visible", "centres"):
        assert float(getattr(perfect, part)) == pytest.approx(0, abs=1e-5), part
    assert float(perfect.scale) == pytest.approx(-7, abs=1e-3)
    shifted = losses(type(outputs)(**{**truth, "log_distance": truth["log_distance"] + 0.1}), batch, COLONOSCOPY)
    assert float(shifted.depth) == pytest.approx(0.1, abs=1e-5)
    assert float(shifted.gradient) == pytest.approx(0, abs=1e-5)
    back = losses(type(outputs)(**{**truth, "direction": -truth["direction"]}), batch, COLONOSCOPY)
    assert float(back.direction) == pytest.approx(2, abs=1e-5)


def test_a_few_frames_are_learned_by_heart(tubes):
    frames = load_split(tubes, "train")
    rows = np.flatnonzero(frames.with_sought)[:4]
    batch = cut_batch(frames, rows, CPU)
    torch.manual_seed(0)
    network, rays = build("S"), ray_planes(frames.camera, CPU)
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3)
    for _ in range(120):
        optimiser.zero_grad()
        loss = losses(network(batch.image, batch.log_exposure, rays), batch, COLONOSCOPY).total
        loss.backward()
        optimiser.step()
    with torch.inference_mode():  # the norms of this batch: their running means lag behind so few quick steps
        outputs = network(batch.image, batch.log_exposure, rays)
    predicted = outputs.class_logits.argmax(dim=1)
    for index in (1, 2, 3):
        hit = ((predicted == index) & (batch.classes == index)).sum()
        assert float(2 * hit / ((predicted == index).sum() + (batch.classes == index).sum())) > 0.9, CLASSES[index]
    valid = batch.distance > 0
    relative = ((outputs.log_distance.exp() - batch.distance).abs() / batch.distance.clamp_min(1e-4))[valid]
    assert float(relative.mean()) < 0.1
    assert float((outputs.direction * batch.direction).sum(dim=1).min()) > 0.98
