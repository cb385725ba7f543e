"""The wall as a shell on a foundation against closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.special import k0

from assets.errors import InputError
from assets.mesh import Mesh
from sim.soft_wall.shell import Shell, ShellMechanics

SOFT = ShellMechanics(
    modulus=5e5, poisson_ratio=0.3, thickness=2.5e-3, foundation=4e5, tension=0.0, viscosity=2e6, across=4e7
)


def open_cylinder(radius: float, length: float, around: int, along: int) -> Mesh:
    angle = 2 * np.pi * np.arange(around) / around
    z = np.linspace(0, length, along + 1)
    points = np.stack(
        [np.tile(radius * np.cos(angle), along + 1), np.tile(radius * np.sin(angle), along + 1), np.repeat(z, around)],
        1,
    )
    i, j = np.meshgrid(np.arange(around), np.arange(along))
    a, b = (i + around * j).ravel(), ((i + 1) % around + around * j).ravel()
    triangles = np.concatenate([np.stack([a, b, b + around], 1), np.stack([a, b + around, a + around], 1)])
    return Mesh(points.astype(np.float32), triangles.astype(np.int32))


def flat(half: float, spacing: float) -> Mesh:
    """A square sheet of two kinds of triangles, its middle a vertex, seen from +z."""
    n = round(half / spacing)
    x, y = np.meshgrid(np.arange(-n, n + 1) * spacing, np.arange(-n, n + 1) * spacing)
    side = 2 * n + 1
    a = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    triangles = np.concatenate([np.stack([a, a + 1, a + side + 1], 1), np.stack([a, a + side + 1, a + side], 1)])
    points = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1)
    return Mesh(points.astype(np.float32), triangles.astype(np.int32))


def test_a_pressurised_cylinder_grows_as_its_hoop_and_its_foundation_let_it():
    radius, pressure = 0.025, 1000.0
    shell = Shell(open_cylinder(radius, 0.1, 64, 40), SOFT, dt=0.1)
    u = shell.settle(pressure * shell.areas)[10 * 64 : -10 * 64]  # at its ends the facets' normals lean
    hoop = SOFT.modulus * SOFT.thickness / (1 - SOFT.poisson_ratio**2) / radius**2  # its length is held
    assert u == pytest.approx(np.full(len(u), pressure / (SOFT.foundation + hoop)), rel=1e-3)


def test_a_pressurised_sphere_grows_as_a_thin_shell():
    radius, pressure = 0.03, 800.0
    ball = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    mesh = Mesh(ball.vertices.astype(np.float32), ball.faces.astype(np.int32))
    shell = Shell(mesh, replace(SOFT, foundation=1.0), dt=0.1)
    u = shell.settle(pressure * shell.areas)
    expected = pressure * radius**2 * (1 - SOFT.poisson_ratio) / (2 * SOFT.modulus * SOFT.thickness)
    assert u.mean() == pytest.approx(expected, rel=5e-3)


def test_a_point_load_on_a_stretched_membrane_falls_off_as_the_bessel_function():
    tension, force = 40.0, 0.5
    mesh = flat(0.05, 0.001)
    mechanics = replace(SOFT, tension=tension, modulus=1e-3)  # no bending; flat, the membrane has no part in it
    shell = Shell(mesh, mechanics, dt=0.1)
    load = np.zeros(len(mesh.vertices))
    load[len(load) // 2] = force
    u = shell.settle(load)
    distance = np.linalg.norm(mesh.vertices, axis=1)
    ring = (distance > 0.004) & (distance < 0.02)
    green = force / (2 * np.pi * tension) * k0(distance[ring] * np.sqrt(SOFT.foundation / tension))
    np.testing.assert_allclose(u[ring], green, rtol=0.02)


def test_a_point_load_on_a_plate_on_a_foundation_sinks_as_hertz_found():
    # H. Hertz, Annalen der Physik 258, 1884, doi:10.1002/andp.18842580711: w = F / (8 sqrt(k D)).
    force = 0.5
    rigidity = SOFT.modulus * SOFT.thickness**3 / (12 * (1 - SOFT.poisson_ratio**2))
    expected = force / (8 * np.sqrt(SOFT.foundation * rigidity))
    errors = []
    for spacing in (0.002, 0.001):
        mesh = flat(0.04, spacing)
        shell = Shell(mesh, SOFT, dt=0.1)
        load = np.zeros(len(mesh.vertices))
        load[len(load) // 2] = force
        u = shell.settle(load)
        errors.append(abs(u.max() / expected - 1))
        # In balance: the foundation carries the load.
        assert SOFT.foundation * shell.areas @ u == pytest.approx(force, rel=1e-6)
    assert errors[1] < 0.015
    assert errors[1] < errors[0] / 3  # of second order


def test_it_creeps_as_kelvin_and_voigt_say_and_comes_to_rest_where_it_settles():
    mesh = flat(0.01, 0.002)
    shell = Shell(mesh, SOFT, dt=0.1)
    load = 500.0 * shell.areas
    u = np.zeros(len(load))
    rate = SOFT.foundation * 0.1 / SOFT.viscosity
    for step in range(1, 400):
        u = shell.creep(u, load)
        if step in (1, 10, 50):  # implicit Euler, exactly
            assert u == pytest.approx(np.full(len(u), 500.0 / SOFT.foundation * (1 - (1 + rate) ** -step)), rel=1e-8)
    assert u == pytest.approx(shell.settle(load), rel=1e-3)


def test_held_vertices_stay_and_the_faces_of_a_fold_move_together():
    mesh = flat(0.02, 0.002)
    under = Mesh(mesh.vertices - np.float32([0, 0, 0.003]), mesh.triangles[:, ::-1])
    count = len(mesh.vertices)
    both = Mesh(
        np.concatenate([mesh.vertices, under.vertices]),
        np.concatenate([mesh.triangles, under.triangles + count]).astype(np.int32),
    )
    rim = np.abs(both.vertices[:, :2]).max(1) > 0.019
    partner = np.concatenate([np.arange(count) + count, np.arange(count)])
    shell = Shell(both, SOFT, dt=0.1, held=rim, partner=partner)
    # Air presses on both faces alike: the fold does not grow thinner by more than its tissue is squeezed.
    u = shell.settle(1000.0 * shell.areas)
    assert np.abs(u).max() < 1.1 * 1000.0 / (2 * 2 * SOFT.across) + 1e-9
    # Pressed from one side, both faces go the same way.
    load = np.zeros(2 * count)
    load[count // 2] = 0.2
    u = shell.settle(load)
    assert u[count // 2] > 5e-4
    assert u[count + count // 2] == pytest.approx(-u[count // 2], rel=0.1)
    assert np.abs(u[rim]).max() < 1e-3 * np.abs(u).max()


def test_it_is_symmetric_and_gives_the_same_bytes_again():
    mesh = open_cylinder(0.02, 0.06, 24, 20)
    one, other = (Shell(mesh, SOFT, dt=0.1) for _ in range(2))
    assert abs(one.stiffness - one.stiffness.T).max() < 1e-9 * abs(one.stiffness).max()
    load = np.random.default_rng(0).normal(size=len(mesh.vertices))
    assert one.stiffness.data.tobytes() == other.stiffness.data.tobytes()
    assert one.settle(load).tobytes() == other.settle(load).tobytes()


def test_nonsense_is_refused():
    with pytest.raises(InputError, match="finite stiffnesses above 0"):
        replace(SOFT, foundation=0.0)
    sliver = Mesh(flat(0.002, 0.002).vertices, np.array([[0, 1, 4], [3, 4, 5]], np.int32))
    with pytest.raises(InputError, match="triangle 1"):
        Shell(sliver, SOFT, dt=0.1)
