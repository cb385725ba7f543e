"""The benchmark of many environments, on tiny pictures of a tube."""

import pytest
import warp as wp

from assets.errors import InputError
from assets.patient import Patient
from scenarios.bench import batch
from scenarios.bench.run import BenchOptions, bench
from sim.render.batch import BatchRenderer


def test_the_figures_belong_together(tube_patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "synthetic_colon", lambda seed: tube_patient)
    figures = bench(BenchOptions("batch", environments=3, size=(24, 16), rounds=2))
    found = {one.name: one for one in figures}
    names = ("frames_per_s", "gpixel_per_s", "latency_ms")
    assert list(found) == [f"{kind}.{name}" for kind in ("render.batch", "render.batch.all") for name in names]
    for kind in ("render.batch", "render.batch.all"):
        frames = found[f"{kind}.frames_per_s"].value
        assert found[f"{kind}.gpixel_per_s"].value == pytest.approx(frames * 24 * 16 / 1e9)
        assert found[f"{kind}.latency_ms"].value > 0
    assert ["flow both ways" in one.how for one in figures] == [False] * 3 + [True] * 3
    assert all("24 x 16 px" in one.subset and "cpu" in one.how for one in figures)


def test_the_median_is_of_waited_for_renderings_without_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by 5, 5, then 1, 2 and 9 s in a rendering."""
    now, spent = [0.0], iter([5.0, 5.0, 1.0, 2.0, 9.0])

    class Slow(BatchRenderer):
        def __init__(self) -> None:
            self.count, self.device = 1, "cpu"

        def render(self, T_world_camera, **options):
            now[0] += next(spent)

    monkeypatch.setattr(batch.time, "perf_counter", lambda: now[0])
    assert batch._median(Slow(), batch.np.zeros((2, 4, 4)), 3) == 2.0
    assert next(spent, None) is None


@pytest.mark.skipif(wp.is_cuda_available(), reason="there is a CUDA device")
def test_without_a_cuda_device_the_line_says_so_before_anything_is_made() -> None:
    with pytest.raises(InputError, match="found 'cuda:0'; there is no CUDA device here"):
        bench(BenchOptions("batch", device="cuda:0"))


def test_a_gpu_measures_both_sizes_that_are_aimed_at(tube_patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(batch, "_ON_CPU", batch._ON_GPU)
    monkeypatch.setattr(batch, "_figures", lambda name, *rest: asked.append((name, rest[3], rest[2].width)) or [])
    batch.bench_batch(tube_patient)
    assert asked[::2] == [("render.batch", 256, 256), ("render.batch", 64, 640)]
    assert asked[1::2] == [("render.batch.all", 256, 256), ("render.batch.all", 64, 640)]
    asked.clear()
    batch.bench_batch(tube_patient, environments=3)
    assert asked == [("render.batch", 3, 256), ("render.batch.all", 3, 256)]


@pytest.mark.parametrize("options", [{"environments": 0}, {"rounds": 0}, {"size": (0, 5)}, {"device": "cuda:99"}])
def test_senseless_input_is_refused(tube_patient: Patient, options: dict) -> None:
    with pytest.raises(InputError, match="expected"):
        batch.bench_batch(tube_patient, **options)
