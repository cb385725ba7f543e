"""PyBullet's contacts against closed forms."""

import numpy as np
import pytest

from assets.errors import InputError
from assets.mesh import Mesh
from sim.world import BulletWorld


@pytest.fixture
def world():
    with BulletWorld() as opened:
        yield opened


def box(half: float) -> Mesh:
    """A cube, normals outwards."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32) * np.float32(half)
    faces = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]]
    faces += [[2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
    return Mesh(corners, np.array(faces, np.int32))


def test_a_hollow_anatomy_is_no_convex_hull(world):
    anatomy = world.add_anatomy(box(0.1))
    (ball,) = world.add_spheres([0.01])
    world.place([ball], np.zeros((1, 3)))
    assert world.nearest(ball, anatomy, 0.02) is None


def test_a_sphere_near_a_face_has_the_distance_of_a_plane(world):
    anatomy = world.add_anatomy(box(0.1))
    (ball,) = world.add_spheres([0.0066])
    for gap in (1.5e-3, 2e-4, -5e-4):
        world.place([ball], np.array([[0.02, -0.01, 0.1 - 0.0066 - gap]]))
        contact = world.nearest(ball, anatomy, 0.002)
        assert contact is not None
        assert contact.distance == pytest.approx(gap, abs=2e-6)
        np.testing.assert_allclose(contact.point, [0.02, -0.01, 0.1], atol=1e-4)
        np.testing.assert_allclose(contact.normal, [0, 0, -1], atol=1e-3)


def test_two_meshes_in_a_row_are_told_apart(world):
    small, large = world.add_anatomy(box(0.05)), world.add_anatomy(box(0.1))
    (ball,) = world.add_spheres([0.01])
    world.place([ball], np.array([[0.0, 0.0, 0.0895]]))
    assert world.nearest(ball, small, 0.002) is None
    assert world.nearest(ball, large, 0.002).distance == pytest.approx(5e-4, abs=2e-6)


def test_two_worlds_do_not_meet():
    with BulletWorld() as first, BulletWorld() as second:
        anatomy = first.add_anatomy(box(0.05))
        (mine,), (other,) = first.add_spheres([0.01]), second.add_spheres([0.01])
        first.place([mine], np.array([[0.0, 0.0, 0.041]]))
        second.place([other], np.array([[0.0, 0.0, 0.041]]))
        assert first.nearest(mine, anatomy, 0.002) is not None
        assert second.nearest(other, 0, 0.002).distance < 0  # the only body there is the ball itself


def test_an_empty_mesh_is_refused(world):
    with pytest.raises(InputError, match="empty"):
        world.add_anatomy(Mesh(np.zeros((3, 3), np.float32), np.zeros((0, 3), np.int32)))
