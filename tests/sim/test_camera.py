from dataclasses import replace

import cv2
import numpy as np
import pytest

from assets.errors import InputError
from sim.camera import Camera
from sim.lens_models import lens_of

BROWN = Camera(160, 120, 90.0, 88.0, 80.4, 58.7, "brown", (-0.28, 0.07, 0.004, -0.006, -0.008))
FISHEYE = Camera(160, 120, 60.0, 61.0, 80.4, 58.7, "fisheye", (-0.03, 0.004, 0.001, -0.0005))
OMNI = Camera.omnidirectional(
    1350, 1080, (679.5, 543.98), (769.24, -8.13e-4, -6.26e-7, -1.2e-9, 0.99995, 0.00014, -0.00009)
)
CAMERAS = {
    "pinhole": Camera.with_fov(160, 120, 90.0, model="pinhole"),
    "fisheye": FISHEYE,
    "brown": BROWN,
    "omnidirectional": OMNI,
}


@pytest.mark.parametrize("name", CAMERAS)
def test_a_ray_projects_back_to_its_pixel(name):
    camera = CAMERAS[name]
    rays, shown = camera.rays()
    assert shown.mean() > 0.8
    np.testing.assert_allclose(np.linalg.norm(rays[shown], axis=-1), 1, atol=1e-6)
    pixels, in_front = camera.project(rays[shown].astype(np.float64) * 0.037)
    assert in_front.all()
    rows, columns = np.nonzero(shown)
    # rays are single precision: a millionth of a radian is a tenth of a hundredth of a pixel here
    np.testing.assert_allclose(pixels, np.stack([columns, rows], axis=-1), atol=2e-3)
    assert not rays[~shown].any()


def directions(count=400, widest=0.9):
    rng = np.random.default_rng(0)
    angle, turn = rng.uniform(0, widest, count), rng.uniform(0, 2 * np.pi, count)
    return np.stack([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), np.cos(angle)], axis=-1)


def matrix(camera):
    return np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])


def test_brown_is_opencvs():
    points = directions(widest=0.7)
    k1, k2, p1, p2, k3 = BROWN.distortion
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix(BROWN), np.array([k1, k2, p1, p2, k3]))
    np.testing.assert_allclose(BROWN.project(points)[0], expected[:, 0], atol=1e-9)


def test_the_fisheye_is_opencvs():
    points = directions(widest=1.3)
    expected, _ = cv2.fisheye.projectPoints(
        points[:, None], np.zeros(3), np.zeros(3), matrix(FISHEYE), np.array(FISHEYE.distortion)
    )
    np.testing.assert_allclose(FISHEYE.project(points)[0], expected[:, 0], atol=1e-9)


def test_the_omnidirectional_lens_is_its_polynomial():
    a0, a2, a3, a4, c, d, e = OMNI.distortion
    rng = np.random.default_rng(1)
    inner = rng.uniform(-400, 400, (200, 2))
    r = np.linalg.norm(inner, axis=1)
    points = np.column_stack([inner, a0 + a2 * r**2 + a3 * r**3 + a4 * r**4])
    expected = inner @ np.array([[c, d], [e, 1]]).T + [OMNI.cx, OMNI.cy]
    np.testing.assert_allclose(OMNI.project(points * 1e-4)[0], expected, atol=1e-6)
    # Near the axis it is a pinhole of focal length a0.
    np.testing.assert_allclose(OMNI.project(np.array([[0.001, 0, 1.0]]))[0][0, 0], OMNI.cx + 0.769 * c, atol=1e-3)
    rays, shown = OMNI.rays()
    assert 60 < np.degrees(np.arccos(rays[shown][:, 2].min())) < 90


@pytest.mark.parametrize("distortion", [(-0.5, 0.0, 0.0, 0.0, 0.0), (0.3, 0.1, 0.0, 0.0, 0.0)])
def test_where_brown_turns_back_nothing_is_imaged(distortion):
    camera = Camera(200, 200, 60.0, 60.0, 99.5, 99.5, "brown", distortion)
    rays, shown = camera.rays()
    if distortion[0] < 0:  # r (1 - r^2 / 2) is never more than 0.544
        radius = np.hypot(*np.meshgrid(*[(np.arange(200) - 99.5) / 60] * 2))
        np.testing.assert_array_equal(shown, radius < np.sqrt(2 / 3) * (1 - 1 / 3))
    else:
        assert shown.all()
    pixels, _ = camera.project(rays[shown].astype(np.float64))
    rows, columns = np.nonzero(shown)
    assert np.abs(pixels - np.stack([columns, rows], axis=-1)).max() < 0.02


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": "brown", "distortion": (0.1, 0.0)}, "k1, k2, p1, p2, k3 of a brown lens"),
        ({"model": "fisheye", "distortion": ()}, "k1, k2, k3, k4 of a fisheye lens"),
        ({"model": "pinhole", "distortion": (0.1,)}, "no distortion of a pinhole"),
        ({"model": "omnidirectional", "distortion": (-5.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0)}, "a0 above 0"),
        ({"model": "omnidirectional", "distortion": (50.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0)}, "to be its a0"),
        ({"distortion": (float("nan"),) * 4}, "finite intrinsics"),
        ({"width": 0}, "a size of 1 to"),
        ({"fx": -1.0}, "positive focal lengths"),
    ],
)
def test_absurd_cameras_are_refused(change, expected):
    with pytest.raises(InputError, match=expected):
        replace(FISHEYE, **change)


def test_a_lens_is_made_by_its_angle_for_two_models_alone():
    with pytest.raises(InputError, match="a pinhole or a fisheye"):
        Camera.with_fov(64, 64, 120.0, model="brown")
    with pytest.raises(InputError, match="within 0 and 180"):
        Camera.with_fov(64, 64, 180.0)
    with pytest.raises(InputError):
        Camera.omnidirectional(64, 64, (31.5, 31.5), ())
    assert lens_of("pinhole", (0.0, 0.0, 0.0, 0.0)).radius(np.array(0.0)) == 0
