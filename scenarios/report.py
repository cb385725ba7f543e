"""The report: one self-contained HTML page of what was run and what came out, to read on a desk or a phone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Integer, UInt8

from assets.patient import Patient
from scenarios.episode import EpisodeSummary
from scenarios.figures import Figure, formatted
from scenarios.measure import TaskReport
from scenarios.pictures import (
    CLASS_COLOURS,
    class_overlay,
    curves,
    depth_colours,
    image_bytes,
    path_map,
)
from scenarios.report_episodes import drivers_table, failures_table
from scenarios.report_page import card, details, page, picture, scroller, section, swatch, table, text
from scenarios.safety_figures import safety_section
from scenarios.sweeps import sweep_sections
from sim.atomic import atomic_file


@dataclass(frozen=True)
class SamplePicture:
    """A frame beside what is true of it and what the network says."""

    rgb: UInt8[np.ndarray, "h w 3"]
    truth_classes: Integer[np.ndarray, "h w"]
    """Ids of the task's classes; 0 is the background."""
    predicted_classes: Integer[np.ndarray, "h w"] | None
    truth_depth: Float32[np.ndarray, "h w"]
    """z-depth [m]."""
    predicted_depth: Float32[np.ndarray, "h w"] | None
    caption: str = ""


@dataclass(frozen=True)
class FilmStrip:
    """Some pictures of one episode."""

    title: str
    images: tuple[UInt8[np.ndarray, "h w 3"], ...]
    captions: tuple[str, ...]
    """One an image, such as `4.0 s, 310 mm`."""


@dataclass(frozen=True)
class ScopePath:
    """Where one driver's tip went."""

    driver: str
    points: Float[np.ndarray, "n 3"]
    """Positions [m], patient frame, one a control step."""


@dataclass(frozen=True)
class ReportData:
    """What a report shows; what is empty is left out."""

    title: str
    summary: str
    """One or two sentences under the title: what this run is, and what it is not."""
    config: Mapping[str, Any]
    """What was run: command, options, versions, commit (see `scenarios.runs.run_config`)."""
    figures: Sequence[Figure] = ()
    headline: Sequence[str] = ()
    """Names of the figures shown large at the top."""
    task: TaskReport | None = None
    """How episodes and frames of the task are shown; needed where there are any."""
    samples: Sequence[SamplePicture] = ()
    training: Sequence[Mapping[str, Any]] = ()
    """Records of the training's log, numbers by name; nested ones become `loss.depth`."""
    curve_groups: Mapping[str, Sequence[str]] | None = None
    """Names of the log's numbers by panel; None takes loss and validation."""
    curve_x: str = "epoch"
    episodes: Sequence[EpisodeSummary] = ()
    films: Sequence[FilmStrip] = ()
    patient: Patient | None = None
    """The patient that the paths were driven in."""
    paths: Sequence[ScopePath] = ()


def write_report(path: Path, data: ReportData) -> None:
    """Write the page, whole or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    with atomic_file(path) as stream:
        stream.write(report_html(data).encode())


def report_html(data: ReportData) -> str:
    """Lay the page out."""
    sections = [
        _headline(data),
        drivers_table(data.episodes, data.figures, data.task),
        failures_table(data.episodes, data.task),
        *sweep_sections(data.figures, data.task),
        safety_section(data.figures),
        _frames(data),
        _films(data),
        _map(data),
        _training(data),
        _figures(data),
        _config(data),
    ]
    return page(data.title, data.summary, [one for one in sections if one])


def _headline(data: ReportData) -> str:
    named = [one for name in data.headline for one in data.figures if one.name == name and "=" not in one.subset]
    cards = [card(_value(one), _label(one), _interval_line(one)) for one in named]
    return f'<div class="cards">{"".join(cards)}</div>' if cards else ""


def _frames(data: ReportData) -> str:
    if not data.samples or data.task is None:
        return ""
    far = data.task.far
    rows = []
    for sample in data.samples:
        images = [
            picture(image_bytes(sample.rgb, "jpg"), "image", "jpeg"),
            picture(image_bytes(class_overlay(sample.rgb, sample.truth_classes), "jpg"), "true classes", "jpeg"),
        ]
        if sample.predicted_classes is not None:
            overlay = class_overlay(sample.rgb, sample.predicted_classes)
            images.append(picture(image_bytes(overlay, "jpg"), "predicted classes", "jpeg"))
        true_depth = depth_colours(sample.truth_depth, far=far)
        images.append(picture(image_bytes(true_depth, "jpg"), "true depth", "jpeg"))
        if sample.predicted_depth is not None:
            predicted = depth_colours(sample.predicted_depth, far=far)
            images.append(picture(image_bytes(predicted, "jpg"), "predicted depth", "jpeg"))
        caption = f"<figcaption>{text(sample.caption)}</figcaption>" if sample.caption else ""
        rows.append(f'<figure class="sample"><div class="row">{"".join(images)}</div>{caption}</figure>')
    legend = " &ensp; ".join(
        f"{swatch('rgb({}, {}, {})'.format(*colour))}{name}"
        for colour, name in zip(CLASS_COLOURS[1:], data.task.legend, strict=False)
    )
    legend = f'<p class="legend">{legend} &ensp; depth: bright is near, dark is {1000 * far:.0f} mm or more</p>'
    return section(
        "Frames, truth and predictions", legend + "".join(rows), "Frames of patients the network has not seen."
    )


def _films(data: ReportData) -> str:
    strips = []
    for film in data.films:
        images = [
            picture(image_bytes(image, "jpg"), caption, "jpeg", lazy=True)
            for image, caption in zip(film.images, film.captions, strict=True)
        ]
        strips.append(f'<h3>{text(film.title)}</h3><div class="film" tabindex="0">{"".join(images)}</div>')
    return section("Film strip", "".join(strips), "From left to right in time.") if strips else ""


def _map(data: ReportData) -> str:
    if data.patient is None:
        return ""
    image = path_map(data.patient, [(one.driver, one.points) for one in data.paths])
    note = "" if data.task is None else data.task.map_note.format(patient=data.patient.name)
    return section("Map", scroller(picture(image, "", "png")), note)


def _training(data: ReportData) -> str:
    records = [flatten(record) for record in data.training]
    groups = data.curve_groups or _default_groups(records)
    image = curves(records, groups, data.curve_x) if records else None
    return section("Learning curves", scroller(picture(image, "", "png"))) if image else ""


def _figures(data: ReportData) -> str:
    if not data.figures:
        return ""
    rows = [
        [text(one.name), text(one.subset), *formatted(one), text(one.unit), str(one.n), text(one.how)]
        for one in data.figures
    ]
    columns = ("figure", "subset", "value", "95 % interval", "unit", "n", "how")
    return section(
        "All figures", details(f"{len(rows)} figures", scroller(table(columns, rows))), "Also in report.json."
    )


def _config(data: ReportData) -> str:
    rows = [[text(name), text(_plain(value))] for name, value in flatten(data.config).items()]
    return section("What was run", scroller(table(("setting", "value"), rows, wide=True)))


def flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested mappings into one, with names such as `loss.depth`."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _default_groups(records: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    names = list(dict.fromkeys(name for record in records for name in record))
    return {
        "training loss": [name for name in names if name.startswith("loss")],
        "validation, higher is better": [name for name in names if name.split(".")[-2:-1] == ["dice"]],
        "validation, lower is better": [name for name in names if "abs_rel" in name],
    }


def _value(figure: Figure) -> str:
    if math.isnan(figure.value):
        return "none"
    if figure.unit == "1" and 0 <= figure.value <= 1:
        return f"{figure.value:.0%}" if figure.name.endswith(("success", "found")) else f"{figure.value:.3f}"
    return f"{figure.value:.3g} {figure.unit}" if figure.unit != "1" else f"{figure.value:.3g}"


def _label(figure: Figure) -> str:
    return figure.name.replace(".", " ").replace("_", " ")


def _interval_line(figure: Figure) -> str:
    interval = formatted(figure)[1]
    return f"{f'{interval}, ' if interval else ''}n = {figure.n}, {figure.subset}"


def _plain(value: Any) -> str:
    return (
        ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else "not given" if value is None else str(value)
    )
