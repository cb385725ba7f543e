"""The soft tissue's benchmark measures what it names, and its reference elements are right."""

import numpy as np
import pytest

from scenarios.bench.linear_fem import quadratic_displacement, static_displacement
from scenarios.bench.soft import (
    FRAME,
    bullet_frames,
    cut_times,
    error_against_linear_elements,
    pressed_frames,
    rendered_frames,
    sphere_centre,
)
from sim.soft.tet_mesh import tet_mesh
from sim.soft.tet_shapes import box

SIZE = (0.16, 0.10, 0.10)


@pytest.fixture(scope="module")
def coarse():
    from scenarios.bench.soft import _TISSUE

    return tet_mesh(*box(SIZE, (4, 3, 3)), _TISSUE)


def test_both_are_pressed_by_the_same_sphere(coarse):
    assert min(pressed_frames(coarse, 3)) > 0
    assert min(bullet_frames(coarse, 3)) > 0
    depths = [SIZE[1] + 0.02 - sphere_centre(frame)[1] for frame in (0, 5, 10, 20)]
    np.testing.assert_allclose(depths, [0, 0.005, 0.010, 0.010])
    assert pytest.approx(1 / 60) == FRAME


def test_cuts_are_timed(coarse):
    whole, pattern = cut_times(coarse)
    assert 0 < pattern < whole < 10


def test_pictures_of_the_frames_are_timed_too(coarse):
    times = rendered_frames(coarse, 3)
    assert len(times) == 3
    assert min(times) > 1e-4


def test_the_error_after_settling_is_small(coarse):
    assert error_against_linear_elements(coarse) < 2e-2


@pytest.mark.parametrize("volumetric", ["element", "nodal", "quadratic"])
def test_reference_elements_pass_the_patch_test(volumetric):
    nodes, tets = box((0.03, 0.01, 0.01), (3, 2, 2))
    young, poisson, pull = 5000.0, 0.45, 1e-3
    lame = (young / 2 / (1 + poisson), young * poisson / (1 + poisson) / (1 - 2 * poisson))
    held = nodes < 1e-12  # three planes to slide in
    mesh = tet_mesh(nodes, tets, "liver")
    end = nodes[:, 0] > 0.03 - 1e-9
    triangles = mesh.surface[end[mesh.surface].all(axis=1)]
    force = np.tile([pull / len(triangles), 0.0, 0.0], (len(triangles), 1))
    if volumetric == "quadratic":
        found = quadratic_displacement(nodes, tets, lame, held, (triangles, force))
    else:
        load = np.zeros_like(nodes)
        for corner in range(3):
            np.add.at(load, triangles[:, corner], force / 3)
        found = static_displacement(nodes, tets, lame, held, load, volumetric=volumetric)
    strain = pull / 1e-4 / young
    np.testing.assert_allclose(found, nodes * strain * [1, -poisson, -poisson], atol=1e-12)
