import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from assets.errors import InputError
from scenarios.figures import Figure, FigureOptions, asked_gates, read_figures, write_figures, write_junit

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
    asked = asked_gates(FIGURES, gates)
    assert len(asked) == 4  # the first gate asks about two subsets
    assert not any(one.fault for one in asked)


def test_gates_that_fail_say_what_was_found() -> None:
    gates = FigureOptions(
        at_least=(("model.success", 0.9), ("model.dice.polyp", 0.6), ("oracle.success", 0.9)),
        at_most=(("model.latency_p99_ms", 30.0),),
    )
    assert [one.fault for one in asked_gates(FIGURES, gates) if one.fault] == [
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


def test_gates_go_into_a_junit_file(tmp_path: Path) -> None:
    gates = FigureOptions(at_least=(("model.success", 0.9), ("oracle.<&>", 0.9)))
    write_junit(tmp_path / "gates.xml", asked_gates(FIGURES, gates))
    suite = ElementTree.parse(tmp_path / "gates.xml").getroot()
    assert (suite.tag, suite.get("tests"), suite.get("failures")) == ("testsuite", "3", "2")
    cases = [(case.get("classname"), case.get("name"), case.find("failure")) for case in suite]
    assert [(subset, name, failure is not None) for subset, name, failure in cases] == [
        ("colonoscopy/synthetic", "model.success at least 0.9", False),
        ("colonoscopy/real", "model.success at least 0.9", True),
        ("trocar", "oracle.<&> at least 0.9", True),
    ]
    assert "found 0.5" in suite[1].find("failure").get("message")
