import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from assets.errors import InputError
from scenarios.episode import EpisodeSummary
from scenarios.runs import commit, json_value, read_json, source_seed, start_run, write_json

SUMMARY = EpisodeSummary(
    scenario="colonoscopy",
    driver="oracle",
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
    measures={"path_length": 2.1, "polyps_found": 3.0},
)


@dataclass(frozen=True)
class Options:
    out: Path
    seed: int = 0
    size: tuple[int, int] = (64, 64)
    workers: int = 1


def test_the_config_says_what_was_run(tmp_path: Path) -> None:
    options = Options(tmp_path / "run", seed=5)
    assert start_run(options.out, "trocar train", options) is False
    config = json.loads((options.out / "config.json").read_text())
    assert config["command"] == "trocar train"
    assert config["options"] == {"out": str(options.out), "seed": 5, "size": [64, 64], "workers": 1}
    assert config["versions"]["numpy"] == np.__version__
    assert config["commit"] == commit()


def test_a_run_resumes_with_the_same_options_only(tmp_path: Path) -> None:
    options = Options(tmp_path / "run")
    start_run(options.out, "trocar train", options)
    before = (options.out / "config.json").read_bytes()
    (options.out / "half.bin").write_bytes(b"x")
    assert start_run(options.out, "trocar train", replace(options, workers=8)) is True
    with pytest.raises(InputError, match="found seed 0 there and 1 here"):
        start_run(options.out, "trocar train", replace(options, seed=1))
    with pytest.raises(InputError, match="trocar train there and trocar demo here"):
        start_run(options.out, "trocar demo", options)
    assert (options.out / "config.json").read_bytes() == before


def test_a_run_of_other_versions_does_not_resume(tmp_path: Path) -> None:
    options = Options(tmp_path / "run")
    start_run(options.out, "trocar train", options)
    config = read_json(options.out / "config.json")
    config["versions"]["numpy"] = "1.0"
    write_json(options.out / "config.json", config)
    with pytest.raises(InputError, match=rf"found numpy 1\.0 there and {np.__version__} here"):
        start_run(options.out, "trocar train", options)


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="expected an empty folder"):
        start_run(tmp_path, "trocar train", {})
    with pytest.raises(InputError, match="found a file"):
        start_run(tmp_path / "thesis.txt", "trocar train", {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": np.float32(0.5), "a": (np.arange(2), Path("x"))})
    assert json.loads(path.read_text()) == {"a": [[0, 1], "x"], "b": 0.5}
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(TypeError, match="found object"):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text())["b"] == 0.5
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_reading_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(InputError, match="found list"):
        read_json(tmp_path / "a.json")


def test_an_episode_survives_json() -> None:
    stored = json.loads(json.dumps(json_value(SUMMARY.to_json())))
    assert EpisodeSummary.from_json(stored) == SUMMARY
    endless = replace(SUMMARY, measures={"minimum_distance_to_caecum": float("inf")})
    assert endless.to_json()["measures"]["minimum_distance_to_caecum"] is None
    assert np.isnan(EpisodeSummary.from_json(endless.to_json()).measures["minimum_distance_to_caecum"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": "many"}, "a: steps: expected int, found 'many'"),
        ({"success": 1}, "success: expected bool"),
        ({"colour": 1}, "unknown: colour"),
        ({"measures": [1]}, "a: measures: expected numbers by name"),
        ({"measures": {"path_length": "long"}}, "a: path_length: expected float"),
    ],
)
def test_a_damaged_episode_is_named(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        EpisodeSummary.from_json({**SUMMARY.to_json(), **change}, "a")


def test_a_patient_s_seed_hangs_on_its_name_alone(tmp_path):
    assert source_seed(0, str(tmp_path / "ct"), 1) == source_seed(0, "ct/", 1) == source_seed(0, "elsewhere/ct", 1)
    others = [(1, "ct", 1), (0, "ct", 2), (0, "mr", 1), (0, "synth:colon:7"), (0, "synth:colon:8")]
    assert len({source_seed(*one) for one in ((0, "ct", 1), *others)}) == 6
