"""A colon whose wall gives way: to insufflation as a cylinder does, and to the scope until both are at rest."""

import numpy as np
import pytest

from assets.errors import InputError
from assets.materials import load_materials
from assets.mesh import Mesh
from sim.camera import Camera
from sim.passage import colon_passage
from sim.scene import ColonoscopyScene
from sim.scope_state import ScopeCommand
from sim.soft_wall.folds import far_faces
from sim.soft_wall.following import soft_wall_of
from sim.soft_wall.soft_wall import MOST, WallLoad
from sim.wall_distance import patient_wall_distance

CAMERA = Camera.with_fov(32, 32, 140.0)
TUBE = {"radius": 0.018, "straight": 0.15, "bend_radius": 0.05, "angle": 1.5, "after": 0.1, "fold": 0.005}


@pytest.fixture(scope="module")
def straight(tube_patient):
    patient = tube_patient(radius=0.02, straight=0.2)
    return soft_wall_of(patient, colon_passage(patient), patient_wall_distance(patient))


@pytest.fixture(scope="module")
def scene(tube_patient):
    with ColonoscopyScene(tube_patient(**TUBE), camera=CAMERA, threads=1, soft_wall=True) as opened:
        yield opened


def test_a_wall_at_rest_is_where_the_rigid_one_is(straight, tube_patient):
    straight.settle(0.0)
    rest = patient_wall_distance(tube_patient(radius=0.02, straight=0.2))
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-0.022, 0.022, (2000, 2)), rng.uniform(0.02, 0.18, 2000)])
    near = rest.distance(points) > -0.003
    # Both from a grid's nodes: the soft wall has no triangles to ask beside them.
    np.testing.assert_allclose(straight.grid.distance(points[near]), rest.interpolate(points[near])[0], atol=1e-6)


def test_insufflation_widens_a_tube_as_the_closed_form_says(straight):
    pressure, radius = 2000.0, 0.02
    material = load_materials()["colon_mucosa"]
    hoop = material.wall.modulus * material.wall.thickness / (1 - material.mechanical.poisson_ratio**2) / radius**2
    expected = pressure / (material.wall.foundation + hoop)
    straight.settle(pressure)
    rho = np.array([0.0, 0.006, 0.012, 0.018, 0.020, 0.0205])
    points = np.column_stack([rho, np.zeros(6), np.full(6, 0.15)])
    found = straight.grid.distance(points)
    np.testing.assert_allclose(found[1:], radius - rho[1:] + expected, atol=2e-4)
    middle = (straight.vertices[:, 2] > 0.1) & (straight.vertices[:, 2] < 0.2)
    wide = np.hypot(*straight.vertices[middle, :2].T)
    assert wide.mean() - radius == pytest.approx(expected, rel=0.03)
    straight.settle(-pressure)
    assert straight.grid.distance(points)[3] == pytest.approx(radius - 0.018 - expected, abs=2e-4)


def test_a_force_on_the_wall_arrives_whole_and_stretches_it_there(straight):
    straight.settle(0.0)
    place, force = np.array([[0.02, 0.0, 0.15]]), np.array([[2.0, 0.0, 0.0]])
    load = WallLoad(places=place, forces=force)
    for _ in range(400):
        straight.step(load)
    u = straight.displacement
    away = np.linalg.norm(straight.vertices - [0.02, 0, 0.15], axis=1)
    assert u[np.argmin(away)] > 2e-3
    assert np.abs(u[away > 0.05]).max() < 0.05 * u.max()
    # What holds the wall balances the force: its component along the normal, all but a few percent on a small patch.
    carried = straight.shell.stiffness @ u
    assert carried.sum() == pytest.approx(2.0, rel=0.05)
    assert straight.grid.distance(place)[0] == pytest.approx(u.max(), rel=0.15)
    for _ in range(40):
        straight.step(WallLoad(places=place, forces=50 * force))
    assert straight.displacement.max() == MOST


def test_a_scope_in_a_bend_stretches_the_wall_and_both_come_to_rest(scene):
    scene.reset(seed=0, friction=0.02)
    state = scene.state
    for _ in range(26):
        right, down, _ = scene.guide.lumen_direction(state.T_world_camera, scene.guide.arc)[0]
        state = scene.step(ScopeCommand(0.008, -0.35 * down, 0.35 * right))
    assert state.fault == ""
    largest = []
    for _ in range(250):
        before = scene.soft_wall.displacement.copy()
        state = scene.step(ScopeCommand())
        largest.append(float(np.abs(scene.soft_wall.displacement - before).max()))
    assert state.fault == ""
    assert scene.soft_wall.displacement.max() > 5e-4
    assert largest[-1] < 3e-5
    assert largest[-1] < largest[0]
    places, forces = scene.scope.wall_forces()
    assert len(places) > 0
    carried = scene.soft_wall.shell.stiffness @ scene.soft_wall.displacement
    pressing = scene.soft_wall.vertex_forces(WallLoad(places=places, forces=forces))
    assert np.linalg.norm(carried - pressing) < 0.1 * np.linalg.norm(pressing)  # in balance: creep is over
    # The wall as drawn is the wall as felt.
    _, gradient = scene.wall.query(places)
    inside = scene.wall.distance(places + 0.002 * gradient / np.linalg.norm(gradient, axis=1, keepdims=True))
    assert inside.min() > 0


def test_what_follows_a_restored_state_is_the_same_to_the_byte(scene):
    scene.reset(seed=3, friction=0.05, insufflation=800.0)
    for k in range(8):
        scene.step(ScopeCommand(0.008, 0.1 * np.sin(k), 0.1))

    def on():
        seen = []
        for k in range(4):
            state = scene.step(ScopeCommand(0.008, 0.1 * np.sin(k), 0.1))
            seen.append(state.nodes.tobytes() + scene.observe().rgb.tobytes() + scene.soft_wall.displacement.tobytes())
        return seen

    saved = scene.save_state()
    first = on()
    scene.reset(seed=9, friction=0.0)
    scene.restore_state(saved)
    assert scene.save_state() == saved
    assert on() == first


def test_insufflation_is_seen(scene):
    scene.reset(seed=0, friction=0.02)
    before = np.median(scene.observe().depth)
    scene.reset(seed=0, friction=0.02, insufflation=4000.0)
    assert np.median(scene.observe().depth) > 1.01 * before


def test_the_far_face_of_a_fold_is_found():
    x, y = (0.001 * one.ravel() for one in np.meshgrid(np.arange(5), np.arange(5)))
    a = (np.arange(4)[:, None] * 5 + np.arange(4)).ravel()
    up = np.concatenate([np.stack([a, a + 1, a + 6], 1), np.stack([a, a + 6, a + 5], 1)])
    low = np.stack([x, y, np.zeros(25)], 1)
    vertices = np.concatenate([low, low + np.array([0, 0, 0.003])]).astype(np.float32)
    triangles = np.concatenate([up, up[:, ::-1] + 25]).astype(np.int32)  # both look into the tissue between them
    normals = np.repeat([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]], 25, axis=0)
    inner = np.flatnonzero((x > 0) & (x < 0.0035) & (y > 0) & (y < 0.0035))
    partner, distance = far_faces(Mesh(vertices, triangles), normals, 0.006)
    np.testing.assert_array_equal(partner[inner], inner + 25)
    np.testing.assert_allclose(distance[inner], 0.003, atol=1e-6)
    partner, distance = far_faces(Mesh(vertices, triangles), normals, 0.002)
    assert (partner < 0).all()
    assert np.isinf(distance).all()
    partner, _ = far_faces(Mesh(vertices, triangles), -normals, 0.006)  # outwards there is nothing
    assert (partner < 0).all()


def test_a_rigid_wall_is_not_blown_up_and_no_wall_beyond_all_measure(scene, tube_patient):
    with pytest.raises(InputError, match="at most 6000 Pa for a soft wall"):
        scene.reset(seed=0, friction=0.0, insufflation=1e5)
    with (
        ColonoscopyScene(tube_patient(), camera=CAMERA, threads=1) as rigid,
        pytest.raises(InputError, match="at most 0 Pa for a rigid wall"),
    ):
        rigid.reset(seed=0, friction=0.0, insufflation=100.0)
