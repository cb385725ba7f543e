"""Tools and jaws on tissue: forces both ways, friction, slip, fast motion."""

import numpy as np
import pytest

from assets.materials import Mechanical
from sim.soft.body import SoftBody
from sim.soft.contact import Capsule
from sim.soft.newton import SoftOptions
from sim.soft.report import SoftFaultError
from sim.soft.tet_mesh import signed_volumes, tet_mesh
from sim.soft.tet_shapes import box

FRAME = 1 / 60
TISSUE = Mechanical(1000.0, 5000.0, 0.45, 0.1)


@pytest.fixture
def slab():
    """A block on its bottom, without weight."""
    mesh = tet_mesh(*box((0.08, 0.03, 0.06), (8, 3, 6)), TISSUE)
    body = SoftBody(mesh, SoftOptions(), gravity=(0, 0, 0))
    body.fix(mesh.nodes[:, 1] < 1e-9)
    return body


def top(body):
    return np.flatnonzero(body.mesh.nodes[:, 1] > body.mesh.nodes[:, 1].max() - 1e-9)


def rod(height, *, x=0.04, friction=0.0):
    return Capsule((x, height, 0.01), (x, height, 0.05), 0.01, friction)


def test_the_tool_feels_what_the_support_holds(slab):
    slab.set_tools([rod(0.036)])
    report = slab.equilibrate()
    force = np.array(report.tool_forces[0])
    assert force[1] > 0.05
    np.testing.assert_allclose(slab.reactions().sum(axis=0), force, atol=2e-3 * force[1])
    # By symmetry about the middle of the rod, up to the mesh's own lack of it.
    assert report.tool_moments[0][0] == pytest.approx(-force[1] * 0.02, rel=0.05)


def test_the_surface_keeps_out_of_the_tool(slab):
    slab.set_tools([rod(0.034)])
    slab.equilibrate()
    x = slab.positions[top(slab)]
    beside = x[(x[:, 2] > 0.01) & (x[:, 2] < 0.05)]
    gap = np.hypot(beside[:, 0] - 0.04, beside[:, 1] - 0.034) - 0.01
    assert -5e-4 < gap.min() < 3e-3  # between the nodes, a rod's radius apart, the surface touches it
    assert x[:, 1].min() < 0.024


def test_friction_is_a_share_of_the_push(slab):
    shares = []
    for way in (1, -1):
        slab.place(slab.mesh.nodes)
        slab.set_tools([])
        for step in range(30):
            height = max(0.041 - 0.0005 * step, 0.037)
            slab.set_tools([rod(height, x=0.04 + way * 0.0005 * max(0, step - 15), friction=0.3)])
            report = slab.step(FRAME)
        shares.append(report.tool_forces[0][0] / report.tool_forces[0][1])
    # Half of the difference: the mesh's diagonals push aside a little, the same both ways.
    assert (shares[1] - shares[0]) / 2 == pytest.approx(0.3, abs=0.05)


def test_a_tool_at_three_metres_a_second_does_not_jump_through(slab):
    slab.set_tools([rod(0.08)])
    slab.step(FRAME)
    slab.set_tools([rod(0.03)])  # 5 cm in a sixtieth of a second
    report = slab.step(FRAME)
    assert report.substeps == 10
    assert report.faults == ()
    assert slab.positions[top(slab), 1].min() < 0.022
    assert report.tool_forces[0][1] > 0
    sides = slab.positions[top(slab)]
    middle = sides[(np.abs(sides[:, 0] - 0.04) < 0.004) & (sides[:, 2] > 0.01) & (sides[:, 2] < 0.05)]
    assert (middle[:, 1] < 0.0225).all()


def test_a_tool_that_is_set_into_the_tissue_is_named(slab):
    slab.set_tools([Capsule((0.04, 0.015, 0.03), (0.04, 0.015, 0.03), 0.002)])
    with pytest.raises(SoftFaultError, match=r"tunnelled at 0.0167 s .*tool's axis is inside the tissue"):
        slab.step(FRAME)


def test_a_jaw_lifts_until_it_slips(slab):
    nodes = top(slab)[np.linalg.norm(slab.mesh.nodes[top(slab)][:, [0, 2]] - [0.04, 0.03], axis=1) < 0.015]
    jaw = np.eye(4)
    jaw[:3, 3] = slab.mesh.nodes[nodes].mean(axis=0)
    grasp = slab.grasp(nodes, jaw, limit=2.0, reach=0.005)
    pulls, lifted = [], []
    for _ in range(60):
        jaw = jaw.copy()
        jaw[1, 3] += 0.0005
        slab.move_grasp(grasp, jaw)
        report = slab.step(FRAME)
        pulls.append(-report.grasp_forces[0][1])
        lifted.append(slab.positions[nodes, 1].mean() - 0.03)
    assert pulls[4] < pulls[9] < max(pulls)
    assert 1.9 < max(pulls) <= 2.0 + 1e-9
    assert max(lifted) > 0.004
    assert len(slab.held(grasp)) == 0  # dragged out of the jaw in the end, and back in place
    assert pulls[-1] == 0
    assert abs(lifted[-1]) < 5e-4


def test_what_the_jaw_feels_is_what_the_support_holds(slab):
    nodes = top(slab)[:6]
    grasp = slab.grasp(nodes, np.eye(4), limit=5.0)
    lifted = np.eye(4)
    lifted[:3, 3] = [0.002, 0.003, 0.0]
    slab.move_grasp(grasp, lifted)
    force = np.array(slab.equilibrate().grasp_forces[0])
    assert force[1] < -0.01
    np.testing.assert_allclose(slab.reactions().sum(axis=0), force, atol=2e-3 * np.linalg.norm(force))


def test_a_released_jaw_pulls_no_more(slab):
    grasp = slab.grasp(top(slab)[:6], np.eye(4), limit=5.0)
    lifted = np.eye(4)
    lifted[1, 3] = 0.004
    slab.move_grasp(grasp, lifted)
    slab.step(FRAME)
    slab.release(grasp)
    assert slab.step(FRAME).grasp_forces[0] == (0.0, 0.0, 0.0)


def test_breathing_moves_a_support(slab):
    bottom = np.flatnonzero(slab.mesh.nodes[:, 1] < 1e-9)
    for step in range(30):
        shift = 0.01 * np.sin(2 * np.pi * step / 60)
        slab.move(bottom, slab.mesh.nodes[bottom] + [0, 0, shift])
        report = slab.step(FRAME)
    np.testing.assert_allclose(slab.positions[bottom, 2] - slab.mesh.nodes[bottom, 2], shift, atol=1e-12)
    assert np.abs(slab.positions - slab.mesh.nodes)[:, 2].max() < 0.03
    assert report.faults == ()


def test_a_hard_press_keeps_the_volume_and_inverts_nothing():
    mesh = tet_mesh(*box((0.16, 0.06, 0.12), (12, 5, 9)), "liver")
    body = SoftBody(mesh)
    body.fix(mesh.nodes[:, 1] < 1e-9)
    body.equilibrate()
    height = body.positions[:, 1].max()
    for step in range(20):
        centre = (0.08, height + 0.02 - 0.001 * step, 0.06)
        body.set_tools([Capsule(centre, centre, 0.02, 0.1)])
        report = body.step(FRAME)
    assert report.least_jacobian > 0.3
    assert signed_volumes(body.positions, mesh.tets).sum() == pytest.approx(mesh.volumes.sum(), rel=0.02)
