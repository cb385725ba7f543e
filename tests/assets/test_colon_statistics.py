import numpy as np
import pytest
import trimesh

from assets.colon.statistics import colon_statistics, spread
from assets.errors import InputError
from assets.mesh import Mesh
from assets.patient import Centreline, Organ, Patient

NAMES = ("rectosigmoid", "sigmoid_descending", "splenic_flexure", "hepatic_flexure")


def colon(points, surface, marks):
    return Patient(
        name="made",
        source="a test",
        licence="none",
        organs=(Organ("colon_lumen", "colon_wall", "lumen", "colon_mucosa", surface),),
        centrelines=(Centreline("colon", points, np.full(len(points), 0.009)),),
        landmarks={name: points[index] for name, index in zip(NAMES, marks, strict=True)},
    )


def tube(radius, height):
    shape = trimesh.creation.cylinder(radius, height, sections=64, cap=False)
    shape = trimesh.Trimesh(shape.vertices, shape.faces[np.abs(shape.face_normals[:, 2]) < 0.5])
    for _ in range(4):
        shape = shape.subdivide()
    return Mesh(np.asarray(shape.vertices, np.float32), np.asarray(shape.faces, np.int32))


def test_a_straight_tube_has_its_own_measures():
    points = np.column_stack([np.zeros(501), np.zeros(501), np.linspace(-0.5, 0.5, 501)])
    found = colon_statistics(colon(points, tube(0.02, 1.0), (100, 200, 300, 450)))
    assert found.length == pytest.approx(1.0)
    assert found.calibre == pytest.approx(0.04, rel=0.01)
    assert found.passage == pytest.approx(0.018)
    assert found.tortuosity == pytest.approx(1.0)
    assert found.sigmoid_tortuosity == pytest.approx(1.0)
    assert found.flexures == 0
    assert found.sharpest > 10
    assert list(found.segment_lengths.values()) == pytest.approx([0.2, 0.2, 0.2, 0.3, 0.1])
    assert found.segment_lengths["sigmoid"] == pytest.approx(0.2)
    assert all(value == pytest.approx(0.04, rel=0.02) for value in found.calibres.values())


def test_two_half_circles_are_two_flexures_of_their_radius():
    turn = np.arange(0, np.pi, 0.002 / 0.04)
    first = np.column_stack([0.04 * (1 - np.cos(turn)), 0.04 * np.sin(turn), 0 * turn])
    down = first[-1] - np.column_stack([0 * np.arange(80), 0.002 * np.arange(1, 81), 0 * np.arange(80)])
    second = down[-1] + np.column_stack([0.04 * (1 - np.cos(turn)), -0.04 * np.sin(turn), 0 * turn])
    up = np.column_stack([np.zeros(100), -0.002 * np.arange(100, 0, -1), np.zeros(100)])
    found = colon_statistics(colon(np.vstack([up, first, down, second]), tube(0.02, 0.3), (40, 110, 200, 290)))
    assert found.flexures == 2
    assert found.sharpest == pytest.approx(0.04, rel=0.05)


def test_missing_landmarks_are_named():
    points = np.column_stack([np.zeros(50), np.zeros(50), np.linspace(-0.5, 0.5, 50)])
    patient = colon(points, tube(0.02, 1.0), (10, 20, 30, 40))
    del patient.landmarks["splenic_flexure"]
    with pytest.raises(InputError, match="splenic_flexure in patient made"):
        colon_statistics(patient)


def test_spread_gives_figures_of_real_colons():
    figures = {figure["name"]: figure for figure in spread(range(3))}
    for figure in figures.values():
        assert set(figure) == {"name", "subset", "value", "unit", "low", "high", "n", "how"}
        assert np.isfinite(figure["value"])
    assert figures["anatomy.length.mean"]["n"] == 3
    assert figures["anatomy.length.min"]["value"] <= figures["anatomy.length.mean"]["value"]
    assert figures["anatomy.length.mean"]["value"] <= figures["anatomy.length.max"]["value"]
    assert 1.0 < figures["anatomy.length.min"]["value"] < figures["anatomy.length.max"]["value"] < 2.1
    assert figures["anatomy.flexures.min"]["value"] >= 3
    assert figures["anatomy.calibre_caecum.mean"]["value"] > figures["anatomy.calibre_sigmoid.mean"]["value"]
    shares = [figure["value"] for name, figure in figures.items() if name.startswith("anatomy.polyps.I")]
    assert sum(shares) == pytest.approx(1.0)
