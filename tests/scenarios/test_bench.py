import time

import pytest

from assets.errors import InputError
from scenarios.bench.run import BenchOptions, bench
from scenarios.bench.stopwatch import stopwatch
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
    figures = {(one.name, one.subset): one for one in bench(BenchOptions("dataset", seconds=0.01))}
    assert figures["dataset.encode_ms", "512 x 512 px"].value > figures["dataset.encode_ms", "128 x 128 px"].value > 0
    assert figures["dataset.read_fps", "128 x 128 px"].n >= 3


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
