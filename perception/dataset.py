"""Shards to tensors: a split of a data set held in memory as bytes, and batches cut from it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float16, Float32, UInt8
from numpy.typing import NDArray

from assets.errors import InputError
from perception.checkpoint import check_image_size
from perception.targets import Targets, sample_targets, straight_distance
from perception.tasks import PerceptionTask
from sim.camera import Camera
from sim.dataset_index import DatasetIndex, leaks, read_dataset
from sim.remote import Place
from sim.shards import read_shard

MAX_BYTES = 3 << 30
"""Default bound of a split in memory [bytes]: 3 GiB, some 32,000 frames of 128 x 128 px."""

_BYTES_A_PIXEL = 6  # three of colour, one of class, two of distance
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
    packed_sought: UInt8[np.ndarray, "n bytes"]
    """Of each frame, a bit a pixel: whether it shows what is sought, at any distance; see `sought`."""

    def __len__(self) -> int:
        return len(self.rgb)

    @property
    def with_sought(self) -> NDArray[np.bool_]:
        """True for each frame that shows more than a speck of what is sought, shape (n,)."""
        return np.asarray((self.classes == self.task.sought).sum(axis=(1, 2)) >= _SOUGHT_PIXELS)

    def sought(self, row: int) -> NDArray[np.bool_]:
        """Return which pixels of a frame show what is sought, at any distance, shape (h, w)."""
        shape = self.classes.shape[1:]
        bits = np.unpackbits(self.packed_sought[row], count=shape[0] * shape[1])
        return np.asarray(bits.reshape(shape), dtype=np.bool_)

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
            self.packed_sought[rows],
        )


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
    packed_sought = np.empty((kept, -(-camera.height * camera.width // 8)), np.uint8)
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
                    packed_sought[row] = np.packbits(targets.sought)
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
        packed_sought,
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
