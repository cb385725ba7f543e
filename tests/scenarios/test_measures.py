import numpy as np
import pytest

from assets.mesh import Mesh
from scenarios.measures import MucosaSeen, PolypsFound, WallContact
from sim.camera import Camera
from sim.frame import Frame

SIZE = 32


def make_frame(*, distance: float = 0.03, instance: np.ndarray | None = None) -> Frame:
    """A plane across the view at a z-depth [m]."""
    camera = Camera.with_fov(SIZE, SIZE, 40.0, model="pinhole")
    shape = (SIZE, SIZE)
    normal = np.zeros((*shape, 3), np.float32)
    normal[..., 2] = -1.0
    return Frame(
        rgb=np.zeros((*shape, 3), np.uint8),
        semantic=np.ones(shape, np.uint8),
        instance=np.ones(shape, np.uint16) if instance is None else instance.astype(np.uint16),
        depth=np.full(shape, distance, np.float32),
        normal=normal,
        flow=np.zeros((*shape, 2), np.float32),
        flow_valid=np.zeros(shape, bool),
        T_world_camera=np.eye(4),
        camera=camera,
        time=0.0,
        exposure=1.0,
    )


def two_patches() -> Mesh:
    """Two far triangles of areas 1 and 3 (in units of 0.5e-6 m^2), so in two patches."""
    vertices = np.array([[0, 0, 0], [1e-3, 0, 0], [0, 1e-3, 0], [0.1, 0, 0], [0.103, 0, 0], [0.1, 1e-3, 0]], np.float32)
    return Mesh(vertices, np.array([[0, 1, 2], [3, 4, 5]], np.int32))


def seen_share(frame: Frame, pixels: int, triangle: int) -> float:
    triangles = np.full((SIZE, SIZE), -1, np.int32)
    triangles[16, 10 : 10 + pixels] = triangle
    measure = MucosaSeen(two_patches())
    measure.add(frame, triangles)
    return measure.share


def test_mucosa_is_seen_from_four_pixels_on_and_weighed_by_area():
    assert seen_share(make_frame(), 3, 1) == 0
    assert seen_share(make_frame(), 4, 1) == pytest.approx(0.75)
    assert seen_share(make_frame(), 4, 0) == pytest.approx(0.25)


def test_mucosa_farther_than_50_mm_is_not_seen():
    assert seen_share(make_frame(distance=0.049), 4, 1) > 0
    assert seen_share(make_frame(distance=0.051), 4, 1) == 0


def test_mucosa_at_a_glancing_angle_is_not_seen():
    frame = make_frame()
    for degrees, seen in ((70, True), (80, False)):
        turned = np.array([np.sin(np.radians(degrees)), 0, -np.cos(np.radians(degrees))], np.float32)
        frame.normal[:] = turned
        # at the middle of the picture the ray runs along z, so the angle to the normal is the one set
        triangles = np.full((SIZE, SIZE), -1, np.int32)
        triangles[14:18, 15:17] = 1
        measure = MucosaSeen(two_patches())
        measure.add(frame, triangles)
        assert (measure.share > 0) == seen


def disc(u: int, v: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.hypot(x - u, y - v) <= radius


def test_a_polyp_is_found_in_the_third_frame_of_enough_overlap():
    truth = disc(10, 10, 5)
    frame = make_frame(instance=np.where(truth, 7, 1))
    measure = PolypsFound([7, 8])
    for count in range(1, 4):
        measure.add(frame, truth)
        assert measure.found == (1 if count == 3 else 0)
    assert measure.present == 2
    assert measure.false_alarms == 0


@pytest.mark.parametrize(("radius", "found"), [(2.5, 0), (3.5, 1)])
def test_overlap_below_iou_of_0_3_does_not_count(radius: float, found: int):
    frame = make_frame(instance=np.where(disc(10, 10, 5), 7, 1))
    predicted = disc(10, 10, radius)
    iou = predicted.sum() / disc(10, 10, 5).sum()
    assert (iou >= 0.3) == found
    measure = PolypsFound([7])
    for _ in range(3):
        measure.add(frame, predicted)
    assert measure.found == found


def test_false_alarms_are_runs_of_three_frames():
    frame = make_frame()
    measure = PolypsFound([])
    nothing, something, speck = np.zeros((SIZE, SIZE), bool), disc(20, 20, 4), disc(20, 20, 1)
    for mask in (something, something, nothing, speck, speck, speck, something, something, something, something):
        measure.add(frame, mask)
    assert measure.false_alarms == 1
    assert measure.found == 0


def test_a_mask_on_a_polyp_is_no_false_alarm():
    frame = make_frame(instance=np.where(disc(10, 10, 5), 7, 1))
    measure = PolypsFound([7])
    for _ in range(5):
        measure.add(frame, disc(12, 10, 12))
    assert measure.false_alarms == 0


def test_wall_contact_sums_time_and_keeps_the_deepest():
    contact = WallContact()
    contact.add(True, 0.001, 0.1)
    contact.add(False, 0.0, 0.1)
    contact.add(True, 0.0004, 0.1)
    assert contact.time == pytest.approx(0.2)
    assert contact.deepest == 0.001
