"""The scripted cut: what the blade lays open, and that nothing is lost."""

import numpy as np

from scenarios.play_cut import PICTURES, block, cut_block, finer, way


def test_the_finer_outside_is_closed_and_as_large():
    mesh = block()
    skin = finer(mesh)
    assert len(skin.triangles) == 4 * len(mesh.surface)
    corners = skin.vertices[skin.triangles].astype(np.float64)
    enclosed = np.einsum("ti,ti->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert np.isclose(enclosed, mesh.volumes.sum(), rtol=1e-5)


def test_the_cut_opens_and_keeps_its_volume():
    told = [record for _, record in cut_block((48, 36), 0, 1)]
    assert len(told) == PICTURES
    assert told[-1]["cut_faces"] > 100  # 52 mm long, 13 mm deep, in cells of 5 mm with two triangles on each side
    assert all(abs(record["volume"] - 1) < 0.01 for record in told)
    # No skin bridges the cut, which opens by 10 mm: edges are 3.5 mm long at most before they are stretched.
    assert max(record["longest_skin_edge"] for record in told) < 0.007
    faces = [record["cut_faces"] for record in told]
    assert faces == sorted(faces)
    assert abs(way(np.linspace(0, 1, 9))[:, 1]).max() == 0
