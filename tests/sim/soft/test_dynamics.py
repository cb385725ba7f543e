"""Motion: free fall, energy, turning, untangling, and that a state repeats itself to the byte."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from assets.errors import InputError
from assets.materials import Mechanical
from sim.soft.body import SoftBody
from sim.soft.contact import Capsule
from sim.soft.newton import SoftOptions
from sim.soft.report import SoftFaultError
from sim.soft.tet_mesh import TetMesh, signed_volumes, tet_mesh
from sim.soft.tet_shapes import ball, box

FRAME = 1 / 60
TISSUE = Mechanical(1000.0, 5000.0, 0.45, 0.1)
MATERIALS = ("corotational", "neo_hookean")


@pytest.fixture(scope="module")
def round_mesh() -> TetMesh:
    return tet_mesh(*ball(0.03, 3), TISSUE)


@pytest.fixture(scope="module")
def block() -> TetMesh:
    return tet_mesh(*box((0.08, 0.04, 0.06), (8, 4, 6)), "liver")


def pressed(block, **options):
    """A block on its bottom, and a sphere that goes into it and aside."""
    body = SoftBody(block, SoftOptions(**options))
    body.fix(block.nodes[:, 1] < 1e-9)
    reports = []
    for step in range(12):
        centre = (0.03 + 0.001 * max(0, step - 6), 0.052 - 0.0015 * min(step, 6), 0.03)
        body.set_tools([Capsule(centre, centre, 0.015, 0.1)])
        reports.append(body.step(FRAME))
    return body, reports


@pytest.mark.parametrize("material", MATERIALS)
def test_free_fall_is_that_of_implicit_euler_and_of_first_order(round_mesh, material):
    off = []
    for count in (10, 20):
        body = SoftBody(round_mesh, SoftOptions(material=material, tolerance=1e-7))
        for _ in range(count):
            body.step(0.2 / count)
        fall = -9.81 * (0.2 / count) ** 2 * count * (count + 1) / 2
        np.testing.assert_allclose(
            body.positions - round_mesh.nodes, np.tile([0, fall, 0], (len(round_mesh.nodes), 1)), atol=1e-7
        )
        off.append(fall + 9.81 * 0.2**2 / 2)
    assert off[1] == pytest.approx(off[0] / 2, rel=1e-6)
    assert np.ptp(body.velocities, axis=0).max() < 1e-5


@pytest.mark.parametrize("material", MATERIALS)
def test_a_turned_body_feels_no_force(round_mesh, material):
    body = SoftBody(round_mesh, SoftOptions(material=material), gravity=(0, 0, 0))
    turn = Rotation.from_rotvec([1.0, 2.0, 0.5]).as_matrix()
    body.place(round_mesh.nodes @ turn.T + [0.1, 0.2, 0.3])
    report = body.step(FRAME)
    assert report.newton_iterations == 0
    assert report.least_jacobian == pytest.approx(1)
    assert body.energy().elastic == pytest.approx(0, abs=1e-15)
    assert np.abs(body.velocities).max() == 0


@pytest.mark.parametrize("material", MATERIALS)
def test_energy_never_grows_without_work(round_mesh, material):
    body = SoftBody(round_mesh, SoftOptions(material=material, tolerance=1e-5), gravity=(0, 0, 0))
    stretch = np.array([[1.3, 0.2, 0.0], [0.0, 0.8, 0.1], [0.0, 0.0, 1.1]])
    body.place(round_mesh.nodes @ stretch.T, np.cross([0.0, 0.0, 20.0], round_mesh.nodes))
    energies = [body.energy().total]
    for _ in range(40):
        body.step(FRAME)
        energies.append(body.energy().total)
    assert energies[0] > 5 * energies[-1] > 0
    assert np.diff(energies).max() <= 1e-9 * energies[0]


def test_a_hanging_body_comes_to_rest_with_less_energy(block):
    body = SoftBody(block, SoftOptions(drag=2.0, tolerance=1e-5))
    top = block.nodes[:, 1] > 0.04 - 1e-9
    body.fix(top)
    body.support(np.flatnonzero(block.nodes[:, 1] < 1e-9), 1.0)
    energies = [body.energy().total]
    for _ in range(30):
        body.step(FRAME)
        energies.append(body.energy().total)
    assert np.diff(energies).max() <= 1e-6 * (energies[0] - energies[-1])
    assert energies[-1] < energies[0]
    assert np.abs(body.velocities).max() < 2e-3


@pytest.mark.parametrize("material", MATERIALS)
@pytest.mark.parametrize(
    "squeeze",
    [np.diag([1.0, 1.0, -1.0]), -np.eye(3), np.diag([1.0, 1.0, 0.0]), np.random.default_rng(3).normal(size=(3, 3))],
    ids=["mirrored", "through the origin", "flat", "scrambled"],
)
def test_an_inverted_element_turns_back(material, squeeze):
    nodes = 0.01 * np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    mesh = tet_mesh(nodes, np.array([[0, 1, 2, 3]]), TISSUE)
    body = SoftBody(mesh, SoftOptions(material=material, tolerance=1e-5), gravity=(0, 0, 0), raise_faults=False)
    body.place(nodes @ squeeze.T)
    for _ in range(60):
        report = body.step(FRAME)
    assert report.least_jacobian == pytest.approx(1, abs=1e-3)
    assert report.faults == ()
    # The shape is back, not only the volume.
    gaps = np.linalg.norm(body.positions[:, None] - body.positions[None], axis=2)
    np.testing.assert_allclose(gaps, np.linalg.norm(nodes[:, None] - nodes[None], axis=2), rtol=2e-3, atol=1e-9)


@pytest.mark.parametrize("material", MATERIALS)
def test_a_scrambled_mesh_untangles(material):
    mesh = tet_mesh(*ball(0.03, 2), TISSUE)
    options = SoftOptions(material=material, newton_iterations=100)
    body = SoftBody(mesh, options, gravity=(0, 0, 0), raise_faults=False)
    body.place(mesh.nodes + np.random.default_rng(0).normal(0, 0.01, mesh.nodes.shape))  # edges are 15 mm long
    assert (signed_volumes(body.positions, mesh.tets) < 0).mean() > 0.25
    for _ in range(30):
        report = body.step(1 / 30)
    assert report.faults == ()
    assert report.least_jacobian == pytest.approx(1, abs=0.01)
    assert body.energy().elastic < 1e-5


def test_damping_slows_a_body(round_mesh):
    body = SoftBody(round_mesh, SoftOptions(drag=3.0, tolerance=1e-6), gravity=(0, 0, 0))
    body.place(round_mesh.nodes, np.tile([1.0, 0.0, 0.0], (len(round_mesh.nodes), 1)))
    for _ in range(10):
        body.step(0.01)
    np.testing.assert_allclose(body.velocities[:, 0], 1.03**-10, rtol=1e-5)


def test_a_state_goes_on_to_the_byte(block):
    body, _ = pressed(block)
    held = body.grasp(np.flatnonzero(block.nodes[:, 1] > 0.04 - 1e-9)[:4], np.eye(4), limit=0.1)
    body.step(FRAME)
    state = body.save_state()

    def go_on(other):
        for step in range(4):
            lifted = np.eye(4)
            lifted[1, 3] = 0.001 * step
            other.move_grasp(held, lifted)
            centre = (0.036 + 0.001 * step, 0.043, 0.03)
            other.set_tools([Capsule(centre, centre, 0.015, 0.1)])
            report = other.step(FRAME)
        return other.positions.tobytes(), other.velocities.tobytes(), report

    first = go_on(body)
    body.restore_state(state)
    again = go_on(body)
    fresh = SoftBody(block)
    fresh.restore_state(state)
    assert first == again == go_on(fresh)


def test_a_state_of_another_mesh_is_refused(block, round_mesh):
    with pytest.raises(InputError, match="expected a state of"):
        SoftBody(block).restore_state(SoftBody(round_mesh).save_state())


_RUN = """
import hashlib, numpy as np
from sim.soft.body import SoftBody
from sim.soft.contact import Capsule
from sim.soft.tet_mesh import tet_mesh
from sim.soft.tet_shapes import box
mesh = tet_mesh(*box((0.08, 0.04, 0.06), (8, 4, 6)), "liver")
body = SoftBody(mesh)
body.fix(mesh.nodes[:, 1] < 1e-9)
for step in range(12):
    centre = (0.03 + 0.001 * max(0, step - 6), 0.052 - 0.0015 * min(step, 6), 0.03)
    body.set_tools([Capsule(centre, centre, 0.015, 0.1)])
    body.step(1 / 60)
print(hashlib.sha256(body.positions.tobytes() + body.velocities.tobytes()).hexdigest())
"""


def test_another_process_computes_the_same_bytes(block):
    body, _ = pressed(block)
    other = subprocess.run([sys.executable, "-c", _RUN], capture_output=True, text=True, check=True)
    here = hashlib.sha256(body.positions.tobytes() + body.velocities.tobytes()).hexdigest()
    assert other.stdout.split()[-1] == here


@pytest.mark.parametrize("material", MATERIALS)
def test_launches_as_on_cuda_agree_with_the_serial_solver(block, material):
    serial, reports = pressed(block, material=material, tolerance=1e-6)
    launched, others = pressed(block, material=material, tolerance=1e-6, serial=False, cg_iterations=250)
    np.testing.assert_allclose(launched.positions, serial.positions, atol=1e-7)
    assert others[-1].cg_iterations == pytest.approx(reports[-1].cg_iterations, rel=0.3)


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(block):
    import warp as wp

    if not wp.is_cuda_available():
        pytest.skip("there is no CUDA device")
    on_cpu, _ = pressed(block, tolerance=1e-6)
    on_gpu, _ = pressed(block, tolerance=1e-6, device="cuda:0")
    np.testing.assert_allclose(on_gpu.positions, on_cpu.positions, atol=1e-7)


def test_what_is_not_finite_is_named_and_the_state_kept(block):
    body = SoftBody(block)
    body.fix(block.nodes[:, 1] < 1e-9)
    body.step(FRAME)
    before = body.positions
    body.load([17], [1e300, 0.0, 0.0])
    with pytest.raises(SoftFaultError, match=r"soft tissue: not finite at 0.0333 s") as caught:
        body.step(FRAME)
    assert caught.value.faults[0].kind == "not finite"
    assert body.positions.tobytes() == before.tobytes()
    assert body.time == pytest.approx(FRAME)


def test_an_inverted_element_is_named(block):
    body = SoftBody(block, name="liver")
    corner = int(np.argmax(block.nodes.sum(axis=1)))
    body.fix(np.arange(len(block.nodes)))
    body.move([corner], block.nodes[[corner]] - 0.03)
    with pytest.raises(SoftFaultError, match=r"liver: inverted at 0.0167 s at rest place \(0.07") as caught:
        body.step(FRAME)
    fault = caught.value.faults[0]
    assert corner in block.tets[fault.index]


def test_a_step_that_is_not_solved_is_named(block):
    body = SoftBody(block, SoftOptions(newton_iterations=1, cg_iterations=3), raise_faults=False)
    body.fix(block.nodes[:, 1] < 1e-9)
    report = body.step(FRAME)
    assert [fault.kind for fault in report.faults] == ["not converged"]
    assert report.residual > 1e-3
    assert "expected a residual of 0.001, found" in str(report.faults[0])


def test_a_body_that_nothing_holds_has_no_equilibrium(round_mesh):
    with pytest.raises(SoftFaultError):
        SoftBody(round_mesh, SoftOptions(newton_iterations=3, cg_iterations=50)).equilibrate()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda body: body.step(0.0), "a time step above 0"),
        (lambda body: body.fix([9999]), "node indices 0 to"),
        (lambda body: body.load([1], [np.nan, 0, 0]), "finite rows"),
        (lambda body: body.move([1], [0, 0, 0]), "expected fixed nodes, found node 1 free"),
        (lambda body: body.support([1], -1.0), "stiffness of at least 0"),
        (lambda body: body.set_tools([Capsule((0, 0, 0), (0, 0, 0), 1.0)] * 5), "at most 4 tools, found 5"),
        (lambda body: body.grasp([], np.eye(4), limit=1.0), "expected nodes"),
        (lambda body: Capsule((0, 0, 0), (0, 0, 0), 0.0), "radius above 0"),
        (lambda body: SoftOptions(tolerance=0), "a tolerance in"),
    ],
)
def test_bad_calls_are_refused(round_mesh, call, message):
    with pytest.raises(InputError, match=message):
        call(SoftBody(round_mesh))
