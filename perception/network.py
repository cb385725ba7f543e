"""One compact fully convolutional network: classes and distance of each pixel, and the way ahead.

The layout is a U-Net (Ronneberger et al., MICCAI 2015, doi:10.1007/978-3-319-24574-4_28) with sums for skips. It works
on 2 x 2 pixels at a time: the stem rearranges them into channels and the head takes them apart again (Shi et al., CVPR
2016, doi:10.1109/CVPR.2016.207), so no convolution runs at full resolution, where a CPU spends most of its time.
"""

from functools import partial
from itertools import pairwise
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from perception.activations import Activation, activate, pieces
from perception.network_outputs import NO_PEAK, EndoscopyNet, Outputs, aim_at_peak, log_radiance, pixel_outputs
from perception.pixel_network import PixelNet
from perception.tasks import COLONOSCOPY, PerceptionTask

Size = Literal["S", "M", "L", "mlp", "linear"]
"""Of the network; mlp and linear are baselines that see each pixel by itself (`perception.pixel_network`)."""

STRIDE = 16
"""Height and width of an image are multiples of this [px]."""

_WIDTHS: dict[Size, tuple[int, int, int, int]] = {
    "S": (16, 32, 64, 128),
    "M": (24, 48, 96, 192),
    "L": (40, 80, 160, 320),
}
_BLOCKS: dict[Size, tuple[int, int, int, int]] = {"S": (1, 1, 2, 2), "M": (1, 2, 2, 2), "L": (2, 2, 3, 3)}
_IMAGE_CHANNELS = 4  # red, green, blue, log radiance


class UNet(EndoscopyNet):
    """The network; one definition for every size, and images of any size that STRIDE divides."""

    def __init__(self, size: Size, activation: Activation, task: PerceptionTask) -> None:
        super().__init__(task)
        convolution = partial(_Convolution, activation=activation)
        widths, blocks = _WIDTHS[size], _BLOCKS[size]
        self.stem = convolution(4 * _IMAGE_CHANNELS + 4, widths[0])
        self.down = nn.ModuleList([convolution(a, b, stride=2) for a, b in pairwise(widths)])
        self.encode = nn.ModuleList(
            [
                nn.Sequential(*[_Residual(width, activation) for _ in range(count)])
                for width, count in zip(widths, blocks, strict=True)
            ]
        )
        self.context = nn.Linear(widths[-1], widths[-1])
        self.lateral = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairwise(widths)])
        self.decode = nn.ModuleList([convolution(width, width) for width in widths[:-1]])
        self.pixels = nn.Conv2d(widths[0], 4 * self.maps, 3, padding=1)
        self.heat = nn.Conv2d(widths[-2], 1, 1) if "direction" in task.heads else None
        self.centres = None
        if "centres" in task.heads or "target" in task.heads:
            self.centres = nn.Sequential(convolution(widths[1], widths[1]), nn.Conv2d(widths[1], 1, 1))
        self.start_rare()
        self.frame = None
        if "direction" in task.heads:
            self.frame = nn.Sequential(nn.Linear(widths[-1] + 3, 64), nn.ReLU(inplace=True), nn.Linear(64, 4))

    def forward(
        self,
        image: Float[Tensor, "batch 3 h w"],
        log_exposure: Float[Tensor, "batch"],
        rays: Float[Tensor, "*batch 3 h w"],
    ) -> Outputs:
        """Look at a batch of images.

        Args:
            image: sRGB within 0 and 1.
            log_exposure: Log of the device's gain, which tells bright from near.
            rays: Unit direction of each pixel, camera axes, 0 where the lens shows nothing; one lens for all, or one
                each.
        """
        batch = image.shape[0]
        rays = rays if rays.ndim == 4 else rays[None]  # (B or 1, 3, h, w)
        coarse_rays = functional.avg_pool2d(rays, 2).expand(batch, -1, -1, -1)  # (B, 3, h/2, w/2)
        gain = log_exposure.view(batch, 1, 1, 1)
        fine = functional.pixel_unshuffle(torch.cat([image * 4 - 2, log_radiance(image, gain)], dim=1), 2)
        x = torch.cat([fine, coarse_rays, gain.expand(-1, 1, *fine.shape[2:])], dim=1)  # (B, 20, h/2, w/2)
        x = self.encode[0](self.stem(x.contiguous(memory_format=torch.channels_last)))
        skips = []
        for down, encode in zip(self.down, self.encode[1:], strict=True):
            skips.append(x)
            x = encode(down(x))
        pooled = x.mean(dim=(2, 3))  # (B, c)
        x = x + self.context(pooled)[:, :, None, None]
        maps_by_stride = []
        for lateral, decode, skip in zip(reversed(self.lateral), reversed(self.decode), reversed(skips), strict=True):
            x = decode(skip + functional.interpolate(lateral(x), scale_factor=2.0, mode="nearest"))
            maps_by_stride.append(x)  # h/8, h/4, h/2
        if self.centres is not None:
            centres = self.centres(maps_by_stride[1])[:, 0].float()  # (B, h/4, w/4)
        else:
            centres = torch.full_like(maps_by_stride[1][:, 0], NO_PEAK, dtype=torch.float32)
        maps = functional.pixel_shuffle(self.pixels(x), 2).float()  # (B, classes + 2, h, w)
        if self.heat is not None:
            direction, visible = self._ahead(self.heat(maps_by_stride[0]), pooled, rays)
        else:
            direction, visible = aim_at_peak(centres, rays)
        return pixel_outputs(maps, direction, visible, centres)

    def _ahead(self, heat: Tensor, pooled: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
        """Add the mean ray under a heat map, right when the way is seen, and what the frame says when it is not.

        Args:
            heat: Logits, (B, 1, h/8, w/8).
            pooled: What the frame is like, (B, c).
            rays: (B or 1, 3, h, w).
        """
        assert self.frame is not None
        coarse = functional.avg_pool2d(rays, 8).flatten(2).float()  # (B or 1, 3, n)
        share = heat.flatten(1).float().softmax(dim=1)  # (B, n)
        seen = (share[:, None] * coarse).sum(dim=2)  # (B, 3)
        frame = self.frame(torch.cat([pooled, seen.to(pooled.dtype)], dim=1)).float()
        return functional.normalize(seen + frame[:, :3], dim=1, eps=1e-6), frame[:, 3]


class _Convolution(nn.Module):
    """A 3 x 3 convolution, batch norm and the activation, before which a shortcut may be added."""

    def __init__(self, inputs: int, outputs: int, *, activation: Activation, stride: int = 1) -> None:
        super().__init__()
        channels = outputs * pieces(activation)
        self.convolution = nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(channels)
        self._activation = activation

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        return activate(self.norm(self.convolution(x)), self._activation, shortcut)

    def fold(self) -> None:
        """Fold the norm into the convolution."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.convolution = nn.utils.fuse_conv_bn_eval(self.convolution, self.norm)
            self.norm = nn.Identity()


class _Residual(nn.Module):
    """Two convolutions beside a shortcut (He et al., CVPR 2016, doi:10.1109/CVPR.2016.90)."""

    def __init__(self, width: int, activation: Activation) -> None:
        super().__init__()
        self.first = _Convolution(width, width, activation=activation)
        self.second = _Convolution(width, width, activation=activation)
        # Starts as the identity, which trains faster (Goyal et al., 2017, arXiv:1706.02677, section 5.1).
        nn.init.zeros_(self.second.norm.get_parameter("weight"))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.second(self.first(x), x))


def build(size: Size, activation: Activation = "relu", task: PerceptionTask = COLONOSCOPY) -> EndoscopyNet:
    """Make a network with fresh weights from torch's generator, in the memory layout that is quickest."""
    by_pixel = size == "mlp" or size == "linear"
    network = PixelNet(size == "mlp", activation, task) if by_pixel else UNet(size, activation, task)
    nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
    return network


def fold_norms(network: EndoscopyNet) -> EndoscopyNet:
    """Fold each batch norm into the convolution before it, in place: the same answers, sooner. For inference alone."""
    network.eval()
    for module in network.modules():
        if isinstance(module, _Convolution):
            module.fold()
    return network
