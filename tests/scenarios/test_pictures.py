import cv2
import numpy as np
import pytest

from assets.mesh import Mesh
from assets.patient import Centreline, Organ, Patient
from scenarios.pictures import (
    CLASS_COLOURS,
    class_overlay,
    curves,
    depth_colours,
    driver_colour,
    film_strip,
    id_colours,
    image_bytes,
    normal_colours,
    path_map,
    silhouette,
)


def box(size: tuple[float, float, float], centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Mesh:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = [t for a, b, c, d in faces for t in ((a, b, c), (a, c, d))]
    return Mesh((corners * size + centre).astype(np.float32), np.array(triangles, np.int32))


def a_patient() -> Patient:
    line = np.linspace((0, 0, -0.05), (0, 0, 0.05), 20)
    return Patient(
        "box",
        "test",
        "none",
        (
            Organ("colon_lumen", "colon_wall", "lumen", "colon_mucosa", box((0.06, 0.03, 0.1))),
            Organ("polyp_01", "polyp", "solid", "polyp", box((0.005, 0.005, 0.005), (0.02, 0, 0))),
        ),
        (Centreline("colon", line, np.full(20, 0.015)),),
        {"caecum": np.array([0, 0, 0.05])},
    )


def test_depth_gets_darker_with_distance_and_nothing_is_black() -> None:
    coloured = depth_colours(np.array([[0.0, 0.005, 0.03, 0.09, 5.0]], np.float32))
    assert coloured[0, 0].tolist() == [0, 0, 0]
    brightness = coloured[0, 1:].sum(axis=-1).astype(int)
    assert (np.diff(brightness) < 0).all()
    assert brightness[-1] > 0


def test_normals_and_ids_have_their_colours() -> None:
    normal = np.array([[[0, 0, -1], [0, 0, 0], [1, 0, 0]]], np.float32)
    np.testing.assert_array_equal(normal_colours(normal)[0], [[128, 128, 0], [0, 0, 0], [255, 128, 128]])
    ids = id_colours(np.arange(41, dtype=np.uint16)[None])[0]
    assert ids[0].tolist() == [0, 0, 0]
    assert len({tuple(colour) for colour in ids.tolist()}) == 41


def test_the_overlay_mixes_class_colours_and_leaves_the_background() -> None:
    rgb = np.full((1, 4, 3), 100, np.uint8)
    mixed = class_overlay(rgb, np.arange(4)[None], opacity=0.5)
    assert mixed[0, 0].tolist() == [100, 100, 100]
    np.testing.assert_allclose(mixed[0, 1:], (100 + np.array(CLASS_COLOURS[1:])) / 2, atol=0.51)


def test_a_film_strip_has_its_pictures_in_rows() -> None:
    images = [np.full((4, 6, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = film_strip(images, columns=2, gap=2)
    assert sheet.shape == (10, 14, 3)
    assert (sheet[:4, :6] == 10).all()
    assert (sheet[:4, 8:] == 20).all()
    assert (sheet[6:, :6] == 30).all()
    assert (sheet[6:, 8:] == 255).all()


@pytest.mark.parametrize(("viewer", "width"), [((0.0, 1.0, 0.0), 0.06), ((-1.0, 0.0, 0.0), 0.03)])
def test_a_silhouette_has_the_area_and_the_place_of_the_shape(viewer: tuple, width: float) -> None:
    picture, extent = silhouette(box((0.06, 0.03, 0.1), (0.01, 0.01, 0.02)), viewer, pixel=0.0005)
    assert np.count_nonzero(picture[..., 3]) * 0.0005**2 == pytest.approx(width * 0.1, rel=0.03)
    rows, columns = np.nonzero(picture[..., 3])
    across = extent[0] + (columns.mean() + 0.5) * 0.0005
    assert across == pytest.approx(-0.01, abs=0.001)  # right is on the left from the front, anterior from the left
    assert extent[3] - (rows.mean() + 0.5) * 0.0005 == pytest.approx(0.02, abs=0.001)


def test_the_map_shows_each_driver_s_path_in_its_colour() -> None:
    patient = a_patient()
    path = np.linspace((0.01, 0.005, -0.04), (0.01, 0.005, 0.04), 30)
    with_path, without = (
        cv2.imdecode(np.frombuffer(path_map(patient, paths), np.uint8), cv2.IMREAD_COLOR_RGB)
        for paths in ([("model", path)], [])
    )
    colour = np.array([int(driver_colour("model")[i : i + 2], 16) for i in (1, 3, 5)])
    near = [
        np.count_nonzero(np.abs(picture.astype(int) - colour).max(axis=-1) < 60) for picture in (with_path, without)
    ]
    assert near[0] > 1000
    assert near[1] == 0


def test_curves_take_what_the_log_has() -> None:
    log = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "note": "x"}]
    assert curves(log, {"a": ["missing"]}, "epoch") is None
    drawn = curves(log, {"a": ["loss", "note"], "b": []}, "epoch")
    assert drawn is not None
    assert cv2.imdecode(np.frombuffer(drawn, np.uint8), cv2.IMREAD_COLOR).shape[1] < 700  # one panel only


def test_png_is_exact_and_in_order() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(
        cv2.imdecode(np.frombuffer(image_bytes(image), np.uint8), cv2.IMREAD_COLOR_RGB), image
    )


def test_drivers_of_users_have_a_colour_too() -> None:
    assert driver_colour("mine.py:model") == driver_colour("model")
    assert driver_colour("mine.py:Robot").startswith("#")


def test_a_patient_without_a_lumen_shows_its_organs() -> None:
    solid = [Organ(name, name, "solid", "liver", box((0.06, 0.03, 0.1), centre)) for name, centre in
             (("liver", (0.1, 0, 0)), ("spleen", (-0.1, 0, 0)))]  # fmt: skip
    with_organs = cv2.imdecode(
        np.frombuffer(path_map(Patient("p", "test", "none", tuple(solid))), np.uint8), cv2.IMREAD_GRAYSCALE
    )
    empty = cv2.imdecode(np.frombuffer(path_map(Patient("p", "test", "none", ())), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert (with_organs < 250).mean() > (empty < 250).mean() + 0.02
