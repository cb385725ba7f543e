"""The tone curve: in closed form, in the picture of either order of shading, and undone."""

import numpy as np
import pytest

from assets.errors import InputError
from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from sim.camera import Camera
from sim.degradations.tone import to_codes, to_linear
from sim.render.appearance import Appearance
from sim.render.renderer import Renderer
from sim.render.shading import TONE_FIRST, TONE_SIZE
from sim.render.tone import tone_table
from sim.scene_objects import SceneObject

GAMMAS = (1 / 1.2, 1.0, 1.2)


def lights():
    """The middle of each entry of the table."""
    bits = (np.arange(TONE_SIZE, dtype=np.uint32) + TONE_FIRST) << 15
    return (bits + (1 << 14)).view(np.float32).astype(np.float64)


def srgb(display):
    return np.where(display <= 0.0031308, 12.92 * display, 1.055 * display ** (1 / 2.4) - 0.055)


def display_of(rgb):
    coded = rgb / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def test_the_default_curve_has_no_exponent():
    codes = np.round(255 * srgb(1 - np.exp(-1.3 * lights()))).astype(np.uint8)
    assert Appearance().gamma == 1.0
    np.testing.assert_array_equal(tone_table(Appearance().gamma)[1:], codes[1:])


@pytest.mark.parametrize("gamma", GAMMAS)
def test_the_curve_rises_from_black_to_white(gamma):
    table = tone_table(gamma)
    assert (np.diff(table.astype(int)) >= 0).all()
    assert (int(table[0]), int(table[-1])) == (0, 255)
    expected = 255 * srgb((1 - np.exp(-1.3 * lights())) ** gamma)
    assert np.abs(table[1:] - expected[1:]).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("shading", ["runs", "pixels"])
def test_gamma_is_an_exponent_on_the_pictures_display_light(shading):
    corners = np.array([[-1, 1, 0.03], [1, 1, 0.03], [1, -1, 0.03], [-1, -1, 0.03]], np.float32)
    mesh = Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    wall = SceneObject("wall", mesh, label_id("polyp"), load_materials()["colon_mucosa"], "solid")
    with Renderer([wall], Camera.with_fov(48, 40, 120.0), shading=shading) as renderer:
        looks = [Appearance(gamma=gamma) for gamma in (1.0, 0.8, 1.25, 1.0)]
        plain, brighter, darker, again = (frame.rgb for frame in renderer.render_looks(np.eye(4), looks, seed=2))
    np.testing.assert_array_equal(plain, again)
    display = display_of(plain)
    for gamma, picture in ((0.8, brighter), (1.25, darker)):
        # Half a code of rounding in either picture.
        low, high = (display_of(np.clip(plain + side, 0, 255)) ** gamma for side in (-0.5, 0.5))
        assert (picture >= 255 * srgb(low) - 0.51).all()
        assert (picture <= 255 * srgb(high) + 0.51).all()
    middle = (display > 0.1) & (display < 0.6)
    assert middle.sum() > 500
    assert (darker[middle] < plain[middle]).all()
    assert (brighter[middle] > plain[middle]).all()


@pytest.mark.parametrize("gamma", GAMMAS)
def test_the_curve_is_undone(gamma):
    codes = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    back = to_codes(to_linear(codes, gamma=gamma), gamma=gamma).astype(int)
    assert np.abs(back - codes).max() <= 1


@pytest.mark.parametrize("gamma", [0.0, -1.0, float("nan"), float("inf")])
def test_a_gamma_that_makes_no_curve_is_refused(gamma):
    with pytest.raises(InputError, match="gamma"):
        Appearance(gamma=gamma)
