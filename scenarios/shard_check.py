"""One shard of a data set, looked at by itself: what is in it, and every fault with its place."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float32

from assets.errors import InputError
from assets.labels import label_id
from scenarios.contact_sheet import ContactSheet
from scenarios.near_duplicates import Prints
from sim.dataset_index import DatasetIndex
from sim.frame import Frame
from sim.remote import Place, fetched
from sim.shards import Sample, ShardInfo, file_sha256, read_shard

_FILMS = ("blood", "stool")
"""Labels of what may lie on the tissue as a film without being an object, so with instance 0."""
_GEOMETRY = ("semantic", "instance", "depth", "normal")
"""Channels that are the same under every look of one geometry."""


@dataclass
class Findings:
    """What was found in a shard."""

    keys: list[str] = field(default_factory=list)
    frames: Counter[str] = field(default_factory=Counter)
    """By split."""
    pixels: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By split and label id."""
    patients: dict[str, set[str]] = field(default_factory=dict)
    """By split, as the samples themselves say."""
    geometries: set[str] = field(default_factory=set)
    """Of frames that show one geometry under several looks."""
    prints: Prints = field(default_factory=Prints)
    """To find frames that are in two splits."""
    sheet: ContactSheet | None = None
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ShardPiece:
    """A shard to look at; needs nothing of the others."""

    path: Place
    split: str
    info: ShardInfo
    """As dataset.json has it."""
    depth_step: float
    patients: frozenset[str]
    """Of the split."""
    labels: frozenset[int]
    """Ids that dataset.json names."""
    sheet: ContactSheet | None = None


def shard_pieces(folder: Place, index: DatasetIndex, sheet_frames: int | None) -> list[ShardPiece]:
    """Return the shards of a data set, split by split.

    Args:
        folder: The data set.
        index: Its dataset.json.
        sheet_frames: Frames over which a contact sheet is to be spread; None for no sheet.
    """
    labels = frozenset(index.labels.values())
    pieces, before = [], 0
    for split, shards in sorted(index.shards.items()):
        for info in shards:
            sheet = None if sheet_frames is None else ContactSheet(sheet_frames, before)
            patients = frozenset(index.splits.get(split, ()))
            pieces.append(ShardPiece(folder / info.name, split, info, index.depth_step, patients, labels, sheet))
            before += info.count
    return pieces


def look_at_shard(piece: ShardPiece) -> Findings:
    """Read every sample of a shard; one at a URL is fetched first.

    Raises:
        InputError: A server cannot be asked.
        OSError: There is no room for what is fetched.
    """
    found = Findings(sheet=piece.sheet)
    try:
        with fetched(piece.path) as path:
            if not path.is_file():
                raise FileNotFoundError
            if file_sha256(path) != piece.info.sha256:
                found.faults.append(
                    f"{piece.info.name}: expected the checksum of dataset.json, found another: the file was changed"
                )
            alike: dict[str, bytes] = {}
            try:
                for sample in read_shard(path):
                    found.keys.append(sample.key)
                    _look_at_sample(piece, sample, found, alike)
            except InputError as error:
                found.faults.append(str(error))
    except FileNotFoundError:
        found.faults.append(f"{piece.info.name}: expected a shard, found no such file")
        return found
    if len(found.keys) != piece.info.count:
        found.faults.append(f"{piece.info.name}: expected {piece.info.count} samples, found {len(found.keys)}")
    return found


def _look_at_sample(piece: ShardPiece, sample: Sample, found: Findings, alike: dict[str, bytes]) -> None:
    meta, frame = sample.meta(), sample.frame()
    if meta.get("depth_step") != piece.depth_step:
        found.faults.append(
            f"{sample.where}: expected a depth step of {piece.depth_step:g} m, found {meta.get('depth_step')}"
        )
    patient = str(meta.get("patient"))
    if patient not in piece.patients:
        found.faults.append(f"{sample.where}: expected a patient of the split {piece.split}, found {patient}")
    found.patients.setdefault(piece.split, set()).add(patient)
    found.frames[piece.split] += 1
    found.prints.add(piece.split, sample.where, frame)
    if found.sheet is not None:
        found.sheet.add(frame)
    labels, counts = np.unique(frame.semantic, return_counts=True)
    for label, count in zip(labels, counts, strict=True):
        found.pixels[piece.split, int(label)] += int(count)
    unknown = set(labels.tolist()) - piece.labels - {0}
    if unknown:
        found.faults.append(f"{sample.where}: expected labels of dataset.json, found ids {sorted(unknown)}")
    found.faults += [f"{sample.where}: {line}" for line in disagreements(frame)]
    if "geometry" in meta:
        geometry = str(meta["geometry"])
        found.geometries.add(geometry)
        digest = hashlib.sha256(b"".join(sample.stored(name)[1] for name in _GEOMETRY)).digest()
        if alike.setdefault(f"{geometry}/{meta.get('view')}", digest) != digest:
            found.faults.append(
                f"{sample.where}: expected the masks, depth and normals of the other looks of {geometry}, found other"
            )


def disagreements(frame: Frame) -> Iterator[str]:
    """Say where the channels of a frame do not fit each other; nothing must be nothing in all of them."""
    something = frame.semantic > 0
    film = np.isin(frame.semantic, [label_id(name) for name in _FILMS])
    for name, there in (
        ("instance", (frame.instance > 0) | film),
        ("depth", frame.depth > 0),
        ("normal", frame.normal.any(axis=-1)),
    ):
        count = int(np.count_nonzero(there != something))
        if count:
            row, column = np.argwhere(there != something)[0]
            yield f"{name} and semantic disagree on what is nothing at {count} px, first at row {row}, column {column}"
    labels_of = {
        int(instance): np.unique(frame.semantic[frame.instance == instance])
        for instance in np.unique(frame.instance[something])
        if instance
    }
    for instance, labels in labels_of.items():
        if len(labels) > 1:
            yield f"instance {instance} has {len(labels)} labels: {', '.join(map(str, labels))}"
    rays, _ = frame.camera.rays()
    away = something & ((frame.normal * rays).sum(axis=-1) > 0.02)  # the stored normals are up to 0.4 degrees off
    if away.any():
        yield f"{int(away.sum())} normals face away from the camera"
    yield from _flow_faults("flow", frame.flow, frame.flow_valid, something)
    if frame.flow_back is not None and frame.flow_back_valid is not None:
        yield from _flow_faults("flow_back", frame.flow_back, frame.flow_back_valid, something)


def _flow_faults(
    name: str, flow: Float32[np.ndarray, "h w 2"], valid: Bool[np.ndarray, "h w"], something: Bool[np.ndarray, "h w"]
) -> Iterator[str]:
    """Say where flow leaves the picture, though what it follows is seen at both ends, or begins at nothing."""
    height, width = valid.shape
    rows, columns = np.nonzero(valid)
    x, y = columns + flow[rows, columns, 0], rows + flow[rows, columns, 1]
    out = (x < -1) | (x > width) | (y < -1) | (y > height)  # half a pixel beyond the last centre, and as much for steps
    if out.any():
        first = int(np.argmax(out))
        yield f"{name} is out of range at {int(out.sum())} px, first at row {rows[first]}, column {columns[first]}"
    nowhere = valid & ~something
    if nowhere.any():
        row, column = np.argwhere(nowhere)[0]
        yield f"{name} begins at nothing at {int(nowhere.sum())} px, first at row {row}, column {column}"
