"""The drawn surface is parted along a cut, and what was laid open is a surface too."""

import numpy as np
import pytest

from assets.errors import InputError
from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from sim.soft.body import SoftBody
from sim.soft.cut_surface import cut_surface, laid_open
from sim.soft.cutters import Edge
from sim.soft.embedding import EmbeddedSurface
from sim.soft.splitting import pieces
from sim.soft.sweep import Sweep
from sim.soft.tet_mesh import surface_areas, tet_mesh
from sim.soft.tet_shapes import box

SIZE = (0.08, 0.04, 0.06)


def skin_of(cells):
    """The block's own outside, in triangles of its own."""
    fine = tet_mesh(*box(SIZE, cells), "liver")
    used, triangles = np.unique(fine.surface, return_inverse=True)
    return Mesh(fine.nodes[used].astype(np.float32), triangles.reshape(-1, 3).astype(np.int32))


def sweep_at(x):
    return Sweep((x, -0.01, -0.01), (x, -0.01, 0.07), (x, 0.05, -0.01), (x, 0.05, 0.07))


@pytest.fixture
def body():
    return SoftBody(tet_mesh(*box(SIZE, (8, 4, 6)), "liver"), gravity=(0, 0, 0))


def area(vertices, triangles):
    return np.linalg.norm(surface_areas(vertices.astype(float), triangles), axis=1).sum()


def apart(body, gap):
    """Take the halves apart along x."""
    piece = pieces(body.mesh)
    right = np.zeros(len(body.positions), bool)
    right[body.mesh.tets[piece == piece[-1]]] = True
    body.place(body.mesh.nodes + np.where(right[:, None], [gap, 0, 0], 0.0))


@pytest.mark.parametrize("x", [0.0412, 0.0437])
def test_a_skin_is_divided_at_the_blade_and_goes_apart_with_the_tissue(body, x):
    skin = EmbeddedSurface(skin_of((13, 7, 11)), body)
    whole = area(*(skin.update()[0], skin.triangles))
    cut = body.cut(sweep_at(x))
    parted = cut_surface(skin, [cut])
    vertices, _ = parted.update()
    assert area(vertices, parted.triangles) == pytest.approx(whole, rel=1e-5)
    assert len(vertices) > len(skin.binding.rest)
    np.testing.assert_allclose(vertices[: len(skin.binding.rest)], skin.binding.rest, atol=1e-6)
    apart(body, 0.05)
    vertices, _ = parted.update()
    corners = vertices[parted.triangles][..., 0]
    assert area(vertices, parted.triangles) == pytest.approx(whole, rel=1e-5)
    left = corners.max(axis=1) < x + 1e-6
    right = corners.min(axis=1) > x + 0.05 - 1e-6
    assert (left | right).all()
    faces = laid_open(body, parted)
    drawn, _ = faces.update()
    sides = drawn[faces.triangles][..., 0].mean(axis=1)
    assert set(np.round(sides.astype(float), 4)) == {round(x, 4), round(x + 0.05, 4)}
    both = 2 * 0.04 * 0.06
    bare = laid_open(body)
    assert area(bare.update()[0], bare.triangles) == pytest.approx(both, rel=1e-6)
    # Outwards: away from the tissue that they belong to.
    drawn, _ = bare.update()
    way = surface_areas(drawn.astype(float), bare.triangles)[:, 0]
    sides = drawn[bare.triangles][..., 0].mean(axis=1)
    assert (way[sides < x + 0.01] > 0).all()
    assert (way[sides > x + 0.01] < 0).all()


def test_the_skin_and_what_was_laid_open_close_each_half(body):
    skin = EmbeddedSurface(skin_of((8, 4, 6)), body)
    parted = cut_surface(skin, [body.cut(sweep_at(0.043))])
    bare = laid_open(body)
    total = sum(surface_areas(s.update()[0].astype(float), s.triangles).sum(axis=0) for s in (parted, bare))
    np.testing.assert_allclose(total, 0, atol=1e-8)
    volume = sum(
        np.einsum("ij,ij->", s.update()[0][s.triangles].mean(axis=1), surface_areas(s.update()[0], s.triangles)) / 3
        for s in (parted, bare)
    )
    assert volume == pytest.approx(body.mesh.volumes.sum(), rel=1e-5)


def test_a_skin_cut_in_small_steps_leaves_no_threads(body):
    skin = EmbeddedSurface(skin_of((13, 7, 11)), body)
    tool = np.eye(4)
    tool[:3, 3] = [0.0412, -0.004, 0.0]
    blade = Edge(np.array([[0.0, 0, -0.01], [0.0, 0, 0.07]]), tool)
    for _ in range(16):
        tool = tool.copy()
        tool[1, 3] += 0.003
        skin = cut_surface(skin, blade.move(body, tool))
    apart(body, 0.05)
    vertices, _ = skin.update()
    spread = np.ptp(vertices[skin.triangles][..., 0], axis=1)
    assert (spread < 0.04).all()


def test_a_surface_of_before_the_cut_is_refused(body):
    skin = EmbeddedSurface(skin_of((8, 4, 6)), body)
    assert laid_open(body) is None
    assert cut_surface(skin, []) is skin
    state = body.save_state()
    first = body.cut(sweep_at(0.043))
    with pytest.raises(InputError, match="expected a surface of the body as it is cut now"):
        skin.update()
    body.cut(sweep_at(0.063))
    with pytest.raises(InputError, match="expected all cuts up to now"):
        cut_surface(skin, [first])
    body.restore_state(state)
    assert len(skin.update()[0]) == len(skin.binding.rest)


def test_cut_tissue_has_a_label_and_a_material_of_its_own():
    assert label_id("cut_tissue") == 163
    assert load_materials()["cut_tissue"].optical.base_colour != load_materials()["liver"].optical.base_colour
