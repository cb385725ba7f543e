"""Shards to tensors: a split of a data set held in memory as bytes, and batches cut from it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Float32, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from assets.errors import InputError
from perception.augment import Turn, turn_of, turns_of
from perception.checkpoint import check_image_size
from perception.network_outputs import CENTRE_STRIDE
from perception.targets import Targets, sample_targets, straight_distance
from perception.tasks import PerceptionTask
from perception.views import WIDE, Alteration, View, from_another_device, zoomed
from sim.camera import Camera
from sim.dataset_index import DatasetIndex, leaks, read_dataset
from sim.remote import Place
from sim.shards import read_shard

MAX_BYTES = 3 << 30
"""Default bound of a split in memory [bytes]: 3 GiB, some 32,000 frames of 128 x 128 px."""

_BYTES_A_PIXEL = 6  # three of colour, one of class, two of distance
_LEAST_SIGMA = 0.7  # cells
_SOUGHT_PIXELS = 12  # fewer than this, at 128 x 128, and a frame does not count as one with a polyp (or instrument)


@dataclass(frozen=True)
class Frames:
    """A split of a data set in memory; n frames through one lens."""

    task: PerceptionTask
    """What they were recorded for."""
    camera: Camera
    """The lens."""
    rgb: UInt8[np.ndarray, "n h w 3"]
    """sRGB."""
    log_exposure: Float32[np.ndarray, "n"]
    """Log of the device's gain."""
    classes: UInt8[np.ndarray, "n h w"]
    """Ids of the task's classes."""
    distance: Float16[np.ndarray, "n h w"]
    """Straight-line distance [m]; 0 where not known. Half precision keeps it within 0.05 %."""
    direction: Float32[np.ndarray, "n 3"]
    """Unit vector to the task's aim, camera axes."""
    visible: Bool[np.ndarray, "n"]
    """Whether the aim is seen."""
    centres: tuple[Float32[np.ndarray, "_ 3"], ...]
    """Of each frame, column, row and pixels of what is sought, as `Targets.centres`."""
    patients: tuple[str, ...]
    """Of each frame."""
    times: Float32[np.ndarray, "n"]
    """Simulated time of each frame in its episode [s]."""

    def __len__(self) -> int:
        return len(self.rgb)

    @property
    def with_sought(self) -> NDArray[np.bool_]:
        """True for each frame that shows more than a speck of what is sought, shape (n,)."""
        return np.asarray((self.classes == self.task.sought).sum(axis=(1, 2)) >= _SOUGHT_PIXELS)

    def every(self, stride: int) -> "Frames":
        """Return every so many frames, as views."""
        rows = slice(None, None, stride)
        return Frames(
            self.task,
            self.camera,
            self.rgb[rows],
            self.log_exposure[rows],
            self.classes[rows],
            self.distance[rows],
            self.direction[rows],
            self.visible[rows],
            self.centres[rows],
            self.patients[rows],
            self.times[rows],
        )


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
    centres: Float[Tensor, "batch h/4 w/4"]
    """1 in the cell of each polyp's middle, or of the tip, falling off around it; see `centre_map`."""
    foreign: NDArray[np.bool_]
    """Which frames were made to look like those of a device whose gain is not known, shape (batch,)."""


def open_dataset(folder: Place) -> DatasetIndex:
    """Read dataset.json and refuse splits that share a patient.

    Raises:
        InputError: There is no data set, or a patient is in two splits.
    """
    index = read_dataset(folder)
    for patient, splits in leaks(index.splits).items():
        raise InputError(f"{folder}: expected each patient in one split, found {patient} in {' and '.join(splits)}")
    return index


def load_split(
    folder: Place,
    split: str,
    *,
    threads: int = 2,
    max_bytes: int = MAX_BYTES,
    advance: Callable[[], None] = lambda: None,
) -> Frames:
    """Decode a split into memory.

    Args:
        folder: The data set; one at a URL is a `sim.remote.RemotePath`.
        split: A split of it, such as train.
        threads: Threads that decode.
        max_bytes: Bound of memory; of a larger split every second, third, ... frame is taken.
        advance: Called after each shard.

    Raises:
        InputError: The data set is missing, damaged, empty, mixes lenses or tasks, or holds a patient of another split.
    """
    index = open_dataset(folder)
    paths, allowed = index.paths(folder, split), set(index.splits.get(split, ()))
    infos = index.shards[split]
    count = sum(info.count for info in infos)
    if count == 0:
        raise InputError(f"{folder}: expected frames in split {split!r}, found none")
    first = _first(paths)
    camera, task = first.camera, first.task
    check_image_size(camera, f"{folder}: {split}")
    stride = max(1, -(-count * camera.width * camera.height * _BYTES_A_PIXEL // max_bytes))
    kept = len(range(0, count, stride))
    shape = (kept, camera.height, camera.width)
    rgb, classes, distance = np.empty((*shape, 3), np.uint8), np.empty(shape, np.uint8), np.empty(shape, np.float16)
    log_exposure, direction = np.empty(kept, np.float32), np.empty((kept, 3), np.float32)
    visible, times = np.empty(kept, np.bool_), np.empty(kept, np.float32)
    centres, patients = list[NDArray[np.float32]](), list[str]()
    number = 0
    with ThreadPoolExecutor(threads) as pool:
        for path, info in zip(paths, infos, strict=True):
            for targets in _checked(pool.map(sample_targets, read_shard(path)), path, info.count):
                if targets.patient not in allowed:
                    raise InputError(f"{path}: expected a patient of split {split!r}, found {targets.patient!r}")
                if targets.task is not task:
                    raise InputError(f"{path}: expected the task {task.name} of the split, found {targets.task.name}")
                if targets.camera != camera:
                    raise InputError(f"{path}: expected the camera {camera} of the split, found {targets.camera}")
                if number % stride == 0:
                    row = number // stride
                    rgb[row], classes[row] = targets.rgb, targets.classes
                    distance[row] = straight_distance(targets.depth, camera)
                    log_exposure[row], direction[row] = np.log(targets.exposure), targets.lumen_direction
                    visible[row], times[row] = targets.lumen_visible, targets.time
                    centres.append(targets.centres)
                    patients.append(targets.patient)
                number += 1
            advance()
    return Frames(
        task,
        camera,
        rgb,
        log_exposure,
        classes,
        distance,
        direction,
        visible,
        tuple(centres),
        tuple(patients),
        times,
    )


def _first(paths: Sequence[Place]) -> Targets:
    for path in paths:
        for sample in read_shard(path):
            return sample_targets(sample)
    raise InputError(f"{paths[0]}: expected frames as dataset.json says, found none")


def _checked(frames: Iterable[Targets], path: Place, count: int) -> Iterator[Targets]:
    """Pass the frames of a shard on, no more and no fewer than the data set says.

    Raises:
        InputError: There are more or fewer.
    """
    found = 0
    for frame in frames:
        found += 1
        if found <= count:
            yield frame
    if found != count:
        raise InputError(f"{path}: expected {count} frames as dataset.json says, found {found}")


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
    log_exposure = np.where(foreign, 0, frames.log_exposure[rows]).astype(np.float32)
    return Batch(
        image=stack("rgb").permute(0, 3, 1, 2).float() / 255,  # a view: channels last
        log_exposure=torch.from_numpy(log_exposure).to(device),
        classes=stack("classes").long(),
        distance=stack("distance"),
        direction=stack("direction"),
        visible=stack("visible").float(),
        rays=stack("rays").permute(0, 3, 1, 2),
        centres=torch.from_numpy(np.stack([centre_map(view.centres, shape) for view in views])).to(device),
        foreign=foreign,
    )


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
