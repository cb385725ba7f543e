"""What every network here gives, and what is common to them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from perception.tasks import PerceptionTask

CENTRE_STRIDE = 4
"""A cell of the heat map of centres stands for so many pixels, both ways."""

OTHER_MAPS = 2
"""Maps at full resolution besides the classes: the log of the distance and that of its scale."""

NO_PEAK = -20.0
"""Logit of the heat map's cells where a network has none."""

_RARE = -4.6  # logit of 1 %: a centre is rare, and training starts from there (RetinaNet, doi:10.1109/ICCV.2017.324)
_AROUND = 2  # cells about a peak that tell where between cells it lies
_TYPICAL_LOG_DISTANCE = -3.5  # log of 0.03 m: where training starts; half a colon's calibre


@dataclass(frozen=True)
class Outputs:
    """What the network gives for a batch; h and w as of the images."""

    class_logits: Float[Tensor, "batch classes h w"]
    """Logits of the task's classes."""
    log_distance: Float[Tensor, "batch h w"]
    """Log of the straight-line distance [m] to what a pixel shows."""
    log_scale: Float[Tensor, "batch h w"]
    """Log of the expected absolute error of log_distance (the scale of a Laplace distribution)."""
    direction: Float[Tensor, "batch 3"]
    """Unit vector to the task's aim, camera axes: down the lumen, or to an instrument's tip."""
    visible_logit: Float[Tensor, "batch"]
    """Logit of the probability that the aim is seen."""
    centre_logits: Float[Tensor, "batch h/4 w/4"]
    """Logits of a heat map that peaks at the middle of each polyp, or at the tip; a cell stands for 4 x 4 pixels."""


class EndoscopyNet(nn.Module):
    """A network; what is calibrated after training lies in the biases of its last layers."""

    task: PerceptionTask
    """Says which classes and heads it has."""
    pixels: nn.Conv2d
    """Gives `maps` maps, each by so many channels next to one another."""
    centres: nn.Sequential | None
    """Its last layer gives the logits of the heat map of centres or of the target; None where the task has neither."""

    def __init__(self, task: PerceptionTask) -> None:
        super().__init__()
        self.task = task

    @property
    def maps(self) -> int:
        """Maps at full resolution: the classes, the log of the distance and that of its scale."""
        return len(self.task.classes) + OTHER_MAPS

    @torch.no_grad()
    def shift_class(self, index: int, shift: float) -> None:
        """Add to the logit of one class, in place, by the bias of the last convolution."""
        bias, many = self._bias(), self._channels()
        bias[many * index : many * (index + 1)] += shift

    @torch.no_grad()
    def divide_classes(self, temperature: float) -> None:
        """Divide the logits of all classes, in place: the likeliest class stays, the belief in it changes."""
        bias, count = self._bias(), self._channels() * len(self.task.classes)
        self.pixels.weight[:count] /= temperature
        bias[:count] /= temperature

    @torch.no_grad()
    def shift_depth_scale(self, shift: float) -> None:
        """Add to the log of the expected error of log distance, in place."""
        bias = self._bias()
        bias[-self._channels() :] += shift

    @torch.no_grad()
    def shift_centres(self, shift: float) -> None:
        """Add to the logits of the heat map, in place; nothing where there is none."""
        if self.centres is not None:
            self._centre_bias().add_(shift)

    def _centre_bias(self) -> Tensor:
        assert self.centres is not None
        last = self.centres[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        return last.bias

    def start_rare(self) -> None:
        """Let centres be rare before anything is learned."""
        if self.centres is not None:
            nn.init.constant_(self._centre_bias(), _RARE)

    def _bias(self) -> Tensor:
        assert self.pixels.bias is not None
        return self.pixels.bias

    def _channels(self) -> int:
        return len(self._bias()) // self.maps


def log_radiance(
    image: Float[Tensor, "batch 3 h w"], gain: Float[Tensor, "batch 1 1 1"]
) -> Float[Tensor, "batch 1 h w"]:
    """Return about the log of the radiance, scaled to about 1.

    A point light at the tip falls off with the square of the distance, so this is nearly linear in the log of the
    distance; 2.2 undoes most of the sRGB curve.

    Args:
        image: sRGB within 0 and 1.
        gain: Log of the device's gain.
    """
    return (2.2 * torch.log(image.amax(dim=1, keepdim=True) + 0.02) - gain) / 2 + 1


def aim_at_peak(
    logits: Float[Tensor, "batch h w"], rays: Float[Tensor, "_ 3 height width"]
) -> tuple[Float[Tensor, "batch 3"], Float[Tensor, "batch"]]:
    """Return the direction of a heat map's highest peak, and the logit of its being there: that of the peak.

    Where between the cells the peak lies, its neighbours tell: the mean of their rays, weighted by a softmax (Levine et
    al., JMLR 17, 2016, arXiv:1504.00702, section 5.1, there over the whole map).

    Args:
        logits: Of a map whose cells are of CENTRE_STRIDE pixels.
        rays: Unit direction of each pixel, camera axes; one lens for all, or one each.
    """
    coarse = functional.avg_pool2d(rays, CENTRE_STRIDE).float()  # (B or 1, 3, h, w)
    highest = logits.amax(dim=(1, 2), keepdim=True)  # (B, 1, 1)
    peak = (logits >= highest).to(logits.dtype)
    near = functional.max_pool2d(peak[:, None], 2 * _AROUND + 1, stride=1, padding=_AROUND)  # (B, 1, h, w)
    share = (logits - highest).exp()[:, None] * near
    direction = (share * coarse).sum(dim=(2, 3))  # (B, 3); its length plays no part
    return functional.normalize(direction, dim=1, eps=1e-6), highest[:, 0, 0]


def pixel_outputs(
    maps: Float[Tensor, "batch maps h w"],
    direction: Float[Tensor, "batch 3"],
    visible_logit: Float[Tensor, "batch"],
    centre_logits: Float[Tensor, "batch h/4 w/4"],
) -> Outputs:
    """Put the outputs together; of the maps come the classes, the log distance and its scale."""
    return Outputs(
        maps[:, :-OTHER_MAPS],
        maps[:, -2] + _TYPICAL_LOG_DISTANCE,
        maps[:, -1].clamp(-6, 2) - 1,
        direction,
        visible_logit,
        centre_logits,
    )
