import json
import math
from pathlib import Path

import pytest

from assets.errors import InputError
from scenarios.figures import Figure, FigureOptions, failed_gates, read_figures, write_figures

FIGURES = [
    Figure("model.success", "colonoscopy/synthetic", 0.95, "1", 0.9, 1.0, 40, "share of episodes"),
    Figure("model.success", "colonoscopy/real", 0.5, "1", n=2),
    Figure("model.latency_p99_ms", "colonoscopy/synthetic", 31.0, "ms"),
    Figure("model.dice.polyp", "colonoscopy/synthetic", math.nan, "1", n=0),
]


def test_the_file_has_the_contract_s_shape(tmp_path: Path) -> None:
    write_figures(tmp_path / "a.json", FIGURES)
    stored = json.loads((tmp_path / "a.json").read_text())
    assert list(stored) == ["figures"]
    assert {tuple(sorted(one)) for one in stored["figures"]} == {
        ("high", "how", "low", "n", "name", "subset", "unit", "value")
    }
    assert stored["figures"][3]["value"] is None
    back = read_figures(tmp_path / "a.json")
    assert back[:3] == FIGURES[:3]
    assert math.isnan(back[3].value)


def test_gates_that_hold_say_nothing() -> None:
    gates = FigureOptions(
        at_least=(("model.success", 0.5), ("model.success@colonoscopy/synthetic", 0.95)),
        at_most=(("model.latency_p99_ms", 31.0),),
    )
    assert failed_gates(FIGURES, gates) == []


def test_gates_that_fail_say_what_was_found() -> None:
    gates = FigureOptions(
        at_least=(("model.success", 0.9), ("model.dice.polyp", 0.6), ("oracle.success", 0.9)),
        at_most=(("model.latency_p99_ms", 30.0),),
    )
    assert failed_gates(FIGURES, gates) == [
        "model.success (colonoscopy/real): expected at least 0.9, found 0.5",
        "model.dice.polyp (colonoscopy/synthetic): expected at least 0.6, found nan",
        "oracle.success: expected at least 0.9, found no such figure; there are: "
        "model.dice.polyp, model.latency_p99_ms, model.success",
        "model.latency_p99_ms (colonoscopy/synthetic): expected at most 30, found 31",
    ]


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none"):
        read_figures(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"figures": [{"value": 1}]}')
    with pytest.raises(InputError, match="expected figures"):
        read_figures(tmp_path / "a.json")
