"""The whole scene: physics, contact and camera of one patient, and the synthetic colon as a task."""

from dataclasses import replace

import numpy as np
import pytest

from assets.colon.synthesis import synthetic_colon
from assets.errors import InputError
from assets.labels import label_id
from sim.camera import Camera
from sim.degradations.settings import Degradations
from sim.flexible_scope import CONTACT_MARGIN, FlexibleScope
from sim.geometry import CentrelineGuide, colon_centreline
from sim.scene import ColonoscopyScene
from sim.scope_state import ScopeCommand
from sim.wall_building import drop_orifices
from sim.wall_distance import colon_lumen, patient_wall_distance
from sim.world import BulletWorld

CAMERA = Camera.with_fov(48, 48, 140.0)


@pytest.fixture(scope="module")
def scene(tube_patient):
    patient = tube_patient(radius=0.018, straight=0.15, bend_radius=0.05, angle=1.5, after=0.1, fold=0.005)
    with ColonoscopyScene(patient, camera=CAMERA, seed=3, threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def colon():
    patient = synthetic_colon(0)
    return patient, patient_wall_distance(patient)


def test_it_starts_in_the_rectum_and_sees_the_wall(scene):
    state = scene.reset(seed=3, friction=0.02)
    assert 0.05 <= state.insertion <= 0.081
    frame = scene.observe()
    assert frame.rgb.shape == (48, 48, 3)
    assert np.mean(frame.semantic > 0) > 0.8
    np.testing.assert_array_equal(frame.T_world_camera, state.T_world_camera)
    ahead = frame.depth[20:28, 20:28]
    assert np.median(ahead[ahead > 0]) > 0.02


def test_time_and_exposure_go_on(scene):
    scene.reset(seed=3, friction=0.02)
    scene.observe()
    state = scene.step(ScopeCommand(0.008))
    frame = scene.observe()
    assert frame.time == state.time == pytest.approx(0.1)
    assert frame.exposure == scene.exposure.gain
    assert 40 < frame.rgb.max(axis=2)[frame.semantic > 0].mean() < 250


def test_an_episode_repeats_itself_in_every_bit(scene):
    runs = []
    for _ in range(2):
        scene.reset(seed=7, friction=0.05)
        frames = []
        for _ in range(4):
            state = scene.step(ScopeCommand(0.008, 0.05, -0.05, 0.1))
            frames.append((state.nodes.tobytes(), scene.observe().rgb.tobytes()))
        runs.append(frames)
    assert runs[0] == runs[1]


def test_degradations_change_the_picture_alone(scene):
    """What goes wrong is seen, repeats itself, hides tissue where it is opaque, and leaves physics and noise alone."""
    wrong = Degradations(blood=0.7, motion_blur=1.0, fog=0.3, seed=5)
    runs = []
    for degradations in (None, wrong, wrong):
        scene.reset(seed=7, friction=0.05, degradations=degradations)
        frames = [scene.observe()]
        for _ in range(3):
            scene.step(ScopeCommand(0.008, 0.05))
            frames.append(scene.observe())
        runs.append(frames)
    clean, once, again = runs
    for one, other, same in zip(clean, once, again, strict=True):
        assert other.rgb.tobytes() == same.rgb.tobytes() != one.rgb.tobytes()
        np.testing.assert_array_equal(one.depth, other.depth)
        np.testing.assert_array_equal(one.T_world_camera, other.T_world_camera)
        assert one.exposure == other.exposure
        hidden = one.semantic != other.semantic
        assert 0.05 < hidden.mean() < 0.95
        assert set(np.unique(other.semantic[hidden])) == {label_id("blood")}


def test_another_seed_starts_elsewhere(scene):
    first, second = (scene.reset(seed=seed, friction=0.02).insertion for seed in (1, 2))
    assert abs(first - second) > 1e-4


def test_the_guide_follows_the_tip(scene):
    scene.reset(seed=3, friction=0.02)
    start = scene.guide.arc
    for _ in range(5):
        scene.step(ScopeCommand(0.008))
    assert scene.guide.arc - start == pytest.approx(0.04, abs=0.01)


def test_the_wall_distance_agrees_with_pybullet(colon):
    """Contact by the grid against PyBullet's on the triangles.

    A fold is a few triangles thick and the grid has 2 mm: 0.5 mm at most of the places, 1 mm at its sharpest edges.
    """
    patient, wall = colon
    rng = np.random.default_rng(5)
    line = colon_centreline(patient)
    pick = rng.integers(50, len(line.points) - 30, 300)
    points = line.points[pick] + rng.normal(size=(300, 3)) * 0.005
    radius = 0.0066
    gaps = wall.distance(points) - radius
    near = np.abs(gaps) < 0.0015
    with BulletWorld() as world:
        walls = [world.add_anatomy(drop_orifices(colon_lumen(patient)[1], patient.orifices))]
        walls += [world.add_anatomy(organ.surface) for organ in patient.organs if organ.label == "polyp"]
        (ball,) = world.add_spheres([radius])
        differences = []
        for point, gap in zip(points[near], gaps[near], strict=True):
            world.place([ball], point[None])
            found = [contact for body in walls if (contact := world.nearest(ball, body, 0.004)) is not None]
            assert found, f"PyBullet finds no wall where the grid has a gap of {1e3 * gap:.2f} mm"
            differences.append(gap - min(contact.distance for contact in found))
    assert len(differences) > 30
    assert np.quantile(np.abs(differences), 0.9) < 5e-4
    assert np.max(np.abs(differences)) < 1e-3


def test_the_tip_contact_is_pybullets(scene):
    scene.reset(seed=3, friction=0.0)
    touched = 0
    for _ in range(30):
        state = scene.step(ScopeCommand(0.008, bend_right=0.1))
        own = scene.scope.state
        touched += state.tip_contact
        if own.contact_depth > 6e-4:
            assert state.tip_contact
        if state.contact_depth > 0.6e-3 + CONTACT_MARGIN:
            assert own.tip_contact
    assert touched > 3


def drive(patient, wall, *, steered: bool, steps: int) -> tuple[float, bool]:
    line = colon_centreline(patient)
    scope = FlexibleScope(wall, patient.orifices[0], line.points, friction=0.02 if steered else 0.0)
    guide = CentrelineGuide(line, wall)
    guide.reset(0.07)
    best, waited, retreat = 0.0, 0, 0
    for _ in range(steps):
        state = scope.state
        arc = guide.locate(state.T_world_camera[:3, 3])
        if np.linalg.norm(state.T_world_camera[:3, 3] - patient.landmarks["caecum"]) < 0.03:
            return arc / guide.length, True
        best, waited = (arc, 0) if arc > best + 0.005 else (best, waited + 1)
        if not steered:
            scope.step(ScopeCommand(0.008))
            continue
        direction, _ = guide.lumen_direction(state.T_world_camera, arc)
        angle = np.arccos(np.clip(direction[2], -1, 1))
        right, down = 0.4 * angle * direction[:2] / max(np.hypot(*direction[:2]), 1e-9)
        relax = 0.09 * (state.blocked or retreat > 0)
        if waited > 15 and retreat == 0:
            waited, retreat = 0, 6
        advance = -0.005 if retreat > 0 else 0.008 * max(np.cos(angle), 0.15)
        retreat = max(0, retreat - 1)
        scope.step(ScopeCommand(advance, -down - relax * state.bend_up, right - relax * state.bend_right))
    return best / guide.length, False


def test_a_colon_is_passed_with_steering(colon):
    progress, reached = drive(*colon, steered=True, steps=400)
    assert reached, f"stopped at {progress:.0%} of the centreline"


def test_a_colon_is_not_passed_without(colon):
    progress, reached = drive(*colon, steered=False, steps=150)
    assert not reached
    assert progress < 0.6


def test_a_patient_without_an_anus_is_refused(tube_patient):
    with pytest.raises(InputError, match="orifice named anus, found none"):
        ColonoscopyScene(replace(tube_patient(), orifices=()), camera=CAMERA)
