"""The data set that is exported, frame by frame: never more than one in memory."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from assets.errors import InputError
from perception.targets import camera_from_json
from scenarios.export.resample import resampled_sample
from sim.camera import Camera
from sim.dataset_index import DatasetIndex, read_dataset, read_records
from sim.frame import Frame
from sim.png import encode_png
from sim.shards import Sample, file_sha256, read_shard

Advance = Callable[[], None]
"""Called after each frame that is written."""


@dataclass(frozen=True)
class View:
    """One frame, where it stands in the data set, and its bytes as the shard has them."""

    sample: Sample
    meta: dict[str, Any]
    """Of meta.json."""
    split: str
    shard: str
    """The shard's name without its suffix."""
    sequence: str
    """What one eye saw in one go under one look: the shard's name and the episode, for the others than the first look
    `-l01` and so on, and `-right` for the right eye; letters, digits, `_` and `-`."""
    number: int
    """Of the frame in its sequence, from 0."""
    position: int
    """Of the frame in the data set, from 0."""

    @cached_property
    def frame(self) -> Frame:
        """Every channel, decoded once.

        Raises:
            InputError: A member is missing or damaged.
        """
        return self.sample.frame()

    @cached_property
    def camera(self) -> Camera:
        """Its lens, of meta.json.

        Raises:
            InputError: It is missing or damaged.
        """
        return camera_from_json(self.meta.get("camera"), f"{self.sample.where}.meta.json")

    @property
    def key(self) -> str:
        """The sample's key, unique in the data set and fit for a file name."""
        return self.sample.key

    @property
    def patient(self) -> str:
        """Whose frame it is; empty where nobody says."""
        return str(self.meta.get("patient", ""))

    def colours(self) -> tuple[str, bytes]:
        """Return the colours as the shard has them: the suffix, .png or .jpg, and the bytes.

        Raises:
            InputError: The sample has none.
        """
        name, data = self.sample.stored("rgb")
        return Path(name).suffix, data

    def colours_as_png(self) -> bytes:
        """Return the colours as a PNG, for formats that know nothing else.

        Raises:
            InputError: The sample has none, or they are damaged.
        """
        suffix, data = self.colours()
        return data if suffix == ".png" else encode_png(self.sample.channel("rgb"), "average")


@dataclass(frozen=True)
class Source:
    """A data set of ours, opened for export."""

    folder: Path
    index: DatasetIndex
    splits: tuple[str, ...]
    """The splits to export, in order; those without frames left out."""
    lens: Camera | None = None
    """Resample each frame to this pinhole; None leaves the frames as they are."""
    cameras: dict[Camera, int] = field(default_factory=dict)
    """Every camera met so far, with its count of frames."""

    @property
    def count(self) -> int:
        """Frames in all splits, as dataset.json says."""
        return sum(info.count for split in self.splits for info in self.index.shards[split])

    @property
    def left_out(self) -> list[str]:
        """What the resampling costs, a line each."""
        if self.lens is None:
            return []
        return [
            "the lens of the data set: resampled to a pinhole, masks and normals from the nearest pixel, so up to half "
            "a pixel off; depth between pixels, but at edges from the nearest",
            "flow to the frame after: it holds for the lens of the data set only",
        ]

    @property
    def identity(self) -> str:
        """SHA-256 of dataset.json, which holds the checksums of all else."""
        return file_sha256(self.folder / "dataset.json")

    def views(self) -> Iterator[View]:
        """Read every frame, split by split, sequence by sequence; a shard is read once for each look and each eye.

        Raises:
            InputError: A shard is missing or damaged, holds more or fewer frames than dataset.json says, or has the
                frames of one sequence in two places.
        """
        position, seen, kinds = 0, set[str](), self._kinds()
        for split in self.splits:
            for info in self.index.shards[split]:
                path, count, sequence, number = self.folder / info.name, 0, "", 0
                for sample, meta in _by_kind(path, kinds.get(info.name, {""})):
                    name = _sequence_name(path.stem, meta)
                    if name != sequence:
                        if name in seen:
                            raise InputError(f"{sample.where}: expected each sequence in one piece, found {name} again")
                        seen.add(name)
                        sequence, number = name, 0
                    if self.lens is not None:
                        sample = resampled_sample(sample, self.lens)
                        meta = sample.meta()
                    view = View(sample, meta, split, path.stem, sequence, number, position)
                    self.cameras[view.camera] = self.cameras.get(view.camera, 0) + 1
                    yield view
                    count, number, position = count + 1, number + 1, position + 1
                if count != info.count:
                    raise InputError(f"{path}: expected {info.count} frames as dataset.json says, found {count}")

    def _kinds(self) -> dict[str, set[str]]:
        """Return the looks and eyes that are in each shard, as index.jsonl says."""
        found: dict[str, set[str]] = {}
        for record in read_records(self.folder):
            found.setdefault(str(record.get("shard")), set()).add(_kind(record))
        return found

    def label_names(self) -> dict[int, str]:
        """Return names by id, without the background, of labels that occur as index.jsonl says, in order of id.

        Raises:
            InputError: index.jsonl is missing or damaged.
        """
        names = {label: name for name, label in self.index.labels.items()}
        found: set[int] = set()
        for record in read_records(self.folder):
            found |= {int(label) for label in record.get("pixels", {})}
        return {label: names.get(label, f"label_{label}") for label in sorted(found - {0})}


def open_source(folder: Path, splits: tuple[str, ...], *, lens: Camera | None = None) -> Source:
    """Open a data set.

    Args:
        folder: With its dataset.json.
        splits: Splits to export; all if empty.
        lens: A pinhole to resample each frame to.

    Raises:
        InputError: There is no data set, no such split, or no frame.
    """
    index = read_dataset(folder)
    for split in splits:
        index.paths(folder, split)  # says which there are
    chosen = tuple(split for split in index.shards if not splits or split in splits)
    source = Source(folder, index, tuple(split for split in chosen if index.shards[split]), lens)
    if source.count == 0:
        raise InputError(f"{folder}: expected frames in split {' or '.join(chosen)}, found none")
    return source


def _by_kind(path: Path, kinds: set[str]) -> Iterator[tuple[Sample, dict[str, Any]]]:
    """Read the samples of a shard with their meta data, one look of one eye after the other."""
    for kind in sorted(kinds):
        for sample in read_shard(path):
            meta = sample.meta()
            if _kind(meta) == kind:
                yield sample, meta


def _kind(said: Mapping[str, Any]) -> str:
    """Name the look and the eye of a frame; empty for the first look of the only or the left eye."""
    look = said.get("look")
    numbered = isinstance(look, int) and not isinstance(look, bool) and look > 0
    return (f"-l{look:02d}" if numbered else "") + ("-right" if said.get("view") == "right" else "")


def _sequence_name(stem: str, meta: dict[str, Any]) -> str:
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in stem)
    episode = meta.get("episode")
    numbered = isinstance(episode, int) and not isinstance(episode, bool)
    return (f"{safe}-{episode:02d}" if numbered else safe) + _kind(meta)
