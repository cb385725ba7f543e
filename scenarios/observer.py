"""What is kept of an evaluated episode besides its summary: how good the perception was, the path, a film strip."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from assets.errors import InputError
from perception.calibration import ReliabilityCounts
from perception.metrics import angular_error, confusion, depth_errors
from scenarios.episode import EpisodeSummary
from scenarios.interface import Task
from scenarios.loop import Episode, Moment
from scenarios.pictures import class_overlay, image_bytes
from scenarios.safety import Safety
from sim.atomic import atomic_file

JUDGED_EVERY = 5  # control steps
STRIP_FRAMES = 12


@dataclass(frozen=True)
class EpisodeRecord:
    """One episode as it is kept in the run folder."""

    patient: str
    """The patient's source, as it was asked for."""
    condition: str
    """What was wrong, such as `smoke=0.5`; empty where nothing was."""
    summary: EpisodeSummary
    events: dict[str, int]
    """First control step of each event."""
    path: list[list[float]]
    """Positions of the tip [m]."""
    frames: int
    """Frames in which the perception was judged."""
    counts: list[list[int]]
    """Pixels by true class (row) and predicted class (column)."""
    errors: dict[str, float | None]
    """Mean over the judged frames: abs_rel, abs_rel_scaled (median-scaled), direction_error_deg; None: never judged."""
    captions: list[str]
    """What stands under the pictures of the film strip, from left to right."""
    safety: Safety | None = None
    """How the watch did; None where the driver was not watched."""
    reliability: list[list[float]] | None = None
    """Pixels by belief in the class called: `ReliabilityCounts.sums`; None in records of before they were counted."""


class Observer:
    """Watches one episode."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._counts = np.zeros((len(task.classes), len(task.classes)), dtype=np.int64)
        self._errors: dict[str, list[float]] = {"abs_rel": [], "abs_rel_scaled": [], "direction_error_deg": []}
        self._frames = 0
        self._reliability = ReliabilityCounts()
        self._pictures: list[UInt8[np.ndarray, "h w 3"]] = []
        self._captions: list[str] = []
        self._spacing = 8
        self._sample: Moment | None = None
        self._sought_pixels = -1

    def __call__(self, moment: Moment) -> bool:
        """Judge the perception of every 5th control step, and keep some pictures; never end the episode."""
        step = moment.situation.step
        if step % JUDGED_EVERY == 0:
            self._judge(moment)
        if step % self._spacing == 0:
            picture = class_overlay(moment.frame.rgb, moment.prediction.classes)
            self._pictures.append(np.concatenate([moment.frame.rgb, picture], axis=0))
            self._captions.append(f"{moment.frame.time:.1f} s, {moment.situation.place}")
            if len(self._pictures) == 2 * STRIP_FRAMES:  # of an episode of unknown length, keep pictures evenly spread
                self._pictures, self._captions = self._pictures[::2], self._captions[::2]
                self._spacing *= 2
        return True

    def _judge(self, moment: Moment) -> None:
        frame, said, truth = moment.frame, moment.prediction, moment.truth
        _, shown = frame.camera.rays()
        self._counts += confusion(said.classes[shown], truth.classes[shown], len(self._task.classes))
        self._frames += 1
        right = said.classes == truth.classes
        self._reliability.add(said.probabilities.max(axis=0)[shown], right[shown])
        sought_pixels = int(np.count_nonzero(truth.classes == self._task.sought))
        if sought_pixels > self._sought_pixels:  # the sample is the frame that shows most of what is sought
            self._sample, self._sought_pixels = moment, sought_pixels
        valid = (frame.depth > 0) & (said.depth > 0)
        if valid.any():
            raw = depth_errors(said.depth, frame.depth, valid)
            scaled = depth_errors(said.depth, frame.depth, valid, median_scaled=True)
            self._errors["abs_rel"].append(raw.abs_rel)
            self._errors["abs_rel_scaled"].append(scaled.abs_rel)
        if truth.lumen_visible:
            off = angular_error(said.lumen_direction, truth.lumen_direction)
            self._errors["direction_error_deg"].append(float(np.degrees(off)))

    def record(
        self, patient: str, episode: Episode, condition: str = "", safety: Safety | None = None
    ) -> EpisodeRecord:
        """Put together what is kept."""
        return EpisodeRecord(
            patient=patient,
            condition=condition,
            summary=episode.summary,
            events=dict(episode.events),
            path=np.round(episode.path, 5).tolist(),
            frames=self._frames,
            counts=self._counts.tolist(),
            captions=list(self._captions),
            errors={name: float(np.mean(values)) if values else None for name, values in self._errors.items()},
            safety=safety,
            reliability=np.round(self._reliability.sums, 3).tolist(),
        )

    def save_pictures(self, strip: Path, sample: Path) -> None:
        """Write the film strip as a PNG (pictures above, the same with the predicted classes below), and a sample."""
        with atomic_file(strip) as stream:
            stream.write(image_bytes(np.concatenate(self._pictures, axis=1)))
        moment = self._sample
        assert moment is not None
        with atomic_file(sample) as stream:
            np.savez_compressed(
                stream,
                rgb=moment.frame.rgb,
                truth_classes=moment.truth.classes,
                predicted_classes=moment.prediction.classes,
                truth_depth=moment.frame.depth,
                predicted_depth=moment.prediction.depth,
            )


def write_record(path: Path, record: EpisodeRecord) -> None:
    """Write an episode as JSON.

    Raises:
        OSError: The folder cannot be written.
    """
    with atomic_file(path) as stream:
        stream.write(json.dumps({**asdict(record), "summary": record.summary.to_json()}, allow_nan=False).encode())


def read_record(path: Path) -> EpisodeRecord:
    """Read an episode back.

    Raises:
        InputError: The file is missing or damaged.
    """
    try:
        stored: dict[str, Any] = json.loads(path.read_bytes())
        safety = stored["safety"]
        parts = {
            "summary": EpisodeSummary.from_json(stored["summary"], str(path)),
            "safety": None if safety is None else Safety(**safety),
        }
        return EpisodeRecord(**{**stored, **parts})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: expected an episode, found {type(error).__name__}: {error}") from None
