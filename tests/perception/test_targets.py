from dataclasses import replace

import numpy as np
import pytest

from assets.errors import InputError
from assets.labels import label_id
from perception.prediction import LUMEN, LUMEN_DISTANCE, POLYP, WALL
from perception.targets import camera_from_json, class_map, sample_targets, straight_distance
from sim.camera import Camera
from sim.frame_meta import json_bytes

LABELS = {"colon_wall": 7, "polyp": 9}


def test_a_sphere_around_the_camera_is_equally_far_in_every_pixel():
    camera = Camera.with_fov(32, 32, 140.0)
    rays, shown = camera.rays()
    depth = (0.037 * rays[..., 2]).astype(np.float32)
    np.testing.assert_allclose(straight_distance(depth, camera)[shown], 0.037, rtol=1e-5)


def test_classes_go_by_label_and_then_by_straight_distance():
    camera = Camera.with_fov(4, 1, 90.0, model="pinhole")
    _, shown = camera.rays()
    assert shown.all()
    z = LUMEN_DISTANCE * 0.999  # beyond the limit only at the edge pixels, whose rays are slanted
    semantic = np.array([[7, 7, 9, 9]], np.uint8)
    depth = np.full((1, 4), z, np.float32)
    slant = 1 / camera.rays()[0][0, :, 2]
    assert (slant[[0, 3]] > 1.1).all()
    assert (slant[[1, 2]] < 1.05).all()
    near = class_map(semantic, (depth / 1.05).astype(np.float32), camera, labels=LABELS)
    np.testing.assert_array_equal(near, [[LUMEN, WALL, POLYP, LUMEN]])


def test_nothing_and_other_structures_are_background():
    camera = Camera.with_fov(2, 1, 90.0, model="pinhole")
    classes = class_map(np.array([[0, 5]], np.uint8), np.array([[0, 0.01]], np.float32), camera, labels=LABELS)
    np.testing.assert_array_equal(classes, [[0, 0]])


def test_what_hides_the_wall_counts_as_wall():
    camera = Camera.with_fov(3, 1, 90.0, model="pinhole")
    semantic = np.array([[label_id("blood"), label_id("stool"), label_id("liver")]], np.uint8)
    classes = class_map(semantic, np.full((1, 3), 0.01, np.float32), camera)
    np.testing.assert_array_equal(classes, [[WALL, WALL, 0]])


def test_ids_come_from_the_table_when_no_map_is_given(make_sample):
    frame = make_sample().frame()
    given = class_map(frame.semantic, frame.depth, frame.camera, labels=make_sample().meta()["labels"])
    np.testing.assert_array_equal(class_map(frame.semantic, frame.depth, frame.camera), given)
    assert set(np.unique(given)) >= {0, WALL, LUMEN}


def test_a_sample_becomes_targets(make_sample):
    sample = make_sample(seed=3)
    frame, targets = sample.frame(), sample_targets(sample)
    np.testing.assert_array_equal(targets.rgb, frame.rgb)
    np.testing.assert_array_equal(targets.valid, frame.depth > 0)
    assert targets.exposure == frame.exposure
    assert targets.camera == frame.camera
    assert targets.patient == "tube"
    assert abs(np.linalg.norm(targets.lumen_direction) - 1) < 1e-5
    assert isinstance(targets.lumen_visible, bool)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lumen_direction", [0, 0, 2]),
        ("lumen_direction", "ahead"),
        ("lumen_direction", None),
        ("lumen_visible", 1),
        ("exposure", 0.0),
        ("patient", ""),
        ("labels", {"polyp": 3}),
        ("camera", {"width": 4}),
    ],
)
def test_bad_meta_is_refused_and_named(make_sample, key, value):
    sample = make_sample(size=16)
    meta = {**sample.meta(), key: value}
    bad = replace(sample, members={**sample.members, "meta.json": json_bytes(meta)})
    with pytest.raises(InputError, match=key):
        sample_targets(bad)


def test_a_channel_of_another_size_is_refused(make_sample):
    sample = make_sample(size=16)
    bad = replace(sample, members={**sample.members, "depth.png": make_sample(size=32).members["depth.png"]})
    with pytest.raises(InputError, match="depth"):
        sample_targets(bad)


def test_a_camera_survives_json():
    camera = Camera(8, 6, 5.0, 5.0, 3.5, 2.5, "fisheye", (0.1, 0.0, 0.0, 0.0), 4.0)
    stored = {**camera.__dict__, "distortion": list(camera.distortion)}
    assert camera_from_json(stored, "here") == camera
    with pytest.raises(InputError, match="here"):
        camera_from_json(None, "here")
