import time
from pathlib import Path

import pytest

from assets.errors import InputError
from assets.sources import ANATOMIES
from scenarios.bench.dataset import bench_dataset
from scenarios.bench.generation import bench_generation
from scenarios.bench.recording_memory import bench_recording_memory
from scenarios.bench.run import BenchOptions
from scenarios.bench.stopwatch import stopwatch
from scenarios.bench.synthesis import bench_synthesis, measure
from scenarios.bench.train import bench_train


def test_the_stopwatch_measures_what_a_call_takes() -> None:
    calls = []

    def nap() -> None:
        calls.append(1)
        time.sleep(0.01)

    timing = stopwatch(nap, seconds=0.05, warm_up=2, least=4)
    assert timing.n == len(calls) - 2
    assert timing.n >= 4
    assert 0.01 <= timing.low <= timing.median <= timing.high


def test_the_data_set_s_speeds_are_figures() -> None:
    figures = {(one.name, one.subset): one for one in bench_dataset(seconds=0.01)}
    assert figures["dataset.encode_ms", "512 x 512 px"].value > figures["dataset.encode_ms", "128 x 128 px"].value > 0
    assert figures["dataset.read_fps", "128 x 128 px"].n >= 3


def test_the_whole_way_to_a_shard_is_measured_beside_the_renderer_alone(tube_folder: Path) -> None:
    figures = {one.name: one for one in bench_generation([str(tube_folder)], size=32, frames=3)}
    assert 0 < figures["dataset.record_fps"].value < figures["dataset.render_fps"].value
    for way in ("generate", "record"):
        share = figures[f"dataset.{way}_fps"].value / figures["dataset.render_fps"].value
        assert figures[f"dataset.{way}_vs_render"].value == pytest.approx(share)
        assert 0 < figures[f"dataset.{way}_vs_render_cpu"].value < 1.5
    assert figures["dataset.frame_kb"].value > 1
    assert figures["dataset.record_fps"].n == 9


def test_the_memory_of_a_worker_is_a_slope_with_an_interval(tube_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = iter(range(0, 10_000, 300))
    monkeypatch.setattr("scenarios.bench.recording_memory.resident_bytes", lambda: next(memory))
    slope, total = bench_recording_memory(str(tube_folder), shards=3, frames=2)
    assert slope.value == pytest.approx(150.0)  # 300 B a shard of 2 frames
    assert slope.n == 6
    assert total.value == pytest.approx(15.0)


def test_the_speeds_of_the_training_are_figures() -> None:
    figures = {(one.name, one.subset): one for one in bench_train(seconds=0.01, threads=1, device="cpu", size="linear")}
    for name in ("train.loader_fps", "train.step_fps", "train.fps", "model.look_ms"):
        assert figures[name, "linear, 128 x 128 px"].value > 0
    assert (
        figures["train.loader_fps", "linear, 128 x 128 px"].value
        > figures["train.loader_fps", "linear, 256 x 256 px"].value
    )
    assert figures["model.size_mb", "linear, 256 x 256 px"].value < 0.1


def test_senseless_options_are_refused() -> None:
    with pytest.raises(InputError, match="found 0"):
        BenchOptions("dataset", seconds=0.0)


def test_a_synthetic_patient_is_timed_by_its_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def make(seed: int) -> None:
        made.append(seed)
        time.sleep(0.05)  # takes no processor time
        end = time.process_time() + 0.02 * (1 + seed % 10)
        while time.process_time() < end:
            pass

    monkeypatch.setitem(ANATOMIES, "colon", make)
    times = measure("colon", 0, 3)
    assert made[1:] == [0, 1, 2]
    for seed, one in enumerate(times):
        assert 0.02 * (1 + seed) <= one < 0.02 * (1 + seed) + 0.03


def test_each_anatomy_s_time_is_a_figure() -> None:
    median, most = bench_synthesis(3, counts={"bronchi": 1})
    assert (median.name, most.name) == ("anatomy.bronchi.synth.s", "anatomy.bronchi.synth_max.s")
    assert median.subset == "synth:bronchi:3-3"
    assert 0.05 < median.value == most.value
