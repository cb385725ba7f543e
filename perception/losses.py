"""What training makes small."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from perception.batches import Batch
from perception.network_outputs import Outputs
from perception.tasks import PerceptionTask

_GRADIENT_SHIFT = 2  # px; neighbours nearer than this differ by less than the noise
_TARGET = 5  # weight of the heat map of a target beside that of centres: all hangs on its one peak
_HIDDEN = 0.3  # weight of a frame whose way ahead is not seen: there is less to tell it by. A target has none then


@dataclass(frozen=True)
class Losses:
    """The parts of the loss, each the mean over a batch."""

    cross_entropy: Tensor
    """Of the classes, weighted by class and, of what is sought, by how small it is."""
    dice: Tensor
    """1 - soft Dice, mean over the classes but the background."""
    depth: Tensor
    """Absolute error of the log of the distance; about the relative error."""
    gradient: Tensor
    """Absolute error of the differences of log distance between neighbours."""
    scale: Tensor
    """Negative log likelihood of the depth errors under the Laplace scale that the network states."""
    direction: Tensor
    """1 - cosine of the angle between the directions."""
    visible: Tensor
    """Binary cross-entropy of whether the aim is seen."""
    centres: Tensor
    """Focal loss of the heat map of centres, or of the target."""

    @property
    def total(self) -> Tensor:
        """The weighted sum; the weights bring the parts to like sizes in the middle of training."""
        return (
            self.cross_entropy
            + self.dice
            + 2 * self.depth
            + self.gradient
            + 0.1 * self.scale
            + 2 * self.direction
            + 0.2 * self.visible
            + 0.2 * self.centres
        )


def losses(outputs: Outputs, batch: Batch, task: PerceptionTask) -> Losses:
    """Compare what the network says with the truth."""
    valid = batch.distance > 0
    truth = torch.log(batch.distance.clamp_min(1e-4))
    error = (outputs.log_distance - truth).abs()
    depth = masked_mean(error, valid)
    # The scale learns from the error as it is; it must not trade a worse depth for an honest doubt.
    likelihood = error.detach() * torch.exp(-outputs.log_scale) + outputs.log_scale
    weight = torch.where(batch.visible > 0, 1.0, _HIDDEN if "direction" in task.heads else 0.0)
    turn = 1 - (outputs.direction * batch.direction).sum(dim=1)
    return Losses(
        cross_entropy=weighted_cross_entropy(
            outputs.class_logits, batch.classes, batch.weight, torch.tensor(task.class_weights, device=truth.device)
        ),
        dice=soft_dice_loss(outputs.class_logits.softmax(dim=1), batch.classes, task.sought),
        depth=depth,
        gradient=gradient_loss(outputs.log_distance, truth, valid),
        scale=masked_mean(likelihood, valid),
        direction=(weight * turn).sum() / weight.sum().clamp_min(0.1),
        visible=functional.binary_cross_entropy_with_logits(outputs.visible_logit, batch.visible),
        centres=(_TARGET if "target" in task.heads else 1) * centre_loss(outputs.centre_logits, batch.centres),
    )


def weighted_cross_entropy(
    logits: Float[Tensor, "batch classes h w"],
    classes: Int64[Tensor, "batch h w"],
    weight: Float[Tensor, "batch h w"],
    class_weights: Float[Tensor, "classes"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy, each pixel with its own weight times that of its class."""
    weight = weight * class_weights[classes]
    return (weight * functional.cross_entropy(logits, classes, reduction="none")).sum() / weight.sum()


def centre_loss(logits: Float[Tensor, "batch h w"], truth: Float[Tensor, "batch h w"]) -> Float[Tensor, ""]:
    """Focal loss of a heat map, forgiving near a centre; over the number of centres.

    Law and Deng, CornerNet, ECCV 2018, doi:10.1007/978-3-030-01264-9_45, equation 1 with alpha = 2, beta = 4.
    """
    share, centre = logits.sigmoid(), truth == 1
    found = (1 - share) ** 2 * functional.logsigmoid(logits)
    denied = (1 - truth) ** 4 * share**2 * functional.logsigmoid(-logits)
    return -torch.where(centre, found, denied).sum() / centre.sum().clamp_min(1)


def soft_dice_loss(
    probabilities: Float[Tensor, "batch classes h w"], classes: Int64[Tensor, "batch h w"], sought: int
) -> Float[Tensor, ""]:
    """1 - soft Dice of each class but the background, pooled over the batch: a frame without a class says little.

    Milletari et al., V-Net, 3DV 2016, doi:10.1109/3DV.2016.79, here with plain sums in the denominator. That of
    the class `sought` counts double in the mean: it is the smallest and the one that is searched for.
    """
    total, weights = probabilities.new_zeros(()), 0.0
    for index in range(1, probabilities.shape[1]):
        truth = (classes == index).to(probabilities.dtype)
        share = probabilities[:, index]
        dice = (2 * (share * truth).sum() + 1) / (share.sum() + truth.sum() + 1)
        weight = 2.0 if index == sought else 1.0
        total, weights = total + weight * (1 - dice), weights + weight
    return total / weights


def gradient_loss(
    prediction: Float[Tensor, "batch h w"], truth: Float[Tensor, "batch h w"], valid: Tensor
) -> Float[Tensor, ""]:
    """Mean absolute error of differences along rows and columns, where both ends are known."""
    error = prediction - truth
    shift = _GRADIENT_SHIFT
    across = (error[:, :, shift:] - error[:, :, :-shift]).abs()
    down = (error[:, shift:] - error[:, :-shift]).abs()
    return masked_mean(across, valid[:, :, shift:] & valid[:, :, :-shift]) + masked_mean(
        down, valid[:, shift:] & valid[:, :-shift]
    )


def masked_mean(values: Float[Tensor, "*n"], mask: Tensor) -> Float[Tensor, ""]:
    """Mean of the values where the mask is True; 0 where it is nowhere."""
    return (values * mask).sum() / mask.sum().clamp_min(1)
