"""One compact fully convolutional network: classes and distance of each pixel, and the way ahead.

The layout is a U-Net (Ronneberger et al., MICCAI 2015, doi:10.1007/978-3-319-24574-4_28) with sums for skips. It works
on 2 x 2 pixels at a time: the stem rearranges them into channels and the head takes them apart again (Shi et al., CVPR
2016, doi:10.1109/CVPR.2016.207), so no convolution runs at full resolution, where a CPU spends most of its time.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from perception.prediction import CLASSES

Size = Literal["S", "M", "L"]

STRIDE = 16
"""Height and width of an image are multiples of this [px]."""

_WIDTHS: dict[Size, tuple[int, int, int, int]] = {
    "S": (16, 32, 64, 128),
    "M": (24, 48, 96, 192),
    "L": (40, 80, 160, 320),
}
_BLOCKS: dict[Size, tuple[int, int, int, int]] = {"S": (1, 1, 2, 2), "M": (1, 2, 2, 2), "L": (2, 2, 3, 3)}
_IMAGE_CHANNELS = 4  # red, green, blue, log radiance
_PIXEL_OUTPUTS = len(CLASSES) + 2
CENTRE_STRIDE = 4
"""A cell of the heat map of polyps' centres stands for so many pixels, both ways."""

_RARE = -4.6  # logit of 1 %: a centre is rare, and training starts from there (RetinaNet, doi:10.1109/ICCV.2017.324)
_TYPICAL_LOG_DISTANCE = -3.5  # log of 0.03 m: where training starts; half a colon's calibre


@dataclass(frozen=True)
class Outputs:
    """What the network gives for a batch; h and w as of the images."""

    class_logits: Float[Tensor, "batch classes h w"]
    """Logits of CLASSES."""
    log_distance: Float[Tensor, "batch h w"]
    """Log of the straight-line distance [m] to what a pixel shows."""
    log_scale: Float[Tensor, "batch h w"]
    """Log of the expected absolute error of log_distance (the scale of a Laplace distribution)."""
    direction: Float[Tensor, "batch 3"]
    """Unit vector down the lumen, camera axes."""
    visible_logit: Float[Tensor, "batch"]
    """Logit of the probability that the direction is seen past the walls."""
    centre_logits: Float[Tensor, "batch h/4 w/4"]
    """Logits of a heat map that peaks at the middle of each polyp; a cell stands for 4 x 4 pixels."""


class EndoscopyNet(nn.Module):
    """The network; one definition for every size, and images of any size that STRIDE divides."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        widths, blocks = _WIDTHS[size], _BLOCKS[size]
        self.stem = _Convolution(4 * _IMAGE_CHANNELS + 4, widths[0])
        self.down = nn.ModuleList([_Convolution(a, b, stride=2) for a, b in pairwise(widths)])
        self.encode = nn.ModuleList(
            [
                nn.Sequential(*[_Residual(width) for _ in range(count)])
                for width, count in zip(widths, blocks, strict=True)
            ]
        )
        self.context = nn.Linear(widths[-1], widths[-1])
        self.lateral = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairwise(widths)])
        self.decode = nn.ModuleList([_Convolution(width, width) for width in widths[:-1]])
        self.pixels = nn.Conv2d(widths[0], 4 * _PIXEL_OUTPUTS, 3, padding=1)
        self.heat = nn.Conv2d(widths[-2], 1, 1)
        self.centres = nn.Sequential(_Convolution(widths[1], widths[1]), nn.Conv2d(widths[1], 1, 1))
        nn.init.constant_(self._centre_bias(), _RARE)
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
        # A point light at the tip falls off with the square of the distance, so the log of the radiance is nearly
        # linear in the log of the distance; 2.2 undoes most of the sRGB curve.
        radiance = 2.2 * torch.log(image.amax(dim=1, keepdim=True) + 0.02) - gain
        fine = functional.pixel_unshuffle(torch.cat([image * 4 - 2, radiance / 2 + 1], dim=1), 2)
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
        heat = self.heat(maps_by_stride[0])  # (B, 1, h/8, w/8)
        centres = self.centres(maps_by_stride[1])[:, 0].float()  # (B, h/4, w/4)
        maps = functional.pixel_shuffle(self.pixels(x), 2).float()  # (B, 6, h, w)
        direction, visible = self._ahead(heat, pooled, rays)
        log_distance = maps[:, -2] + _TYPICAL_LOG_DISTANCE
        log_scale = maps[:, -1].clamp(-6, 2) - 1
        return Outputs(maps[:, : len(CLASSES)], log_distance, log_scale, direction, visible, centres)

    @torch.no_grad()
    def shift_class(self, index: int, shift: float) -> None:
        """Add to the logit of one class, in place, by the bias of the last convolution."""
        bias = self.pixels.bias
        assert bias is not None
        bias[4 * index : 4 * index + 4] += shift  # each class has a channel for each of the 2 x 2 pixels

    @torch.no_grad()
    def divide_classes(self, temperature: float) -> None:
        """Divide the logits of all classes, in place: the likeliest class stays, the belief in it changes."""
        bias, count = self.pixels.bias, 4 * len(CLASSES)
        assert bias is not None
        self.pixels.weight[:count] /= temperature
        bias[:count] /= temperature

    @torch.no_grad()
    def shift_depth_scale(self, shift: float) -> None:
        """Add to the log of the expected error of log distance, in place."""
        bias = self.pixels.bias
        assert bias is not None
        bias[-4:] += shift

    @torch.no_grad()
    def shift_centres(self, shift: float) -> None:
        """Add to the logits of the polyps' centres, in place."""
        self._centre_bias().add_(shift)

    def _centre_bias(self) -> Tensor:
        last = self.centres[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        return last.bias

    def _ahead(self, heat: Tensor, pooled: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
        """Add the mean ray under a heat map, right when the way is seen, and what the frame says when it is not."""
        coarse = functional.avg_pool2d(rays, 8).flatten(2).float()  # (B or 1, 3, n)
        share = heat.flatten(1).float().softmax(dim=1)  # (B, n)
        seen = (share[:, None] * coarse).sum(dim=2)  # (B, 3)
        frame = self.frame(torch.cat([pooled, seen.to(pooled.dtype)], dim=1)).float()
        return functional.normalize(seen + frame[:, :3], dim=1, eps=1e-6), frame[:, 3]


class _Convolution(nn.Module):
    """A 3 x 3 convolution, batch norm and, if wanted, a rectifier."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, rectify: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        self.rectify = rectify

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.convolution(x))
        return functional.relu(x, inplace=True) if self.rectify else x

    def fold(self) -> None:
        """Fold the norm into the convolution."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.convolution = nn.utils.fuse_conv_bn_eval(self.convolution, self.norm)
            self.norm = nn.Identity()


class _Residual(nn.Module):
    """Two convolutions beside a shortcut (He et al., CVPR 2016, doi:10.1109/CVPR.2016.90)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _Convolution(width, width)
        self.second = _Convolution(width, width, rectify=False)
        # Starts as the identity, which trains faster (Goyal et al., 2017, arXiv:1706.02677, section 5.1).
        nn.init.zeros_(self.second.norm.get_parameter("weight"))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)), inplace=True)


def build(size: Size) -> EndoscopyNet:
    """Make a network with fresh weights from torch's generator, in the memory layout that is quickest."""
    network = EndoscopyNet(size)
    nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
    return network


def fold_norms(network: EndoscopyNet) -> EndoscopyNet:
    """Fold each batch norm into the convolution before it, in place: the same answers, sooner. For inference alone."""
    network.eval()
    for module in network.modules():
        if isinstance(module, _Convolution):
            module.fold()
    return network
