import math

import pytest

from scenarios import liver_survey
from scenarios.colonoscopy_report import REPORT
from scenarios.figures import Figure
from scenarios.measure import TaskReport
from scenarios.sweeps import correlation_figures, points_of, sweep_sections


def figure(name: str, subset: str, value: float) -> Figure:
    return Figure(name, subset, value, "1", max(0.0, value - 0.1), min(1.0, value + 0.1), 20)


def degraded(driver: str, rows: dict[str, tuple[float, float]]) -> list[Figure]:
    """Mean Dice and success by condition."""
    found = []
    for condition, (dice, success) in rows.items():
        subset = "colonoscopy/synthetic" + (f"/{condition}" if condition else "")
        found += [figure(f"{driver}.dice.mean", subset, dice), figure(f"{driver}.success", subset, success)]
    return found


ROWS = {"": (0.9, 1.0), "smoke=0.5": (0.8, 0.9), "smoke=1": (0.3, 0.2), "fog=0.5": (0.7, 0.8), "fog=1": (0.4, 0.3)}


def test_points_are_picked_by_their_condition():
    figures = [*degraded("model", ROWS), figure("oracle.success", "colonoscopy/synthetic/latency_ms=200", 0.5)]
    points = points_of(figures, ("smoke",))
    assert {(p.driver, p.what, p.name, p.severity) for p in points} == {
        ("model", what, name, severity)
        for what in ("dice.mean", "success")
        for name, severity in (("", 0.0), ("smoke", 0.5), ("smoke", 1.0))
    }


def test_dice_that_predicts_success_has_rank_correlation_1():
    (one,) = correlation_figures(degraded("model", ROWS), "colonoscopy")
    assert one.name == "model.dice_success_correlation"
    assert one.value == pytest.approx(1.0)
    assert one.n == 5
    turned = {key: (dice, 1 - success) for key, (dice, success) in ROWS.items()}
    assert correlation_figures(degraded("model", turned), "colonoscopy")[0].value == pytest.approx(-1.0)


def test_success_that_never_changes_has_no_correlation():
    flat = {key: (dice, 1.0) for key, (dice, _) in ROWS.items()}
    assert math.isnan(correlation_figures(degraded("model", flat), "colonoscopy")[0].value)


def test_few_conditions_and_errors_of_the_oracle_tell_no_correlation():
    assert correlation_figures(degraded("model", {"": (0.9, 1.0), "smoke=1": (0.1, 0.2)}), "colonoscopy") == []
    errors = degraded("oracle", {"": (1.0, 1.0), **{f"depth_bias={k}": (0.9, 0.9) for k in (0.1, 0.2, 0.3, 0.4, 0.5)}})
    assert correlation_figures(errors, "colonoscopy") == []


def test_the_report_shows_what_was_run_and_nothing_else():
    plain = degraded("model", {"": (0.9, 1.0)})
    assert sweep_sections(plain, REPORT) == []
    assert sweep_sections(degraded("model", ROWS), None) == []
    (robustness,) = sweep_sections(degraded("model", ROWS), REPORT)
    assert "Robustness of the driver model" in robustness
    assert "data:image/png" in robustness
    assert "<td>nothing wrong</td><td>0.9</td></tr><tr><td>fog 0.5</td><td>0.7</td>" in robustness
    more = figure("model.depth.abs_rel", "colonoscopy/synthetic/fog=0.5", 0.25)
    (robustness,) = sweep_sections([*degraded("model", ROWS), more], REPORT)
    assert "<th>mean Dice</th><th>depth AbsRel</th>" in robustness
    assert "<td>fog 0.5</td><td>0.7</td><td>0.25</td></tr><tr><td>fog 1</td><td>0.4</td><td>&ndash;</td>" in robustness
    oracle = degraded("oracle", {"": (1.0, 1.0), "latency_ms=200": (1.0, 0.8), "depth_noise=0.5": (1.0, 0.9)})
    (curves,) = sweep_sections(oracle, REPORT)
    assert "How good is good enough" in curves


@pytest.mark.parametrize("task", [REPORT, liver_survey.TASK.report], ids=["colonoscopy", "liver_survey"])
def test_curves_draw_what_the_task_counts_and_the_heat_map_has_its_words(task: TaskReport, monkeypatch):
    canvases = []
    monkeypatch.setattr("scenarios.sweeps.png_of", lambda canvas: canvases.append(canvas) or b"")
    figures = degraded("model", ROWS)
    for condition in ("", "/latency_ms=200", "/direction_error=0.5"):
        figures += [
            figure(f"oracle.{what}", f"any/synthetic{condition}", 0.6) for what in ("success", "dice.mean", *task.drawn)
        ]
    assert len(sweep_sections(figures, task)) == 2
    curves, heat_map = canvases
    assert len(curves.axes) == 2  # latency and direction
    drawn = [line.get_label() for line in curves.axes[0].lines]
    assert drawn == ["success", *(name.rpartition(".")[2].replace("_", " ") for name in task.drawn)]
    assert all(len(line.get_xdata()) == 2 for line in curves.axes[0].lines)
    assert heat_map.axes[0].get_title() == f"closed loop: {task.success_title}"
    names = {measure.name for measure in task.measures}
    assert set(task.drawn) <= names
