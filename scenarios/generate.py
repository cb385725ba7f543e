"""`trocar dataset generate`: a scenario and a list of patients become shards, one shard a patient."""

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from assets.errors import InputError
from assets.sources import resolve_patients
from scenarios.cameras import camera_named
from scenarios.catalogue import driver_named, scenario_named
from scenarios.generate_summary import Refused, refusal, summary_lines
from scenarios.models import model_content
from scenarios.parallel import run_pieces
from scenarios.progress import progress
from scenarios.ray_executor import run_on_ray
from scenarios.recording import MAX_EPISODES, Piece, Split, Wanted, label_ids, try_patient
from scenarios.runs import source_name, start_run
from sim.atomic import remove_leftovers
from sim.codec import Exact
from sim.dataset_index import DatasetIndex, read_dataset, write_dataset
from sim.folder_lock import exclusive
from sim.index_table import TABLE
from sim.quantisation import DEPTH_STEP
from sim.remote import Place, RemotePath, place_of
from sim.render.randomiser import AXES, Axis
from sim.shard_notes import is_notes, noted_records, noted_sizes
from sim.shards import ShardInfo

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
MAX_LOOKS = 100
MAX_STEREO_MM = 100.0


@dataclass(frozen=True)
class GenerateOptions:
    """What to record."""

    patients: tuple[str, ...]
    """Patient folders, synth:ANATOMY:SEED, or ranges such as synth:colon:0-15."""
    out: str | Path
    """Folder of the data set: a path, or a URL that fsspec knows, such as s3://BUCKET/FOLDER (extra fsspec)."""
    scenario: str = "colonoscopy"
    """A scenario's name, or file.py:Name."""
    driver: str = "explorer"
    """Who drives: explorer (the oracle, straying: each scenario has its own), oracle, model, classical, blind, or
    file.py:Name."""
    model: str | None = None
    """Network of the driver `model`: FILE.safetensors, FILE.onnx, or file.py:name, a callable; if not given, the one
    that comes with trocar."""
    frames: int = 120
    """Moments recorded of a patient; a frame each, or one for each look and each eye."""
    runs: int = 1
    """Runs that a patient's frames are shared by at least, each with a look of its own."""
    every: int = 3
    """Record every so many control steps."""
    polyp_every: int = 1
    """Record every so many while what is searched for is seen: in the colon a polyp within 50 mm, which is rare."""
    size: tuple[int, int] = (128, 128)
    """Width and height [px]."""
    vary: tuple[Axis, ...] = AXES
    """What of the appearance is drawn anew for each episode: the tissue's texture, the light, the sensor."""
    looks: int = 1
    """Appearances of each geometry: so many frames of one pose and one truth, the others with looks drawn at random."""
    camera: str | None = None
    """colonoscope, bronchoscope, laparoscope, cf-hq190l, fisheye:DEG, pinhole:DEG or a .json; None: the scenario's."""
    stereo_mm: float | None = None
    """A second camera so far to the right [mm]: each frame has one more, of the right eye."""
    channels: tuple[Wanted, ...] = ()
    """What to record besides the usual channels; flow goes to the next recorded frame, flow_back to the one before."""
    rgb: Literal["png", "jpg"] = "png"
    """How colours are stored: png is exact; jpg (quality 95) takes a fifth of the bytes, and is not."""
    exact: tuple[Exact, ...] = ()
    """Channels stored as exact 32 bit floats (NPY) instead of PNGs in steps, such as depth; several times the bytes."""
    degradations: float = 0.0
    """Chance of each degradation (smoke, blood, fog, noise, ...; see sim/degradations) in an episode."""
    splits: tuple[float, float, float] = (0.85, 0.15, 0.0)
    """Shares of the patients, in order, for train, validation and test."""
    seed: int = 0
    """The data set's randomness."""
    workers: int = 2
    """Processes on this machine."""
    executor: Literal["local", "ray"] = "local"
    """Where the work is done: in processes here, or on a Ray cluster whose nodes all see the same files."""
    address: str = "auto"
    """Of the Ray cluster: HOST:PORT, ray://HOST:PORT, or auto for the one on this machine."""

    def __post_init__(self) -> None:
        if min(self.frames, self.every, self.polyp_every, self.workers) < 1 or not 1 <= self.runs <= MAX_EPISODES:
            raise InputError(
                f"generate: expected frames, every, polyp_every and workers of at least 1, runs of 1 to {MAX_EPISODES},"
                f" found {self.frames}, {self.every}, {self.polyp_every}, {self.workers}, {self.runs}"
            )
        if not 1 <= self.looks <= MAX_LOOKS:
            raise InputError(f"generate: expected 1 to {MAX_LOOKS} looks, found {self.looks}")
        if self.stereo_mm is not None and not 0 < self.stereo_mm <= MAX_STEREO_MM:
            raise InputError(
                f"generate: expected a stereo baseline above 0 and at most {MAX_STEREO_MM:g} mm, found {self.stereo_mm}"
            )
        recorded = {"depth", "normal", *self.channels}
        if not set(self.exact) <= recorded:
            raise InputError(
                f"generate: expected exact channels of those that are recorded, {', '.join(sorted(recorded))}; "
                f"found {', '.join(sorted(set(self.exact) - recorded))}; --channels adds some"
            )
        if not 0 <= self.degradations <= 1:
            raise InputError(f"generate: expected a chance of degradations within 0 and 1, found {self.degradations}")
        if min(self.splits) < 0 or abs(sum(self.splits) - 1) > 1e-6:
            raise InputError(f"generate: expected shares of the splits that sum to 1, found {self.splits}")


def generate(options: GenerateOptions) -> DatasetIndex:
    """Record a data set; shards that are there already from the same options are kept, so a killed run resumes.

    A patient that cannot be recorded does not stop the others, but the data set stays without its dataset.json.

    Raises:
        InputError: A source is wrong, patients could not be recorded, the folder holds another data set, or another run
            works in it.
        OSError: The folder cannot be written.
    """
    sources = resolve_patients(options.patients)
    driver_named(options.driver, scenario_named(options.scenario).task, options.model)
    if options.camera is not None:
        camera_named(options.camera, *options.size)
    out = place_of(options.out)
    if isinstance(out, RemotePath):
        with tempfile.TemporaryDirectory(prefix="trocar-") as stage:
            return _generate_remotely(options, sources, Path(stage), out)
    with exclusive(out):
        start_run(out, "trocar dataset generate", _decisive(options))
        remove_leftovers(out)
        pieces = _pieces(options, sources, out)
        index = _record_all(options, sources, pieces, out)
        for path in out.iterdir():
            if is_notes(path.name):
                path.unlink()
        return index


def _decisive(options: GenerateOptions) -> dict[str, Any]:
    """Say what decides the frames; of a model that drives, its content."""
    content = asdict(options)
    if options.driver == "model":
        content |= model_content(options.model, scenario_named(options.scenario).task.name)
    return content


def _generate_remotely(options: GenerateOptions, sources: Sequence[str], stage: Path, out: RemotePath) -> DatasetIndex:
    """Record a data set at a URL; `stage` is an empty folder here for what is on its way there.

    There is no lock: two runs of the same options store the same bytes, and one of other options is refused.
    """
    there = out.files()
    if "config.json" in there:
        (out / "config.json").download(stage / "config.json")
    elif there:
        raise InputError(
            f"{out}: expected an empty folder or a run of trocar dataset generate, found other files; "
            "choose another --out"
        )
    try:
        if not start_run(stage, "trocar dataset generate", _decisive(options)):
            (out / "config.json").upload(stage / "config.json")
    except InputError as error:
        raise InputError(str(error).replace(str(stage), str(out))) from None
    if "dataset.json" in there and (index := read_dataset(out)) and _is_all_there(index, there):
        _remove_notes(out, there)
        return index
    index = _record_all(options, sources, _pieces(options, sources, stage, out, there), stage)
    (out / "index.jsonl").upload(stage / "index.jsonl")
    if (stage / TABLE).is_file():
        (out / TABLE).upload(stage / TABLE)
    elif TABLE in there:
        (out / TABLE).unlink()
    (out / "dataset.json").upload(stage / "dataset.json")
    _remove_notes(out, out.files())
    return index


def _is_all_there(index: DatasetIndex, there: Mapping[str, int]) -> bool:
    """Tell whether every shard has the size that dataset.json says."""
    return all(there.get(shard.name) == shard.bytes for shards in index.shards.values() for shard in shards)


def _remove_notes(out: RemotePath, there: Mapping[str, int]) -> None:
    for name in there:
        if is_notes(name):
            (out / name).unlink()


def _pieces(
    options: GenerateOptions,
    sources: Sequence[str],
    folder: Path,
    out: RemotePath | None = None,
    there: Mapping[str, int] | None = None,
) -> list[Piece]:
    """Cut the work into shards, one a patient."""
    pieces = []
    for index, source in enumerate(sources):
        name = f"{source_name(source)}.tar"
        split = split_of(index, len(sources), options.splits)
        target = None if out is None else out / name
        pieces.append(Piece(source, split, folder / name, options, target, (there or {}).get(name)))
    return pieces


def _record_all(
    options: GenerateOptions, sources: Sequence[str], pieces: Sequence[Piece], folder: Path
) -> DatasetIndex:
    """Write what is not there yet, and in `folder` what the data set says of itself."""
    infos: dict[int, ShardInfo] = {}
    refused: dict[int, Refused] = {}
    kept = {index for index, piece in enumerate(pieces) if piece.there is not None or piece.path.exists()}
    started, recorded = time.monotonic(), 0
    with progress("recording patients", len(pieces)) as advance:
        for index, found in _do(pieces, options):
            if isinstance(found, Refused):
                refused[index] = found
            else:
                infos[index] = found
                recorded += 0 if index in kept else found.count
            advance(note=f"{recorded / max(time.monotonic() - started, 1e-3):.2f} frames/s")
    remove_leftovers(folder)  # of workers that died
    if refused:
        raise InputError(refusal([refused[index] for index in sorted(refused)], len(pieces)))
    places: list[Place] = [piece.target or piece.path for piece in pieces]
    splits = {name: [index for index, piece in enumerate(pieces) if piece.split == name] for name in SPLITS}
    sizes: Counter[str] = Counter()
    for place in places:
        sizes.update(noted_sizes(place))
    dataset = write_dataset(
        folder,
        (record for place in places for record in noted_records(place)),
        labels=label_ids(),
        depth_step=DEPTH_STEP,
        splits={name: [pieces[index].patient for index in group] for name, group in splits.items()},
        shards={name: [infos[index] for index in group] for name, group in splits.items()},
        config=_content(options, sources),
    )
    lines = summary_lines(dataset.shards, sizes, recorded=recorded, seconds=time.monotonic() - started)
    print("\n".join(lines), file=sys.stderr)
    return dataset


def _do(pieces: Sequence[Piece], options: GenerateOptions) -> Iterator[tuple[int, ShardInfo | Refused]]:
    if options.executor == "ray":
        return run_on_ray(try_patient, pieces, address=options.address)
    return run_pieces(try_patient, pieces, workers=options.workers)


def split_of(index: int, count: int, splits: Sequence[float]) -> Split:
    """Return the split of the patient at `index` of `count`: whole patients, in order."""
    train, validation, _ = splits
    position = (index + 0.5) / count
    return "train" if position < train else "validation" if position < train + validation else "test"


def _content(options: GenerateOptions, sources: Sequence[str]) -> dict[str, Any]:
    """Say what decides the bytes of the data set: neither its folder nor who does the work does."""
    chosen = _decisive(options)
    for free in ("out", "workers", "executor", "address", *(["model"] if "model_sha256" in chosen else [])):
        del chosen[free]
    return {**chosen, "patients": list(sources)}
