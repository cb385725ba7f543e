"""A colonoscopy in and out without a fault, and memory that does not grow; the long one is `trocar bench endurance`."""

import pytest

from scenarios.bench.endurance import bench_endurance


@pytest.fixture(scope="module")
def figures():
    return {figure.name: figure for figure in bench_endurance(steps=620, resets=100)}


def test_the_scope_gets_in_and_out_again_without_a_fault(figures):
    assert figures["physics.endurance.steps"].value == 620
    assert figures["physics.endurance.caecum_reached"].value >= 1
    assert figures["physics.endurance.withdrawn"].value >= 1
    assert figures["physics.endurance.deepest_contact.mm"].value < 1.0


def test_a_hundred_resets_leave_no_memory_behind(figures):
    figure = figures["physics.scope.reset_memory.mb"]
    assert figure.n == 100
    assert figure.value < 1.0
