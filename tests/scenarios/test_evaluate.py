import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from assets.errors import InputError
from scenarios.cli import main
from scenarios.colonoscopy import TASK
from scenarios.episode_figures import episode_figures
from scenarios.evaluate import EvaluateOptions, evaluate, run_evaluation
from scenarios.observer import EpisodeRecord

SCENARIO = """
from dataclasses import replace
from scenarios.colonoscopy import COLONOSCOPY

Brief = replace(COLONOSCOPY, name="brief", max_steps=45)
"""


@pytest.fixture(scope="module")
def options(tube_folder, tmp_path_factory) -> EvaluateOptions:
    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "brief.py").write_text(SCENARIO)
    return EvaluateOptions(
        patients=(str(tube_folder),),
        out=folder / "run",
        scenario=f"{folder}/brief.py:Brief",
        drivers=("oracle", "classical"),
        episodes=2,
        size=(48, 48),
        workers=1,
    )


@pytest.fixture(scope="module")
def figures(options):
    return evaluate(options)


def test_figures_and_report_are_written(options, figures):
    by_name = {figure.name: figure for figure in figures}
    assert by_name["oracle.success"].value == 1
    assert by_name["oracle.success"].n == 2
    assert by_name["oracle.dice.wall"].value == 1
    assert 0 < by_name["classical.dice.lumen"].value < 1
    assert by_name["oracle.success"].low is None  # one patient tells nothing of how patients differ
    assert len(json.loads((options.out / "report.json").read_text())["figures"]) == len(figures)
    page = (options.out / "report.html").read_text()
    assert "not a medical device" in page
    assert "<img" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_finished_episodes_are_kept_and_the_others_run_again(options, figures):
    episodes = sorted((options.out / "episodes").iterdir())
    assert len(episodes) == 4
    before = {path.name: path.stat().st_mtime_ns for path in episodes}
    episodes[0].unlink()
    again = run_evaluation(options)
    after = {path.name: path.stat().st_mtime_ns for path in (options.out / "episodes").iterdir()}
    assert {name for name in before if after[name] == before[name]} == set(before) - {episodes[0].name}
    success = [figure for figure in again.figures if figure.name == "oracle.success"]
    assert success == [figure for figure in figures if figure.name == "oracle.success"]


def test_drivers_get_the_same_seeds(options, figures):
    records = run_evaluation(options).episodes
    seeds = {
        driver: [one.summary.seed for one in records if one.summary.driver == driver] for driver in options.drivers
    }
    assert seeds["oracle"] == seeds["classical"]
    assert len(set(seeds["oracle"])) == 2


def test_intervals_are_by_patient_and_the_model_is_compared_with_the_oracle(options, figures):
    records = run_evaluation(options).episodes
    oracle = [one for one in records if one.summary.driver == "oracle"]
    made = []
    for patient, won in (("synth:colon:1", True), ("synth:colon:2", False)):
        for one in oracle:
            made.append(replace(one, patient=patient))
            lost = replace(one.summary, driver="model", success=won)
            made.append(replace(one, patient=patient, summary=lost))
    found = {figure.name: figure for figure in episode_figures(made, "brief", TASK)}
    assert found["model.success"].value == 0.5
    assert (found["model.success"].low, found["model.success"].high) == (0, 1)
    assert found["model.success_of_oracle"].value == 0.5
    assert found["oracle.success"].subset == "brief/synthetic"


def test_a_damaged_episode_is_named(options, figures):
    path = next(iter(sorted((options.out / "episodes").iterdir())))
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    try:
        with pytest.raises(InputError, match=path.name):
            run_evaluation(options)
    finally:
        path.write_bytes(whole)


def test_a_bad_patient_is_left_out_and_the_others_go_on(options, figures, tmp_path, capsys):
    bad, lacking = tmp_path / "bad", tmp_path / "lacking"
    shutil.copytree(options.patients[0], bad)
    next((bad / "meshes").iterdir()).write_bytes(b"ply\n")
    shutil.copytree(options.patients[0], lacking)
    described = json.loads((lacking / "patient.json").read_text())
    (lacking / "patient.json").write_text(json.dumps(described | {"orifices": []}))
    arguments = ["evaluate", "--scenario", options.scenario, "--drivers", "oracle", "--episodes", "1"]
    arguments += ["--size", "48", "48", "--workers", "1", "--out", str(tmp_path / "run")]
    arguments += ["--json", str(tmp_path / "figures.json"), "--patients"]
    assert main([*arguments, str(bad), options.patients[0], str(lacking)]) == 2
    said = capsys.readouterr().err.splitlines()
    of = [next(line for line in said if f"left out: {folder}: " in line) for folder in (bad, lacking)]
    assert "SHA-256" in of[0]
    assert "orifice" in of[1]
    told = json.loads((tmp_path / "figures.json").read_text())["figures"]
    success = next(one for one in told if one["name"] == "oracle.success")
    assert (success["value"], success["n"]) == (1, 1)
    assert str(lacking) in (tmp_path / "run" / "report.html").read_text()
    assert len(list((tmp_path / "run" / "episodes").glob("*.json"))) == 1


def test_no_usable_patient_at_all_is_refused(options, tmp_path):
    bad = tmp_path / "bad"
    shutil.copytree(options.patients[0], bad)
    next((bad / "meshes").iterdir()).write_bytes(b"ply\n")
    alone = replace(options, patients=(str(bad),), out=tmp_path / "one")
    with pytest.raises(InputError, match=f"^{bad}: "):
        evaluate(alone)


def test_the_driver_model_needs_a_model_where_none_comes_with_trocar(options, tmp_path):
    with pytest.raises(InputError, match="--model FILE for bronchoscopy"):
        run_evaluation(replace(options, drivers=("model",), scenario="bronchoscopy", out=tmp_path / "none"))


def test_a_users_network_drives(options, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\n"
        "from scenarios.truth import nothing_seen\n"
        "def straight(rgb, exposure):\n"
        "    return nothing_seen(rgb.shape[:2], np.array([0.0, 0.0, 1.0]))\n"
    )
    own = replace(options, out=tmp_path / "run", drivers=("model",), model=f"{file}:straight", episodes=1)
    record = run_evaluation(own).episodes[0]
    assert record.summary.driver == "model"
    assert np.trace(np.array(record.counts)) < np.sum(record.counts)


def test_conditions_drive_again_and_have_subsets_of_their_own(options, tmp_path):
    wrong = replace(
        options, out=tmp_path / "run", errors=("latency_ms=300",), degradations=("fog=1", "smoke=0.5"), episodes=1
    )
    figures = evaluate(wrong)
    found = {(one.name, one.subset) for one in figures}
    for name, subset in (
        ("oracle.success", "brief/imported"),
        ("oracle.success", "brief/imported/latency_ms=300"),
        ("classical.success", "brief/imported/fog=1"),
        ("classical.success", "brief/imported/smoke=0.5"),
    ):
        assert any(one == name and place.endswith(subset.split("/", 1)[1]) for one, place in found), (name, subset)
    assert not any(one == "oracle.success" and "fog" in place for one, place in found)  # it does not look
    episodes = sorted(path.name for path in (wrong.out / "episodes").iterdir())
    assert len(episodes) == 5
    assert sum("fog-1" in name for name in episodes) == 1
    page = (wrong.out / "report.html").read_text()
    assert "How good is good enough" in page
    assert "Robustness of the driver classical" in page
    with pytest.raises(InputError, match="of smoke, blood"):
        replace(options, degradations=("rain",))


def test_planted_failures_and_the_watch_have_figures_of_their_own(options, tmp_path):
    watched = replace(options, out=tmp_path / "run", planted=("black", "frozen"), episodes=1)
    found = {(one.name, one.subset.rpartition("/")[2]): one for one in evaluate(watched)}
    assert found["classical.safety.success_cost", "caution=on"].value == 0
    assert found["classical.safety.false_stops_per_minute", "caution=on"].value == 0
    for failure in ("black", "frozen"):
        # the tube is done before some failures begin; then there is nothing to detect
        detect = found.get(("classical.safety.detect_s", f"planted={failure}"))
        assert detect is None or detect.value <= 0.2
        assert ("classical.safety.success_cost", f"planted={failure}") in found
    page = (watched.out / "report.html").read_text()
    assert "Safety" in page
    assert "planted=frozen" in page
    assert not any(name.startswith("oracle.safety") for name, _ in found)  # it does not look
    assert not any(subset == "imported" and "safety" in name for name, subset in found)


def told(record: EpisodeRecord) -> EpisodeRecord:
    """Leave out what the clock of the machine decides."""
    return replace(record, summary=replace(record.summary, wall_time=0.0, latency_p50_ms=0.0, latency_p99_ms=0.0))


DYING = """
import os, signal
from pathlib import Path
from scenarios.drivers.oracle import Oracle

class Dying(Oracle):
    name = "dying"

    def reset(self, rng):
        # Ends its process as the system does when memory runs out: once, when that begins its second episode.
        begun = Path(__file__).with_name("begun")
        with begun.open("a") as log:
            log.write(f"{os.getpid()}\\n")
        if begun.read_text().split().count(str(os.getpid())) == 2:
            try:
                begun.with_name("died").touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
            except FileExistsError:
                pass
        super().reset(rng)
"""


def test_results_do_not_depend_on_workers_and_a_dead_one_costs_its_episode_alone(options, figures, tmp_path, capfd):
    other = tmp_path / "other"
    shutil.copytree(options.patients[0], other)
    both = replace(options, patients=(*options.patients, str(other)), drivers=("oracle",))
    alone = run_evaluation(replace(both, out=tmp_path / "one", workers=1))
    together = run_evaluation(replace(both, out=tmp_path / "two", workers=2))
    assert [told(one) for one in alone.episodes] == [told(one) for one in together.episodes]
    assert len(alone.episodes) == 4

    (tmp_path / "dying.py").write_text(DYING)
    dying = replace(both, drivers=(f"{tmp_path}/dying.py:Dying",), out=tmp_path / "three", workers=2)
    survived = run_evaluation(dying)
    assert "a worker died" in capfd.readouterr().err
    named = [replace(one, summary=replace(one.summary, driver="oracle")) for one in survived.episodes]
    assert [told(one) for one in named] == [told(one) for one in alone.episodes]
    begun = len((tmp_path / "begun").read_text().split())
    assert 5 <= begun <= 6  # four episodes, the one that was lost, and the other worker's that the pool took with it
