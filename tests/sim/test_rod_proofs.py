"""The rod against Euler's column, its own energy, and a fold's edge; the wall's sign against rays by Embree."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from assets.colon.synthesis import synthetic_colon
from assets.instruments.flexible import COLONOSCOPE
from assets.mesh_distance import distance_to
from assets.patient import Orifice
from sim.flexible_scope import FlexibleScope
from sim.geometry import colon_centreline
from sim.scope_state import ScopeCommand
from sim.wall_distance import WallDistance, colon_lumen, patient_wall_distance

AXIS = np.array([0.0, 0.0, 1.0])
PATH = AXIS * np.linspace(0.0, 1.0, 500)[:, None]
ORIFICE = Orifice("anus", "colon_lumen", np.zeros(3), AXIS, 0.01)
RIGIDITY = 0.01
COLUMN = replace(
    COLONOSCOPE, shaft_rigidity=RIGIDITY, passive_rigidity=RIGIDITY, bending_rigidity=RIGIDITY, density=0.0
)


def field(distance, *, low=(-0.2, -0.2, -0.1), high=(0.2, 0.2, 0.6), spacing=0.01) -> WallDistance:
    """Sample a distance function of x, y and z on a grid."""
    axes = [np.arange(a, b + spacing / 2, spacing) for a, b in zip(low, high, strict=True)]
    values = np.asarray(distance(*np.meshgrid(*axes, indexing="ij", sparse=True)), np.float32)
    shape = tuple(len(axis) for axis in axes)
    return WallDistance(np.ascontiguousarray(np.broadcast_to(values, shape)), np.array(low), spacing)


def bowed(length: float, axial: float) -> float:
    """Press a column, clamped at the hand, against a flat end; return how far it has bowed aside [m].

    Friction holds its free end in place but lets it turn: a column clamped at one end and hinged at the other.
    """
    device = replace(COLUMN, push_limit=axial, tip_radius=COLUMN.tube_radius)
    end = length + device.nose
    wall = field(lambda x, y, z: end + 0.0014 - z + 0 * x * y)
    scope = FlexibleScope(wall, ORIFICE, PATH, insertion=end - 0.005, friction=2.0, device=device)
    scope._nodes[1:30, 0] += 2e-4 * np.sin(np.pi * np.arange(1, 30) / 30)  # the imperfection from which it grows
    for _ in range(300):
        state = scope.step(ScopeCommand(0.001))
    return float(np.abs(state.nodes[:, 0]).max())


def test_a_column_buckles_at_eulers_load():
    """20.19 EI / L^2 for one end clamped and the other hinged; within 10 %."""
    length = 0.30
    load = 20.19 * RIGIDITY / length**2
    assert bowed(length, 0.9 * load) < 0.003
    assert bowed(length, 1.1 * load) > 0.02


def test_the_energy_of_a_passive_rod_never_grows():
    """Bent, pressed and then left alone with the hand still: what is stored goes down in every step."""
    device = replace(COLONOSCOPE, density=0.0)
    wall = field(lambda x, y, z: 0.03 - np.abs(y) + 0 * x * z)
    scope = FlexibleScope(wall, ORIFICE, PATH, insertion=0.3, friction=0.05, device=device)
    rng = np.random.default_rng(2)
    scope._nodes[:25, :2] += np.cumsum(rng.normal(scale=0.004, size=(25, 2)), axis=0)[::-1]
    stored = []
    for _ in range(40):
        state = scope.step(ScopeCommand())
        stored.append(energy_of(scope, state.nodes))
    assert stored[0] > 1e-3
    assert np.all(np.diff(stored) <= 1e-9 * stored[0])
    assert stored[-1] < 0.2 * stored[0]


def energy_of(scope: FlexibleScope, nodes: np.ndarray) -> float:
    """Add up bending and stretch, of an unbent scope in free space [J]."""
    device = scope.device
    rigidity = np.full(len(nodes), device.shaft_rigidity)
    first = round(device.bending_length / device.spacing) + 1
    rigidity[: first + round(device.passive_length / device.spacing)] = device.passive_rigidity
    rigidity[:first] = device.bending_rigidity
    edges = nodes[:-1] - nodes[1:]
    lengths = np.linalg.norm(edges, axis=1)
    tangents = np.concatenate([edges / lengths[:, None], [AXIS]])
    bend = np.sum((tangents[:-1] - tangents[1:]) ** 2, axis=1) * rigidity[1:] / (2 * device.spacing)
    stretch = device.axial_rigidity / device.spacing * (lengths - device.spacing) ** 2 / 2
    hand = scope._rod.hand_stiffness * (scope._drive[0] - scope._drive[1]) ** 2 / 2
    return float(bend.sum() + stretch.sum() + hand)


def test_a_folds_edge_does_not_catch_the_shaft():
    """Without friction a shaft slides over a sharp edge with hardly more force than the drag, wherever the edge lies.

    A row of balls 5 mm apart caught the edge between two of them: the pull rose and fell by 0.6 of its load.
    """
    edge = field(lambda x, y, z: np.hypot(y + 0.024, z - 0.12) - 0.001 + 0 * x, spacing=0.002, high=(0.2, 0.2, 0.4))
    heavy = replace(COLONOSCOPE, density=0.4)
    scope = FlexibleScope(edge, ORIFICE, PATH, insertion=0.3, friction=0.0, device=heavy)
    for _ in range(20):
        scope.step(ScopeCommand())
    pulls = np.array([scope.step(ScopeCommand(-0.001)).push_force for _ in range(20)])  # over two nodes
    assert np.isfinite(pulls).all()
    load = 9.81 * heavy.density * 0.2
    assert np.ptp(pulls) < 0.35 * load


@pytest.fixture(scope="module")
def colon():
    patient = synthetic_colon(0)
    return patient, patient_wall_distance(patient)


def test_the_grid_that_the_rod_feels_has_hardly_a_wrong_sign(colon):
    """Against rays by Embree: none at the grid's nodes; between them one in 200, none farther off than half a cell."""
    patient, wall = colon
    surface = colon_lumen(patient)[1]
    mesh = trimesh.Trimesh(surface.vertices, surface.triangles, process=False)
    rng = np.random.default_rng(7)
    near = np.argwhere(np.abs(wall.values) < 0.005)
    nodes = rng.permutation(near)[:12_000] * wall.spacing + wall.origin
    assert wrong_signs(patient, wall, mesh, nodes)[1].size == 0
    line = colon_centreline(patient).points
    points = line[rng.integers(60, len(line) - 40, 24_000)] + rng.normal(scale=0.016, size=(24_000, 3))
    count, wrong = wrong_signs(patient, wall, mesh, points)
    assert count > 20_000
    assert len(wrong) < 0.005 * count
    assert distance_to(surface, wrong)[0].max(initial=0.0) < wall.spacing / 2


def wrong_signs(patient, wall, mesh, points):
    """Return how many points were asked, away from polyps and the opened anus, and those with a wrong sign."""
    anus = patient.orifices[0]
    points = points[np.linalg.norm(points - anus.centre, axis=1) > 0.08]
    for organ in patient.organs:  # a polyp's inside is no free space, and its base lies in the wall
        if organ.label == "polyp":
            low, high = organ.surface.vertices.min(0) - 0.002, organ.surface.vertices.max(0) + 0.002
            points = points[~np.all((points > low) & (points < high), axis=1)]
    inside = mesh.contains(points)
    assert len(points) > 9_000
    assert 0.2 < inside.mean() < 0.9
    return len(points), points[(wall.interpolate(points)[0] > 0) != inside]
