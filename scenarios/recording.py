"""One shard recorded: a scenario is played on one patient, and so many of its moments are kept as frames."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from assets.errors import InputError
from assets.labels import load_labels
from assets.sources import load_source
from scenarios.cameras import camera_named
from scenarios.catalogue import driver_named, scenario_named
from scenarios.free_memory import return_free_memory
from scenarios.generate_summary import Refused
from scenarios.interface import Task
from scenarios.loop import Moment, run_episode
from scenarios.runs import cache_folder, source_name, source_seed
from sim.codec import Storage
from sim.degradations.degrade import flow_holds
from sim.degradations.settings import Degradations, draw_degradations
from sim.degradations.tower import uncovered
from sim.flow import FlowRecorder
from sim.frame import Frame
from sim.key_points import shown_points
from sim.looks import OtherLooks, RightEye
from sim.quantisation import DEPTH_STEP
from sim.remote import RemotePath
from sim.render.appearance import Appearance, LightSettings
from sim.render.channels import EXTRAS, chosen
from sim.render.look import guides_of
from sim.render.randomiser import draw_appearance
from sim.shard_notes import note_anew, noted_info, notes_of, write_notes
from sim.shards import Sample, ShardInfo, encode, file_sha256, write_shard
from sim.stereo import StereoRig

if TYPE_CHECKING:
    from scenarios.generate import GenerateOptions

Wanted = Literal["part", "distance", "object_point", "light_distance", "flow", "flow_back"]
Split = Literal["train", "validation", "test"]
SOUGHT_SHARE = 0.002  # of the picture: 33 px at 128 x 128
MAX_EPISODES = 8  # runs on one patient to collect its frames; a scope that is stuck at once yields few a run


@dataclass(frozen=True)
class Piece:
    """One shard: one patient, independent of all others."""

    patient: str
    split: Split
    path: Path
    """The shard, on this disk."""
    options: "GenerateOptions"
    target: RemotePath | None = None
    """Where the shard belongs if that is not this disk."""
    there: int | None = None
    """Size of the shard that is at the target already [bytes]; None where none is."""


class BadPatientError(InputError):
    """A patient cannot be recorded; others may be."""


def try_patient(piece: Piece) -> ShardInfo | Refused:
    """Write one patient's shard as `record_patient` does, or say why the patient cannot be recorded.

    Raises:
        InputError: What the shards belong to cannot be reached.
        OSError: There is no room, or the folder cannot be written.
    """
    try:
        return record_patient(piece)
    except BadPatientError as error:
        return Refused(piece.patient, str(error))


def record_patient(piece: Piece) -> ShardInfo:
    """Write one patient's shard and its notes, or take the one that is there."""
    if piece.target is not None:
        return _record_remotely(piece, piece.target)
    if not piece.path.exists():
        return _record(piece)
    noted = noted_info(piece.path)
    if noted is not None and file_sha256(piece.path) == noted.sha256:
        return noted
    try:
        return note_anew(piece.path)
    except InputError as error:
        raise BadPatientError(f"{error}; remove the file, and the same command records it anew") from None


def _record_remotely(piece: Piece, target: RemotePath) -> ShardInfo:
    """Write the shard here, check it, and store it; first its notes, so that a shard that is there has them.

    Raises:
        InputError: The target cannot be reached, or holds a damaged shard.
        OSError: There is no room here.
    """
    with tempfile.TemporaryDirectory(prefix="trocar-") as folder:
        local = Path(folder) / target.name
        if piece.there is None:
            info = _record(replace(piece, path=local))
            if note_anew(local) != info:
                raise InputError(f"{local}: expected to read what was written, found other")
        else:
            noted = noted_info(target)
            if noted is not None and noted.bytes == piece.there:
                return noted
            try:
                target.download(local)
                info = note_anew(local)
            except InputError as error:
                raise BadPatientError(f"{target}: {error}; remove it, and the same command records it anew") from None
        notes = notes_of(local)
        assert isinstance(notes, Path)
        (target.parent / notes.name).upload(notes)
        if piece.there is None:
            target.upload(local)
    return info


def _record(piece: Piece) -> ShardInfo:
    """Play on the patient until there are enough frames, and write them.

    Raises:
        BadPatientError: The patient is missing or damaged, or is none for the scenario; or a frame does not fit into
            its stated quantisation.
        OSError: The shard cannot be written.
    """
    try:
        samples = _played(piece)
    except InputError as error:
        raise BadPatientError(str(error)) from error
    info = write_shard(piece.path, samples)
    write_notes(piece.path, info, samples)
    del samples
    return_free_memory()
    return info


def _played(piece: Piece) -> list[Sample]:
    options = piece.options
    samples: list[Sample] = []
    patient = load_source(piece.patient)
    base = source_seed(options.seed, piece.patient)
    scenario = scenario_named(options.scenario)
    task = scenario.task
    make = task.camera if options.camera is None else partial(camera_named, options.camera)
    with ExitStack() as owned:
        scene = owned.enter_context(task.open_scene(patient, make(*options.size), cache_folder()))
        if options.channels or options.looks > 1 or options.stereo_mm:
            if not all(hasattr(scene, name) for name in ("channels", "renderer")):
                raise InputError(
                    f"generate: expected a task whose scene gives channels, looks and stereo, found {task.name}"
                )
            scene.channels = chosen(set(options.channels) & set(EXTRAS))
        eye: RightEye | None = None
        if options.stereo_mm:
            eye = owned.enter_context(RightEye(scene, StereoRig.parallel(scene.camera, options.stereo_mm / 1000)))
        for episode in range(MAX_EPISODES):
            rng = np.random.default_rng([base, episode])
            appearance = draw_appearance(rng, vary=options.vary)
            seed = int(rng.integers(1 << 31))
            degradations = draw_degradations(rng, share=options.degradations)
            others = [draw_appearance(rng, vary=options.vary) for _ in range(options.looks - 1)]
            run = Run(piece, task, episode, seed, degradations, (appearance, *others))
            record = Recorder(samples, scene, run, eye)
            run_episode(
                scene,
                scenario,
                driver_named(options.driver, task, options.model),
                seed,
                appearance=appearance,
                degradations=degradations,
                recorder=record,
                measuring=False,
            )
            record.finish()
            if record.count >= options.frames:
                break
    return samples


@dataclass(frozen=True)
class Run:
    """One episode that is recorded."""

    piece: Piece
    task: Task
    episode: int
    seed: int
    degradations: Degradations
    looks: tuple[Appearance, ...]
    """Of each recorded moment; the first is that of the episode."""


class Recorder:
    """Turns every so many moments of an episode into samples: one for each look and each eye."""

    def __init__(self, samples: list[Sample], scene: Any, run: Run, eye: RightEye | None) -> None:
        """Begin an episode; what is recorded goes to the end of `samples`."""
        self._samples = samples
        self._run = run
        self._options = run.piece.options
        self._scene = scene
        self._eye = eye
        self._others = OtherLooks(scene, run.looks[1:]) if len(run.looks) > 1 else None
        self._labels = label_ids()
        self._storage = Storage(self._options.rgb, self._options.exact)
        self._each = len(run.looks) * (2 if eye else 1)
        """Samples of a moment."""
        self._most = min(
            self._options.frames, len(samples) // self._each + -(-self._options.frames // self._options.runs)
        )
        """Moments of the patient after which this episode ends."""
        self._flow = _flow_recorder(scene, self._options.channels, run.degradations)
        self._waiting: list[tuple[Frame, dict[str, Any], str]] = []
        """Frames of the moment that waits for the next to have its flow, the scene's own first."""

    @property
    def count(self) -> int:
        """Moments recorded so far, in all episodes of the patient."""
        return (len(self._samples) + len(self._waiting)) // self._each

    def __call__(self, moment: Moment) -> bool:
        """Record the moment if its turn has come; say whether more are wanted."""
        every = self._options.polyp_every if self._shows_sought(moment) else self._options.every
        if moment.situation.step % every:
            return True
        depth = moment.frame.depth
        if bool(((depth > 0) & (depth < DEPTH_STEP)).any()):
            return True  # the lens passes through the surface of a pool: nearer than a step of the depth
        frames = self._frames(moment)
        if self._flow is None:
            self._samples += [self._encoded(frame, meta, key) for frame, meta, key in frames]
        else:
            self._keep(self._flow.add(moment.frame))
            self._waiting = frames
        return self.count < self._most

    def finish(self) -> None:
        """Record the episode's last moment, if it waits."""
        if self._flow is not None:
            self._keep(self._flow.finish())

    def _frames(self, moment: Moment) -> list[tuple[Frame, dict[str, Any], str]]:
        """Return all frames of a moment with their meta data and keys."""
        run = self._run
        key = f"{source_name(run.piece.patient)}-{run.episode:02d}-{moment.situation.step:05d}"
        left = [moment.frame, *(self._others.frames() if self._others else [])]
        right = self._eye.frames(left, run.looks) if self._eye else []
        found = []
        for view, frames in (("left", left), ("right", right)):
            for look, frame in enumerate(frames):
                meta = self._meta(moment, frame, run.looks[look])
                name = key
                if self._each > 1:
                    meta |= {"geometry": key, "look": look}
                    name += f"-l{look:02d}" if look else ""
                if self._eye:
                    meta |= {"view": view, "T_left_right": self._eye.rig.T_left_right.tolist()}
                    name += "-right" if view == "right" else ""
                found.append((frame, meta, name))
        return found

    def _meta(self, moment: Moment, frame: Frame, appearance: Appearance) -> dict[str, Any]:
        run = self._run
        meta: dict[str, Any] = {
            "patient": run.piece.patient,
            "split": run.piece.split,
            "seed": run.seed,
            "episode": run.episode,
            "step": moment.situation.step,
            "phase": moment.situation.phase,
            "labels": self._labels,
            "task": run.task.name,
            "lumen_direction": moment.truth.lumen_direction.tolist(),
            "lumen_visible": bool(moment.truth.lumen_visible),
            "appearance": asdict(appearance),
            "degradations": asdict(run.degradations),
            **moment.situation.meta(),
        }
        if hasattr(self._scene, "last_view"):
            light = self._scene.last_view.light or LightSettings()
            meta["light"] = {
                "guides": guides_of(light, appearance).tolist(),
                "power": light.power,
                "shadows": light.shadows,
            }
        if hasattr(self._scene, "key_points"):
            points = shown_points(self._scene.key_points(frame), uncovered(frame.camera, run.degradations))
            meta["keypoints"] = [point.meta() for point in points]
        return meta

    def _keep(self, frame: Frame | None) -> None:
        """Record the moment that waits, now that its frame has flow."""
        if frame is None:
            return
        flow = {name: getattr(frame, name) for name in ("flow", "flow_valid", "flow_back", "flow_back_valid")}
        for one, meta, key in self._waiting:
            # A right eye's flow would be another; its frames go without.
            own = meta.get("view") != "right"
            done = replace(one, **flow) if own else one
            self._samples.append(self._encoded(done, meta, key, with_flow=own and "flow" in self._options.channels))
        self._waiting = []

    def _encoded(self, frame: Frame, meta: dict[str, Any], key: str, *, with_flow: bool = False) -> Sample:
        """Encode a frame.

        Raises:
            InputError: It does not fit into its stated quantisation.
        """
        try:
            return encode(frame, meta, key=key, with_flow=with_flow, storage=self._storage)
        except ValueError as error:
            raise InputError(str(error)) from error

    def _shows_sought(self, moment: Moment) -> bool:
        classes = moment.truth.classes
        return int(np.count_nonzero(classes == self._run.task.sought)) >= SOUGHT_SHARE * classes.size


def _flow_recorder(scene: Any, channels: Sequence[Wanted], wrong: Degradations) -> FlowRecorder | None:
    """Make what completes an episode's frames with flow, if it is asked for."""
    if not {"flow", "flow_back"} & set(channels):
        return None
    holds = flow_holds(scene.camera, wrong)
    return FlowRecorder(scene.renderer, back="flow_back" in channels, holds=holds)


def label_ids() -> dict[str, int]:
    """Return the ids of all labels by name."""
    return {name: label.id for name, label in load_labels().items()}
