"""What an evaluation's folder holds, as the report shows it: episodes, film strips, sample frames, paths."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from assets.errors import InputError
from assets.sources import load_source
from scenarios.interface import Task
from scenarios.observer import EpisodeRecord
from scenarios.report import FilmStrip, ReportData, SamplePicture, ScopePath
from scenarios.runs import source_name

MOST_SAMPLES, MOST_FILMS = 6, 4


def episode_stem(patient: str, driver: str, condition: str, number: int) -> str:
    """Name an episode's files."""
    wrong = f"-{source_name(condition)}" if condition else ""
    return f"{source_name(patient)}-{source_name(driver)}{wrong}-{number}"


def strip_path(out: Path, stem: str) -> Path:
    """Return where an episode's film strip lies."""
    return out / "strips" / f"{stem}.png"


def sample_path(out: Path, stem: str) -> Path:
    """Return where an episode's sample frame lies."""
    return out / "samples" / f"{stem}.npz"


def with_episodes(data: ReportData, out: Path, records: Sequence[EpisodeRecord], task: Task) -> ReportData:
    """Add an evaluation's episodes, pictures and paths to a report.

    Raises:
        InputError: A picture is missing or damaged.
    """
    stems = _stems(records)
    nominal = [record for record in records if not record.condition]
    drivers = list(dict.fromkeys(record.summary.driver for record in records))
    shown = "model" if "model" in drivers else drivers[0]
    own = [
        (record, stem)
        for record, stem in zip(records, stems, strict=True)
        if record.summary.driver == shown and not record.condition
    ]
    # Failures first: they are what one learns from.
    films = sorted(own, key=lambda one: one[0].summary.success)[:MOST_FILMS]
    first = records[0].patient
    paths = {record.summary.driver: record.path for record in reversed(nominal) if record.patient == first}
    return replace(
        data,
        task=task.report,
        samples=[_sample(sample_path(out, stem), record) for record, stem in own[:MOST_SAMPLES]],
        episodes=[record.summary for record in nominal],
        films=[_film(strip_path(out, stem), record, task) for record, stem in films],
        patient=load_source(first),
        paths=[ScopePath(driver, np.array(paths[driver])) for driver in drivers if driver in paths],
    )


def _stems(records: Sequence[EpisodeRecord]) -> list[str]:
    """Name each record's files: episodes of one driver on one patient are counted in order."""
    counts: dict[tuple[str, str, str], int] = {}
    stems = []
    for record in records:
        key = (record.patient, record.summary.driver, record.condition)
        stems.append(episode_stem(*key, counts.get(key, 0)))
        counts[key] = counts.get(key, 0) + 1
    return stems


def _film(path: Path, record: EpisodeRecord, task: Task) -> FilmStrip:
    strip = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    count = len(record.captions)
    if strip is None or strip.shape[1] % count:
        raise InputError(f"{path}: expected a film strip of {count} pictures, found none")
    summary = record.summary
    title = f"{summary.driver} in {summary.patient}: {task.report.achieved if summary.success else summary.reason}"
    return FilmStrip(title, tuple(np.split(strip, count, axis=1)), tuple(record.captions))


def _sample(path: Path, record: EpisodeRecord) -> SamplePicture:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a sample frame, found {error}") from None
    return SamplePicture(**arrays, caption=f"{record.summary.patient}, driven by the {record.summary.driver}")
