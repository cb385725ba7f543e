"""Equilibria against finite elements in SciPy on the same mesh, and against closed forms."""

import numpy as np
import pytest

from assets.materials import Mechanical
from scenarios.bench.linear_fem import quadratic_displacement, static_displacement
from sim.soft.body import SoftBody
from sim.soft.contact import Capsule
from sim.soft.newton import SoftOptions
from sim.soft.tet_mesh import surface_areas, tet_mesh
from sim.soft.tet_shapes import box, tube

YOUNG = 5000.0


def tissue(poisson):
    return Mechanical(1000.0, YOUNG, poisson, 0.1)


def spread(mesh, nodes, force):
    """A force [N] on the triangles whose corners are all among some nodes: the triangles, their forces, the nodes'."""
    chosen = np.zeros(len(mesh.nodes), bool)
    chosen[nodes] = True
    triangles = mesh.surface[chosen[mesh.surface].all(axis=1)]
    area = np.linalg.norm(surface_areas(mesh.nodes, triangles), axis=1)
    each = np.outer(area / area.sum(), force)
    load = np.zeros_like(mesh.nodes)
    for corner in range(3):
        np.add.at(load, triangles[:, corner], each / 3)
    return triangles, each, load


def settled(mesh, load, *, fixed, options):
    body = SoftBody(mesh, options, gravity=(0, 0, 0))
    body.fix(fixed)
    body.load(np.arange(len(load)), load)
    body.equilibrate()
    return body


@pytest.mark.parametrize("material", ["corotational", "neo_hookean"])
@pytest.mark.parametrize("integration", ["element", "nodal"])
@pytest.mark.parametrize("poisson", [0.3, 0.45])
def test_small_deformations_are_those_of_scipy_on_the_same_mesh(material, integration, poisson):
    mesh = tet_mesh(*box((0.06, 0.02, 0.02), (9, 3, 3)), tissue(poisson))
    left = np.flatnonzero(mesh.nodes[:, 0] < 1e-9)
    load = spread(mesh, np.flatnonzero(mesh.nodes[:, 0] > 0.06 - 1e-9), (1e-6, -1e-6, 0))[2]
    body = settled(
        mesh, load, fixed=left, options=SoftOptions(material=material, integration=integration, tolerance=1e-5)
    )
    held = np.zeros(mesh.nodes.shape, bool)
    held[left] = True
    mu, lam = mesh.lame
    expected = static_displacement(mesh.nodes, mesh.tets, (mu[0], lam[0]), held, load, volumetric=integration)
    assert np.abs(body.positions - mesh.nodes - expected).max() < 4e-4 * np.abs(expected).max()
    np.testing.assert_allclose(body.reactions().sum(axis=0), [-1e-6, 1e-6, 0], atol=1e-9)


@pytest.mark.parametrize("poisson", [0.3, 0.45])
def test_the_default_tolerance_keeps_within_half_a_percent(poisson):
    mesh = tet_mesh(*box((0.06, 0.02, 0.02), (9, 3, 3)), tissue(poisson))
    left = np.flatnonzero(mesh.nodes[:, 0] < 1e-9)
    load = spread(mesh, np.flatnonzero(mesh.nodes[:, 0] > 0.06 - 1e-9), (0, -1e-6, 0))[2]
    body = settled(mesh, load, fixed=left, options=SoftOptions())
    held = np.zeros(mesh.nodes.shape, bool)
    held[left] = True
    mu, lam = mesh.lame
    expected = static_displacement(mesh.nodes, mesh.tets, (mu[0], lam[0]), held, load, volumetric="nodal")
    assert np.abs(body.positions - mesh.nodes - expected).max() < 5e-3 * np.abs(expected).max()


@pytest.mark.parametrize("poisson", [0.3, 0.45])
@pytest.mark.parametrize("material", ["corotational", "neo_hookean"])
def test_uniaxial_stretch_is_exact(material, poisson):
    mesh = tet_mesh(*box((0.04, 0.02, 0.02), (4, 2, 2)), tissue(poisson))
    body = SoftBody(mesh, SoftOptions(material=material, tolerance=1e-8), gravity=(0, 0, 0))
    for axis in range(3):
        body.fix(mesh.nodes[:, axis] < 1e-9, axes=(axis,))
    end = np.flatnonzero(mesh.nodes[:, 0] > 0.04 - 1e-9)
    stress = 1500.0  # per area at rest; 30 % of Young's modulus
    body.load(np.arange(len(mesh.nodes)), spread(mesh, end, (stress * 4e-4, 0, 0))[2])
    body.equilibrate()
    long, wide = body.positions[end, 0].mean() / 0.04, body.positions[:, 1].max() / 0.02
    if material == "corotational":  # Hooke's law in the stretches
        assert long == pytest.approx(1 + stress / YOUNG, rel=1e-6)
        assert wide == pytest.approx(1 - poisson * stress / YOUNG, rel=1e-6)
    else:  # Smith et al. 2018, equation 13, along and across
        mu, lam = mesh.lame
        m, bulk = 4 / 3 * mu[0], lam[0] + 5 / 6 * mu[0]
        square, ratio = long**2 + 2 * wide**2, long * wide**2
        pressure = bulk * (ratio - 1) - 3 / 4 * m
        assert m * (1 - 1 / (square + 1)) * long + pressure * wide**2 == pytest.approx(stress, rel=1e-6)
        assert m * (1 - 1 / (square + 1)) * wide + pressure * long * wide == pytest.approx(0, abs=1e-6 * stress)
    # A uniform strain shows no seams.
    np.testing.assert_allclose(body.positions, mesh.nodes * [long, wide, wide], atol=1e-9)


@pytest.mark.parametrize("poisson", [0.3, 0.45])
def test_a_thick_walled_cylinder_under_pressure_approaches_lame_with_the_square_of_the_cells(poisson):
    inner, outer, pressure = 0.01, 0.02, 10.0
    expected = (
        (1 + poisson)
        / YOUNG
        * pressure
        * inner**2
        / (outer**2 - inner**2)
        * ((1 - 2 * poisson) * inner + outer**2 / inner)
    )
    errors = []
    for cells in (2, 4):
        mesh = tet_mesh(*tube(inner, outer, 0.005, (cells, 12 * cells, 1)), tissue(poisson))
        radius = np.hypot(mesh.nodes[:, 0], mesh.nodes[:, 1])
        body = SoftBody(mesh, SoftOptions(tolerance=1e-5), gravity=(0, 0, 0))
        body.fix(np.arange(len(radius)), axes=(2,))  # plane strain
        for axis in range(2):
            body.fix(np.abs(mesh.nodes[:, axis]) < 1e-9, axes=(axis,))
        bore = radius < inner + 1e-9
        triangles = mesh.surface[bore[mesh.surface].all(axis=1)]
        push = -pressure * surface_areas(mesh.nodes, triangles)
        load = np.zeros_like(mesh.nodes)
        for corner in range(3):
            np.add.at(load, triangles[:, corner], push / 3)
        body.load(np.arange(len(load)), load)
        body.equilibrate()
        moved = np.hypot(*body.positions[bore, :2].T).mean() - inner
        errors.append(abs(moved / expected - 1))
    assert errors[1] < 0.03
    assert errors[1] < errors[0] / 3


@pytest.mark.parametrize("poisson", [0.3, 0.45])
def test_a_cantilever_approaches_the_beam_equation(poisson):
    length, side, force = 0.1, 0.01, 1e-8
    area, inertia = side**2, side**4 / 12
    shear = YOUNG / 2 / (1 + poisson)
    beam = force * length**3 / (3 * YOUNG * inertia) + force * length / (5 / 6 * shear * area)  # Timoshenko
    sags = {}
    for cells in (2, 4, 6):
        mesh = tet_mesh(*box((length, side, side), (10 * cells, cells, cells)), tissue(poisson))
        end = np.flatnonzero(mesh.nodes[:, 0] > length - 1e-9)
        load = spread(mesh, end, (0, -force, 0))[2]
        for integration in ("nodal", "element"):
            options = SoftOptions(integration=integration, tolerance=1e-4)
            body = settled(mesh, load, fixed=np.flatnonzero(mesh.nodes[:, 0] < 1e-9), options=options)
            sags[integration, cells] = (mesh.nodes - body.positions)[end, 1].mean()
    errors = {key: 1 - sag / beam for key, sag in sags.items()}
    assert errors["nodal", 2] > errors["nodal", 4] > errors["nodal", 6] > 0
    # Extrapolated with the square of the cells; the clamp's hold on the cross-section stays, 1 to 3 % of the sag.
    limit = (36 * sags["nodal", 6] - 16 * sags["nodal", 4]) / 20
    assert limit == pytest.approx(beam, rel=0.04)
    if poisson == 0.45:
        assert errors["element", 4] > 1.8 * errors["nodal", 4]  # element integration locks


def test_nodal_integration_does_not_lock_beside_quadratic_elements_on_the_same_mesh():
    sags = {}
    for poisson in (0.3, 0.45):
        mesh = tet_mesh(*box((0.03, 0.01, 0.01), (9, 3, 3)), tissue(poisson))
        end = np.flatnonzero(mesh.nodes[:, 0] > 0.03 - 1e-9)
        triangles, each, load = spread(mesh, end, (0, -1e-7, 0))
        held = np.zeros(mesh.nodes.shape, bool)
        held[mesh.nodes[:, 0] < 1e-9] = True
        mu, lam = (float(value[0]) for value in mesh.lame)
        fine = quadratic_displacement(mesh.nodes, mesh.tets, (mu, lam), held, (triangles, each))
        for integration in ("nodal", "element"):
            body = settled(mesh, load, fixed=held[:, 0], options=SoftOptions(integration=integration, tolerance=1e-4))
            sags[integration, poisson] = (mesh.nodes - body.positions)[end, 1].mean() / -fine[end, 1].mean()
    # What is left is the stiffness of linear elements in bending, which has nothing to do with the volume.
    assert sags["nodal", 0.45] > sags["nodal", 0.3] - 0.04
    assert sags["element", 0.45] < sags["element", 0.3] - 0.15


@pytest.mark.parametrize("poisson", [0.3, 0.45])
def test_a_sphere_presses_as_hertz_says(poisson):
    radius, patch = 0.02, 0.003
    depth, size, cells = patch**2 / radius, 20 * patch, 15
    nodes, tets = box((1, 1, 1), (cells, cells, cells))
    nodes = size * np.expm1(4 * nodes) / np.expm1(4)  # fine at the contact
    nodes[:, 1] *= -1
    mesh = tet_mesh(nodes, tets, tissue(poisson))
    body = SoftBody(mesh, SoftOptions(contact_stiffness=1e8), gravity=(0, 0, 0))
    body.fix(mesh.nodes[:, 1] < -size + 1e-9)
    for axis in (0, 2):  # a quarter of the whole
        body.fix(mesh.nodes[:, axis] < 1e-9, axes=(axis,))
    centre = (0.0, radius - depth, 0.0)
    body.set_tools([Capsule(centre, centre, radius)])
    force = 4 * body.equilibrate().tool_forces[0][1]
    assert force == pytest.approx(4 / 3 * YOUNG / (1 - poisson**2) * radius**0.5 * depth**1.5, rel=0.1)
    # What the tool feels is what the bottom holds.
    assert 4 * body.reactions()[mesh.nodes[:, 1] < -size + 1e-9, 1].sum() == pytest.approx(force, rel=1e-2)


def test_a_foundation_carries_the_weight():
    mesh = tet_mesh(*box((0.02, 0.02, 0.02), (3, 3, 3)), tissue(0.45))
    body = SoftBody(mesh, SoftOptions(tolerance=1e-6))
    bottom = np.flatnonzero(mesh.nodes[:, 1] < 1e-9)
    body.support(bottom, 5.0)
    body.equilibrate()
    weight = mesh.masses.sum() * 9.81
    np.testing.assert_allclose((mesh.nodes - body.positions)[bottom, 1].mean(), weight / 5.0 / len(bottom), rtol=1e-3)


def test_a_stiff_tissue_in_a_soft_one_deforms_less():
    nodes, tets = box((0.04, 0.01, 0.01), (8, 2, 2))
    stiff = nodes[tets].mean(axis=1)[:, 0] > 0.02
    mesh = tet_mesh(
        nodes, tets, stiff.astype(int), tissues={0: tissue(0.0), 1: Mechanical(1000.0, 4 * YOUNG, 0.0, 0.1)}
    )
    end = np.flatnonzero(nodes[:, 0] > 0.04 - 1e-9)
    body = settled(
        mesh,
        spread(mesh, end, (0.01, 0, 0))[2],
        fixed=np.flatnonzero(nodes[:, 0] < 1e-9),
        options=SoftOptions(tolerance=1e-7),
    )
    strain = 0.01 / 1e-4 / YOUNG
    middle = np.isclose(nodes[:, 0], 0.02)
    np.testing.assert_allclose((body.positions - nodes)[middle, 0], 0.02 * strain, rtol=1e-5)
    np.testing.assert_allclose((body.positions - nodes)[end, 0], 0.02 * strain * 1.25, rtol=1e-5)
