"""Frames in memory to what a step of the training sees: in which order, how altered, with which truth."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from perception.augment import Turn, turn_of, turns_of
from perception.dataset import Frames
from perception.network_outputs import CENTRE_STRIDE
from perception.views import WIDE, Alteration, View, from_another_device, zoomed

_LEAST_SIGMA = 0.7  # cells
_FULL_AREA = 400 / 128**2  # share of the picture from which on a region's pixels weigh as any other's
_MOST_WEIGHT = 4.0


@dataclass(frozen=True)
class Batch:
    """Tensors of some frames, on one device."""

    image: Float[Tensor, "batch 3 h w"]
    """sRGB within 0 and 1."""
    log_exposure: Float[Tensor, "batch"]
    """Log of the device's gain."""
    classes: Int64[Tensor, "batch h w"]
    """Class ids."""
    distance: Float[Tensor, "batch h w"]
    """Straight-line distance [m]; 0 where not known."""
    direction: Float[Tensor, "batch 3"]
    """Unit vector to the task's aim, camera axes."""
    visible: Float[Tensor, "batch"]
    """1 where the aim is seen, else 0."""
    rays: Float[Tensor, "batch 3 h w"]
    """Unit direction of each pixel, camera axes; 0 where the lens shows nothing."""
    weight: Float[Tensor, "batch h w"]
    """How much a pixel counts for the classes, see `sought_weight`."""
    centres: Float[Tensor, "batch h/4 w/4"]
    """1 in the cell of each polyp's middle, or of the tip, falling off around it; see `centre_map`."""
    foreign: NDArray[np.bool_]
    """Which frames were made to look like those of a device whose gain is not known, shape (batch,)."""


def balanced_order(with_sought: Bool[np.ndarray, "n"], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Order an epoch of n frames so that about `share` of them show what is sought, such as a polyp.

    Polyps are in a few per cent of the pixels of some of the frames; seen as rarely, the network learns to deny them.
    Frames with one are repeated, or those without left out, only as far as that needs; within a kind no frame comes
    again before all of it have come.
    """
    count = len(with_sought)
    having, lacking = np.flatnonzero(with_sought), np.flatnonzero(~with_sought)
    if len(having) == 0 or len(lacking) == 0 or len(having) >= share * count:
        return rng.permutation(count)
    wanted = round(share * count)
    order = np.concatenate([_cycled(having, wanted, rng), _cycled(lacking, count - wanted, rng)])
    return rng.permutation(order)


def _cycled(items: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    rounds = -(-count // len(items))
    return np.concatenate([items[:0], *(rng.permutation(items) for _ in range(rounds))])[:count]


def cut_batch(
    frames: Frames,
    rows: NDArray[np.int64],
    device: torch.device,
    rng: np.random.Generator | None = None,
    *,
    alteration: Alteration | None = WIDE,
) -> Batch:
    """Cut frames out as tensors.

    With `rng` each is altered and its truth with it: flipped or turned by quarters where the lens allows it exactly;
    with an alteration some are zoomed, and some made to look like those of another device, whose gain reads 1.
    """
    rays, allowed = frames.camera.rays()[0], turns_of(frames.camera)
    views, foreign = [], np.zeros(len(rows), np.bool_)
    for place, row in enumerate(rows):
        view = View(
            frames.rgb[row],
            frames.classes[row],
            frames.distance[row].astype(np.float32),
            rays,
            frames.centres[row],
            frames.direction[row],
            bool(frames.visible[row]),
            frames.task.sought,
        )
        if rng is not None:
            view = _turned(view, allowed[rng.integers(len(allowed))])
            if alteration is not None:
                view = zoomed(view, rng) if rng.random() < alteration.zoomed else view
                foreign[place] = rng.random() < alteration.foreign
                view = from_another_device(view, rng) if foreign[place] else view
            if "target" in frames.task.heads and not len(view.centres):  # cut off, or covered
                view = replace(view, visible=False)
        views.append(view)

    def stack(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(view, name) for view in views])).to(device)

    shape = frames.camera.height // CENTRE_STRIDE, frames.camera.width // CENTRE_STRIDE
    weights = np.stack([sought_weight(view.classes == frames.task.sought) for view in views])
    log_exposure = np.where(foreign, 0, frames.log_exposure[rows]).astype(np.float32)
    return Batch(
        image=stack("rgb").permute(0, 3, 1, 2).float() / 255,  # a view: channels last
        log_exposure=torch.from_numpy(log_exposure).to(device),
        classes=stack("classes").long(),
        distance=stack("distance"),
        direction=stack("direction"),
        visible=stack("visible").float(),
        rays=stack("rays").permute(0, 3, 1, 2),
        weight=torch.from_numpy(weights).to(device),
        centres=torch.from_numpy(np.stack([centre_map(view.centres, shape) for view in views])).to(device),
        foreign=foreign,
    )


def sought_weight(sought: Bool[np.ndarray, "h w"]) -> NDArray[np.float32]:
    """Weigh the pixels of what is sought by how little of it there is, so that a small polyp counts beside a large one.

    A region counts by the root of its area, not by its area, up to _FULL_AREA of the picture; its pixels weigh no more
    than _MOST_WEIGHT, all others 1. Kofler et al., blob loss, IPMI 2023, arXiv:2205.08209, give each instance a loss of
    its own for the same end.

    Args:
        sought: The pixels of polyps, or instruments.
    """
    weight = np.ones(sought.shape, np.float32)
    if sought.any():
        _, labels, stats, _ = cv2.connectedComponentsWithStats(sought.astype(np.uint8))
        area = stats[:, cv2.CC_STAT_AREA].astype(np.float32)
        of_region = np.clip(np.sqrt(_FULL_AREA * sought.size / area), 1, _MOST_WEIGHT)
        of_region[0] = 1
        weight = of_region.astype(np.float32)[labels]
    return weight


def centre_map(centres: Float32[np.ndarray, "polyps 3"], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Draw a Gaussian about each polyp's middle, 1 in its cell, as wide as a third of the polyp's radius or more.

    Law and Deng, CornerNet, ECCV 2018, doi:10.1007/978-3-030-01264-9_45; Zhou et al., arXiv:1904.07850.

    Args:
        centres: Column u, row v and number of pixels of each polyp.
        shape: Rows and columns of the map, whose cells are of CENTRE_STRIDE pixels.
    """
    drawn = np.zeros(shape, np.float32)
    v, u = np.ogrid[: shape[0], : shape[1]]
    for column, row, pixels in centres:
        # Pixel 0 to 3 lie in cell 0.
        x = min(int((column + 0.5) // CENTRE_STRIDE), shape[1] - 1)
        y = min(int((row + 0.5) // CENTRE_STRIDE), shape[0] - 1)
        sigma = max(_LEAST_SIGMA, float(np.sqrt(pixels / np.pi)) / CENTRE_STRIDE / 3)
        np.maximum(drawn, np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * sigma**2)), out=drawn)
    return drawn


def _turned(view: View, turn: Turn) -> View:
    """Turn a view, whose camera is turned with it: rays and direction stay those of the upright lens."""
    height, width = view.classes.shape
    centres = view.centres.copy()
    centres[:, :2] = turn.point(centres[:, :2], width, height)
    return replace(
        view,
        rgb=turn_of(view.rgb, turn),
        classes=turn_of(view.classes, turn),
        distance=turn_of(view.distance, turn),
        centres=centres,
        direction=turn.direction(view.direction),
    )
