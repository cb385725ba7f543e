"""The physics benchmark measures what it names."""

import pytest

from scenarios.bench.physics import bench_physics


@pytest.fixture(scope="module")
def figures():
    return {figure.name: figure for figure in bench_physics(seconds=0.1, threads=1)}


def test_every_part_is_measured(figures):
    assert set(figures) == {
        "physics.wall.build.s",
        "physics.scope.step.ms",
        "physics.scope.vs_real_time",
        "physics.guide.direction.ms",
        "physics.wall.query60.ms",
        "physics.wall.pybullet60.ms",
        "physics.wall.query60.vs_pybullet",
    }
    assert all(figure.value > 0 for figure in figures.values())


def test_ratios_are_of_one_run(figures):
    ratio = figures["physics.wall.pybullet60.ms"].value / figures["physics.wall.query60.ms"].value
    assert figures["physics.wall.query60.vs_pybullet"].value == pytest.approx(ratio)
    assert ratio > 20
    step = figures["physics.scope.step.ms"].value
    assert figures["physics.scope.vs_real_time"].value == pytest.approx(100 / step)
