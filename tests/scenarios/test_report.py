import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from assets.mesh import Mesh
from assets.patient import Organ, Patient
from scenarios.colonoscopy_report import REPORT
from scenarios.episode import EpisodeSummary
from scenarios.figures import Figure
from scenarios.report import FilmStrip, ReportData, SamplePicture, ScopePath, flatten, report_html, write_report

EPISODE = EpisodeSummary(
    scenario="colonoscopy",
    driver="model",
    patient="synth:colon:1",
    seed=3,
    success=True,
    reason="done",
    steps=300,
    success_steps=200,
    simulated_time=30.0,
    wall_time=4.5,
    latency_p50_ms=3.0,
    latency_p99_ms=5.0,
    measures={
        "path_length": 2.1,
        "centreline_length": 1.4,
        "reached_arc": 1.4,
        "contact_time": 2.0,
        "contact_depth_max": 0.0015,
        "mucosa_seen": 0.8,
        "polyps_present": 4.0,
        "polyps_found": 3.0,
        "false_alarms": 1.0,
        "minimum_distance_to_caecum": 0.02,
    },
)
FAILED = replace(
    EPISODE,
    success=False,
    reason="stuck in insertion at 210 mm",
    measures={
        **EPISODE.measures,
        "reached_arc": 0.21,
        "polyps_found": 0.0,
        "minimum_distance_to_caecum": float("nan"),
    },
)


def a_report() -> ReportData:
    image = np.zeros((8, 8, 3), np.uint8)
    classes, depth = np.ones((8, 8), np.int64), np.full((8, 8), 0.03, np.float32)
    tetrahedron = Mesh(
        np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.1]], np.float32),
        np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32),
    )
    return ReportData(
        title="A <b>small</b> run",
        summary="It shows the way.",
        config={"command": "trocar demo", "options": {"seed": 7, "size": [64, 64], "model": None}},
        figures=[Figure("model.success", "colonoscopy/synthetic", 0.5, "1", 0.25, 0.75, 4, "share of episodes")],
        headline=["model.success", "not.measured"],
        task=REPORT,
        samples=[
            SamplePicture(image, classes, classes, depth, depth, "first"),
            SamplePicture(image, classes, None, depth, None),
        ],
        training=[{"epoch": 1, "loss": {"total": 2.0}}, {"epoch": 2, "loss": {"total": 1.0}}],
        episodes=[
            EPISODE,
            FAILED,
            replace(FAILED, reason="stuck in insertion at 90 mm"),
            replace(EPISODE, driver="oracle"),
        ],
        films=[FilmStrip("model", (image, image), ("0 s", "1 s"))],
        patient=Patient("p", "s", "l", (Organ("colon_lumen", "colon_wall", "lumen", "colon_mucosa", tetrahedron),)),
        paths=[ScopePath("model", np.array([[0, 0, 0], [0.01, 0, 0.05]]))],
    )


class Tags(HTMLParser):
    """Collects images, headings and table cells, and checks that the tags nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.images: list[dict[str, str]] = []
        self.rows: list[list[str]] = []
        self.headings: list[str] = []
        self.outside: list[str] = []
        self.feed(html)
        assert self.stack == []

    def handle_starttag(self, tag, attrs) -> None:
        found = dict(attrs)
        self.outside += [value for key, value in attrs if key in ("src", "href") and not value.startswith("data:")]
        if tag == "img":
            self.images.append(found)
        if tag not in ("img", "meta"):
            self.stack.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")

    def handle_endtag(self, tag) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data) -> None:
        if "td" in self.stack:
            self.rows[-1][-1] += data
        if "h2" in self.stack:
            self.headings.append(data)


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", a_report())
    html = (tmp_path / "report.html").read_text()
    tags = Tags(html)
    assert tags.outside == []
    assert not re.search(r"https?://|<script|@import|url\(", html)
    assert len(tags.images) == 5 + 3 + 2 + 1 + 1
    assert all(image["src"].startswith("data:image/") for image in tags.images)
    assert tags.headings == [
        "Drivers",
        "Reasons for failures",
        "Frames, truth and predictions",
        "Film strip",
        "Map",
        "Learning curves",
        "All figures",
        "What was run",
    ]
    assert "not a medical device" in html
    assert 'name="viewport"' in html


def test_what_users_wrote_is_escaped() -> None:
    html = report_html(a_report())
    assert "A &lt;b&gt;small&lt;/b&gt; run" in html
    assert "<b>small" not in html


def test_drivers_are_compared_on_their_own_episodes() -> None:
    rows = {row[0]: row for row in Tags(report_html(a_report())).rows if row and len(row) == 12}
    assert list(rows) == ["model", "oracle"]
    assert rows["model"][1] == "1 of 3 (0.25 to 0.75)"
    assert rows["oracle"][1] == "1 of 1"
    # steps and path of the one success; way, polyps and the rest of all three
    assert rows["model"][2:6] == ["200", "1.50", "43 %", "2.0 s"]
    assert rows["model"][8] == "3 of 12"
    assert rows["model"][9] == "3"


def test_failures_are_counted_by_kind_and_listed_one_by_one() -> None:
    rows = Tags(report_html(a_report())).rows
    assert ["model", "stuck in insertion", "2"] in rows
    assert ["model", "synth:colon:1", "3", "stuck in insertion at 90 mm", "300", "210 of 1400 mm", "–"] in rows


def test_the_config_and_headline_are_shown() -> None:
    tags = Tags(report_html(a_report()))
    assert ["options.seed", "7"] in tags.rows
    assert ["options.size", "64, 64"] in tags.rows
    assert ["options.model", "not given"] in tags.rows
    assert '<div class="card"><b>50%</b><span>model success</span>' in report_html(a_report())


def test_what_is_empty_is_left_out() -> None:
    tags = Tags(report_html(ReportData("t", "s", {"a": 1})))
    assert tags.headings == ["What was run"]
    assert tags.images == []


def test_same_data_give_the_same_page() -> None:
    assert report_html(a_report()) == report_html(a_report())


@pytest.mark.parametrize(("nested", "flat"), [({"a": {"b": 1, "c": {"d": 2}}}, {"a.b": 1, "a.c.d": 2}), ({}, {})])
def test_nested_records_become_dotted(nested: dict, flat: dict) -> None:
    assert flatten(nested) == flat
