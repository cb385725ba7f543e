"""Baselines that look at each pixel by itself: what the shape of things is worth shows in what these cannot do.

They see what the network sees of a pixel (colour, radiance, gain, ray), and give the same outputs. A direction or a
centre takes more than a pixel, so these come from the means of maps that are made pixel by pixel.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from perception.activations import Activation, activate, pieces
from perception.network_outputs import (
    CENTRE_STRIDE,
    NO_PEAK,
    EndoscopyNet,
    Outputs,
    aim_at_peak,
    log_radiance,
    pixel_outputs,
)
from perception.tasks import PerceptionTask

_INPUTS = 8  # red, green, blue, log radiance, gain, ray
_HIDDEN = 64
_COARSE = 8  # px of a cell of the map that points down the lumen


class PixelNet(EndoscopyNet):
    """A linear model of each pixel, or a multi-layer perceptron with two hidden layers."""

    def __init__(self, hidden: bool, activation: Activation, task: PerceptionTask) -> None:
        super().__init__(task)
        self._activation = activation
        widths = (_INPUTS, _HIDDEN, _HIDDEN) if hidden else (_INPUTS,)
        many = pieces(activation)
        self.layers = nn.ModuleList([nn.Conv2d(a, many * b, 1) for a, b in pairwise(widths)])
        self.pixels = nn.Conv2d(widths[-1], self.maps, 1)
        self.heat = nn.Conv2d(widths[-1], 1, 1) if "direction" in task.heads else None
        self.centres = None
        if "centres" in task.heads or "target" in task.heads:
            self.centres = nn.Sequential(nn.AvgPool2d(CENTRE_STRIDE), nn.Conv2d(widths[-1], 1, 1))
        self.frame = nn.Linear(widths[-1], 1) if "direction" in task.heads else None
        self.start_rare()

    def forward(
        self,
        image: Float[Tensor, "batch 3 h w"],
        log_exposure: Float[Tensor, "batch"],
        rays: Float[Tensor, "*batch 3 h w"],
    ) -> Outputs:
        """Look at a batch of images; see `perception.network.UNet`."""
        batch, _, height, width = image.shape
        rays = rays if rays.ndim == 4 else rays[None]
        gain = log_exposure.view(batch, 1, 1, 1)
        seen = [
            image * 4 - 2,
            log_radiance(image, gain),
            gain.expand(-1, 1, height, width),
            rays.expand(batch, -1, -1, -1),
        ]
        x = torch.cat(seen, dim=1)  # (B, 8, h, w)
        for layer in self.layers:
            x = activate(layer(x), self._activation)
        if self.centres is not None:
            centres = self.centres(x)[:, 0].float()
        else:
            centres = x.new_full((batch, height // CENTRE_STRIDE, width // CENTRE_STRIDE), NO_PEAK)
        if self.heat is None or self.frame is None:
            direction, visible = aim_at_peak(centres, rays)
            return pixel_outputs(self.pixels(x).float(), direction, visible, centres)
        share = functional.avg_pool2d(self.heat(x), _COARSE).flatten(1).float().softmax(dim=1)  # (B, n)
        coarse = functional.avg_pool2d(rays, _COARSE).flatten(2).float()  # (B or 1, 3, n)
        ahead = (share[:, None] * coarse).sum(dim=2)
        direction = functional.normalize(ahead, dim=1, eps=1e-6)
        visible = self.frame(x.mean(dim=(2, 3)))[:, 0].float()
        return pixel_outputs(self.pixels(x).float(), direction, visible, centres)
