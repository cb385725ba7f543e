"""Drawn looks: each setting belongs to one axis, and the light guides stay within the endoscope's tip."""

from dataclasses import asdict, fields, replace

import numpy as np
import pytest

from assets.errors import InputError
from assets.transforms import apply
from sim.bronchoscopy import LIGHT
from sim.camera import Camera
from sim.render.appearance import Appearance, LightSettings
from sim.render.look import guides_of
from sim.render.randomiser import AXES, GAMMA_FACTOR, NARROW_BAND_SHARE, draw_appearance
from sim.stereo import StereoRig

STANDARD = asdict(Appearance())


def drawn(count: int, **options: object) -> list[dict[str, object]]:
    return [asdict(draw_appearance(np.random.default_rng(seed), **options)) for seed in range(count)]


def changed(looks: list[dict[str, object]]) -> set[str]:
    return {name for look in looks for name in look if look[name] != STANDARD[name]}


def test_a_look_depends_on_the_generator_alone():
    draws = [draw_appearance(np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_each_setting_is_drawn_by_one_axis():
    names = [changed(drawn(100, vary=[axis])) for axis in AXES]
    assert set.union(*names) == {field.name for field in fields(Appearance)}
    assert sum(map(len, names)) == len(fields(Appearance))
    assert "hue" in names[0]
    assert "narrow_band" in names[1]
    assert "read_noise" in names[2]
    assert drawn(3, vary=()) == [STANDARD] * 3


def test_an_axis_is_drawn_the_same_whatever_else_varies():
    for axis in AXES:
        for alone, among in zip(drawn(5, vary=[axis]), drawn(5), strict=True):
            assert all(among[name] == alone[name] for name in changed([alone]))


def test_an_unknown_axis_is_refused():
    with pytest.raises(InputError, match="expected axes of texture, light, sensor, found colour"):
        draw_appearance(np.random.default_rng(0), vary=["texture", "colour"])


def test_few_looks_are_in_narrow_bands():
    share = np.mean([look["narrow_band"] for look in drawn(2000)])
    assert share == pytest.approx(NARROW_BAND_SHARE, abs=3 * np.sqrt(NARROW_BAND_SHARE / 2000))


def test_gamma_is_drawn_evenly_in_its_logarithm_and_leaves_the_generator_as_it_was():
    rng, other = np.random.default_rng(7), np.random.default_rng(7)
    gammas = [draw_appearance(rng).gamma for _ in range(2000)]
    logs = np.log(gammas) / np.log(GAMMA_FACTOR)
    assert np.histogram(logs, bins=4, range=(-1, 1))[0] == pytest.approx(500, abs=80)
    # The child is not of the stream: one that has spawned already draws all else alike.
    other.spawn(1)
    later = draw_appearance(other)
    first = draw_appearance(np.random.default_rng(7))
    assert later.gamma != first.gamma
    assert replace(later, gamma=first.gamma) == first


@pytest.mark.parametrize(("light", "tip"), [(LightSettings(), 0.0056), (LIGHT, 0.0029)])
def test_drawn_guides_stand_beside_the_lens_and_within_the_tip(light, tip):
    looks = [draw_appearance(np.random.default_rng(seed), vary=["light"]) for seed in range(300)]
    places = np.array([guides_of(light, look) for look in looks])
    away = np.linalg.norm(places[..., :2], axis=-1)
    assert away.min() > 0.0004
    assert away.max() < tip
    lone = np.array([look.lone_guide for look in looks])
    assert ((places[:, 0] == places[:, 1]).all(axis=-1) == lone).all()
    angles = np.arctan2(places[:, 0, 1], places[:, 0, 0])
    assert np.histogram(angles, bins=4, range=(-np.pi, np.pi))[0].min() > 40


def test_guides_are_turned_and_spread_about_the_axis_in_closed_form():
    light = LightSettings(positions=((0.003, 0.0, 0.001), (0.0, -0.002, 0.0)))
    look = Appearance(guide_turn=np.pi / 2, guide_spread=2.0, light_shift=(0.0, 0.0005))
    np.testing.assert_allclose(guides_of(light, look), [[0, 0.0065, 0.001], [0.004, 0.0005, 0]], atol=1e-12)
    lone = Appearance(lone_guide=True)
    np.testing.assert_array_equal(guides_of(light, lone), [light.positions[0]] * 2)


def test_both_eyes_have_the_same_guides():
    rig = StereoRig.parallel(Camera.with_fov(32, 32, 90.0, model="pinhole"), 0.004)
    left = LightSettings()
    for seed in range(5):
        look = draw_appearance(np.random.default_rng(seed))
        right = guides_of(left.seen_from(np.linalg.inv(rig.T_left_right)), look)
        np.testing.assert_allclose(apply(rig.T_left_right, right), guides_of(left, look), atol=1e-12)
