from dataclasses import replace

import numpy as np
import pytest

from assets.errors import InputError
from assets.labels import label_id
from assets.materials import load_materials
from sim.camera import Camera
from sim.degradations import tissue, tower
from sim.degradations.degrade import degrade, flow_holds
from sim.degradations.patterns import covered, stain, surface_points
from sim.degradations.settings import AXES, Degradations, draw_degradations, single
from sim.degradations.tone import to_codes, to_linear
from sim.frame import Frame
from sim.looks import View
from sim.render.appearance import Appearance
from sim.render.light import NARROW_BALANCE, narrow_band
from sim.render.tone import tone_table

SIZE = 96
ON_TISSUE = ("blood", "stool")
NEEDS_MOTION = ("motion_blur", "rolling_shutter")


def wall_frame(T_world_camera=None, *, distance=0.03, time=0.0) -> Frame:
    """A flat, textured wall straight ahead of a fisheye, lit as the square of the distance has it."""
    camera = replace(Camera.with_fov(SIZE, SIZE, 140.0), content_radius=0.5 * SIZE)
    rays, shown = camera.rays()
    pose = np.eye(4) if T_world_camera is None else T_world_camera
    depth = np.where(shown, distance - pose[2, 3], 0).astype(np.float32)
    texture = np.random.default_rng(1).random((SIZE // 3, SIZE // 3)).repeat(3, axis=0).repeat(3, axis=1)
    light = (0.4 * texture * rays[..., 2] ** 4)[..., None] * np.array([1.0, 0.5, 0.4])
    return Frame(
        rgb=np.where(shown[..., None], to_codes(light.astype(np.float32)), 0).astype(np.uint8),
        semantic=np.where(shown, label_id("colon_wall"), 0).astype(np.uint8),
        instance=shown.astype(np.uint16),
        depth=depth,
        normal=np.where(shown[..., None], [0, 0, -1], 0).astype(np.float32),
        flow=np.zeros((SIZE, SIZE, 2), np.float32),
        flow_valid=np.zeros((SIZE, SIZE), np.bool_),
        T_world_camera=pose,
        camera=camera,
        time=time,
        exposure=1.0,
    )


def moved_before() -> np.ndarray:
    """A pose from which the camera has come: turned by 8 degrees and 4 mm back."""
    angle = np.radians(8)
    pose = np.eye(4)
    pose[0, [0, 2]], pose[2, [0, 2]] = (np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))
    pose[2, 3] = -0.004
    return pose


def difference(one: Frame, other: Frame) -> float:
    return float(np.abs(one.rgb.astype(int) - other.rgb.astype(int)).mean())


@pytest.mark.parametrize("gamma", [1.0, 1 / 1.2, 1.2])
def test_tone_curve_is_the_renderers(gamma):
    light = np.geomspace(2**-11, 4.0, 200).astype(np.float32)
    bits = (light.view(np.uint32) >> 15).astype(int) - (114 << 8)
    kernel = tone_table(gamma)[bits].astype(int)
    ours = to_codes(np.repeat(light.reshape(1, -1, 1), 3, axis=2), gamma=gamma)[0, :, 0].astype(int)
    assert np.abs(kernel - ours).max() <= 1


@pytest.mark.parametrize("axis", ["smoke", "overexposure", "underexposure"])
def test_what_goes_wrong_is_light_whatever_the_tone_curve(axis):
    """A frame of a camera of another gamma goes wrong by the same light, and is coded by its own curve."""
    plain, gamma = wall_frame(), 1.2
    other = replace(plain, rgb=to_codes(to_linear(plain.rgb), gamma=gamma))
    wrong = single(axis, 0.6, seed=2)
    expected = degrade(plain, wrong)
    view = View(np.eye(4), 0.0, 0, None, wrong, None, 0.0)
    found, mistaken = (view.through(other, Appearance(gamma=one)) for one in (gamma, 1.0))
    found, mistaken = (replace(one, rgb=to_codes(to_linear(one.rgb, gamma=gamma))) for one in (found, mistaken))
    assert difference(found, expected) < 1  # roundings of codes, one of them before the light is raised
    assert difference(mistaken, expected) > 4


def test_a_clean_frame_is_handed_on():
    frame = wall_frame()
    assert degrade(frame, Degradations(seed=5)) is frame


@pytest.mark.parametrize("axis", AXES)
def test_each_axis_grows_with_its_severity_and_repeats(axis):
    frame, before = wall_frame(), moved_before()
    steps = [0.25, 0.5, 1.0]
    pictures = [degrade(frame, single(axis, s, seed=1), T_world_camera_before=before) for s in steps]
    off = [difference(frame, picture) for picture in pictures]
    assert 0 < off[0] < off[1] < off[2]
    again = degrade(frame, single(axis, 0.5, seed=1), T_world_camera_before=before)
    assert again.rgb.tobytes() == pictures[1].rgb.tobytes()
    _, shown = frame.camera.rays()
    assert not pictures[2].rgb[~shown].any()
    assert frame.rgb.tobytes() == wall_frame().rgb.tobytes()  # the clean frame is not written to


@pytest.mark.parametrize("axis", [axis for axis in AXES if axis not in (*ON_TISSUE, "rolling_shutter", "surround")])
def test_what_hides_nothing_leaves_the_truth(axis):
    frame = wall_frame()
    wrong = degrade(frame, single(axis, 1.0), T_world_camera_before=moved_before())
    for channel in ("semantic", "instance", "depth", "normal"):
        assert getattr(wrong, channel) is getattr(frame, channel) or np.array_equal(
            getattr(wrong, channel), getattr(frame, channel)
        )


@pytest.mark.parametrize("axis", ON_TISSUE)
def test_what_hides_the_tissue_is_labelled(axis):
    frame = wall_frame()
    light, heavy = (degrade(frame, single(axis, severity, seed=2)) for severity in (0.3, 1.0))
    share = [np.mean(one.semantic[frame.depth > 0] == label_id(axis)) for one in (light, heavy)]
    assert 0 < share[0] < share[1]
    assert 0.25 < share[1] < 0.85
    hidden = heavy.semantic == label_id(axis)
    assert not heavy.instance[hidden].any()
    assert np.array_equal(heavy.instance[~hidden], frame.instance[~hidden])
    assert np.array_equal(heavy.depth, frame.depth)


def test_blood_sticks_to_the_tissue():
    """The same points of the wall are bloody from nearer by: a nearer camera sees the middle of the picture larger."""
    nearer = np.eye(4)
    nearer[2, 3] = 0.01
    one, two = (degrade(wall_frame(pose), single("blood", 0.6, seed=4)) for pose in (np.eye(4), nearer))
    points = surface_points(two)
    pixels, _ = one.camera.project(points)  # the first camera stands in the origin
    column, row = np.rint(pixels).astype(int).reshape(-1, 2).T
    inside = (column >= 0) & (column < SIZE) & (row >= 0) & (row < SIZE) & (two.depth.ravel() > 0)
    first = one.semantic[np.clip(row, 0, SIZE - 1), np.clip(column, 0, SIZE - 1)]
    inside &= first > 0
    agree = first[inside] == two.semantic.ravel()[inside]
    assert agree.mean() > 0.95


def test_blood_thins_out_at_its_edge_by_beer_lambert():
    """Green tells how thick a thin film is, red how thick a pool is; the label is where half of the light is taken."""
    frame = wall_frame()
    mucosa = np.array(load_materials()["colon_mucosa"].optical.base_colour)
    _, shown = frame.camera.rays()
    even = replace(frame, rgb=np.where(shown[..., None], to_codes(np.full((SIZE, SIZE, 3), mucosa, np.float32)), 0))
    bloody = degrade(even, single("blood", 0.6, seed=4))
    clean, found = to_linear(even.rgb)[shown], to_linear(bloody.rgb)[shown].astype(np.float64)
    body = np.array([0.20, 0.008, 0.008]) * (clean @ [0.2126, 0.7152, 0.0722])[:, None] / 0.22
    through = (found - body) / (clean - body)
    red, green = through[:, 0], through[:, 1]
    thin, thick = (green > 0.1) & (green < 0.9), red < 0.9
    assert min(thin.mean(), thick.mean()) > 0.08
    np.testing.assert_allclose(red[thin], green[thin] ** (1.7e3 / 5.1e4), atol=0.03)
    np.testing.assert_allclose(green[thick], red[thick] ** (5.1e4 / 1.7e3), atol=0.03)
    weights = np.array([0.2126, 0.7152, 0.0722])
    taken = 1 - (clean * np.clip(through, 0, 1)) @ weights / (clean @ weights)
    labelled = (bloody.semantic == label_id("blood"))[shown]
    assert labelled.mean() > 0.2
    assert taken[labelled].min() > 0.45
    assert taken[~labelled].max() < 0.55


def test_blood_is_dark_in_narrow_bands():
    frame, look = wall_frame(), Appearance(narrow_band=True)
    mucosa = narrow_band(np.array(load_materials()["colon_mucosa"].optical.base_colour)) * NARROW_BALANCE
    rgb = to_codes((4 * np.tile(mucosa, (SIZE, SIZE, 1))).astype(np.float32))
    _, shown = frame.camera.rays()
    even = replace(frame, rgb=np.where(shown[..., None], rgb, 0).astype(np.uint8))
    white, narrow = (degrade(even, single("blood", 0.6, seed=4), look=one) for one in (None, look))
    np.testing.assert_array_equal(narrow.semantic, white.semantic)
    hidden = narrow.semantic == label_id("blood")
    assert (to_linear(narrow.rgb)[hidden] < 0.2 * to_linear(even.rgb)[hidden]).mean() > 0.95
    luminance = mucosa @ [0.2126, 0.7152, 0.0722]
    assert luminance == pytest.approx(tissue._MUCOSA_IN_NARROW_BANDS, rel=0.02)


def test_smoke_leaves_a_black_wall_the_share_of_light_that_koschmieder_has():
    """Between a white and a black wall the difference falls by exp(-density distance)."""
    frame = wall_frame()
    _, shown = frame.camera.rays()
    black = replace(frame, rgb=np.zeros_like(frame.rgb))
    grey = replace(frame, rgb=np.where(shown[..., None], [90, 90, 90], 0).astype(np.uint8))
    for severity in (0.4, 0.7):
        one, other = (to_linear(degrade(f, single("smoke", severity, seed=3)).rgb)[..., 1] for f in (grey, black))
        through = ((one - other)[shown] / to_linear(grey.rgb)[shown][:, 1]).mean()
        middle = np.exp(-3.0 * severity**2 * frame.depth[shown].mean() / 0.05)
        assert 0.4 * middle < through < 1.6 * middle  # the cloud is uneven and slanted rays go farther


def test_a_still_camera_blurs_nothing():
    frame = wall_frame()
    for axis in NEEDS_MOTION:
        for before in (None, np.eye(4)):
            wrong = degrade(frame, single(axis, 1.0), T_world_camera_before=before)
            assert difference(frame, wrong) < 0.6  # rounding of the tone curve alone


def test_rolling_shutter_moves_masks_and_picture_alike():
    frame = wall_frame()
    half = np.arange(SIZE) < SIZE // 2
    semantic = np.where(half[None, :] & (frame.depth > 0), label_id("polyp"), frame.semantic).astype(np.uint8)
    grey = np.where(semantic == label_id("polyp"), 200, 40) * (frame.depth > 0)
    rgb = grey[..., None].repeat(3, axis=2)
    wrong = degrade(
        replace(frame, semantic=semantic, rgb=rgb.astype(np.uint8)),
        single("rolling_shutter", 1.0),
        T_world_camera_before=moved_before(),
        dt=1 / 30,
    )
    seen = wrong.depth > 0
    bright = wrong.rgb[..., 0] > 120
    assert (wrong.semantic != semantic)[seen].mean() > 0.01
    assert ((wrong.semantic == label_id("polyp")) == bright)[seen].mean() > 0.97
    assert np.array_equal(wrong.semantic[-1], semantic[-1])  # the last row is read when the frame says


def gap_frame() -> Frame:
    """A gap of 2 mm between a dark wall on the left and a white polyp on the right, both flat; 30 mm deep."""
    frame = wall_frame()
    rays, shown = frame.camera.rays()
    along = np.minimum(0.001 / np.maximum(np.abs(rays[..., 0]), 1e-6), 0.03 / np.maximum(rays[..., 2], 1e-6))
    end = along * rays[..., 2] > 0.0299
    polyp = shown & ~end & (rays[..., 0] > 0)
    normal = np.where(end[..., None], [0, 0, -1], -np.sign(rays[..., :1]) * [1, 0, 0]) * shown[..., None]
    return replace(
        frame,
        rgb=(np.where(polyp, 200, 40) * shown)[..., None].repeat(3, axis=2).astype(np.uint8),
        semantic=np.where(polyp, label_id("polyp"), frame.semantic).astype(np.uint8),
        instance=np.where(polyp, 2, frame.instance).astype(np.uint16),
        depth=(along * rays[..., 2] * shown).astype(np.float32),
        normal=normal.astype(np.float32),
    )


def test_rolling_shutter_turns_no_back_to_a_lens_in_a_narrow_gap():
    frame = gap_frame()
    rays, _ = frame.camera.rays()
    before = moved_before()
    wrong = degrade(frame, single("rolling_shutter", 1.0), T_world_camera_before=before, dt=1 / 30)
    assert (wrong.normal * rays).sum(axis=-1).max() < 1e-6
    polyp = wrong.semantic == label_id("polyp")
    assert (polyp != (frame.semantic == label_id("polyp"))).sum() > 50
    assert np.array_equal(polyp, wrong.instance == 2)
    assert np.array_equal(polyp, wrong.normal[..., 0] < 0)
    assert (polyp == (wrong.rgb[..., 0] > 120)).mean() > 0.97


CHANNELS = ("rgb", "semantic", "instance", "depth", "normal")


@pytest.mark.parametrize(("seed", "kind"), [(0, "octagon"), (1, "rounded"), (2, "disc")])
def test_beyond_the_surround_there_is_nothing_in_any_channel(seed, kind, monkeypatch):
    monkeypatch.setattr(tower, "_KINDS", (kind,))
    frame = wall_frame()
    clear = single("surround", 1.0, seed=seed)
    wrong = degrade(frame, clear)
    shown = tower.uncovered(frame.camera, clear)
    for name in CHANNELS:
        assert not getattr(wrong, name)[~shown].any()
        assert np.array_equal(getattr(wrong, name)[shown], getattr(frame, name)[shown]) or name == "rgb"
    # of unit half sides 0.4 of the width: the octagon lacks four triangles of legs 0.6, |x|^5 + |y|^5 <= 1 is known
    whole = 0.64 * (SIZE - 1) ** 2
    area = {"octagon": (1 - 0.5 * 0.6**2) * whole, "rounded": 0.9501 * whole, "disc": np.pi * (0.42 * SIZE) ** 2}
    assert shown.sum() == pytest.approx(area[kind], rel=0.03)
    assert np.array_equal(shown, shown[::-1, ::-1])


def test_the_seed_says_which_shape_the_surround_has():
    camera = wall_frame().camera
    shapes = {tower.uncovered(camera, single("surround", 0.5, seed=seed)).tobytes() for seed in range(30)}
    assert len(shapes) == 3


def test_flow_holds_within_the_surround_and_not_under_a_rolling_shutter():
    camera = wall_frame().camera
    assert flow_holds(camera, single("blood", 1.0)).all()
    assert not flow_holds(camera, single("rolling_shutter", 0.1)).any()
    clear = single("surround", 0.7)
    assert np.array_equal(flow_holds(camera, clear), tower.uncovered(camera, clear))


def test_stain_is_unit_noise_and_covers_the_share_asked_for():
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.2, 0.2, (200, 200, 3))
    noise = stain(points, 0.01, 3)
    assert noise.mean() == pytest.approx(0, abs=0.12)
    assert noise.std() == pytest.approx(0.85, abs=0.15)  # linear interpolation takes some of the unit variance
    assert covered(noise, 0.3, 0.05).mean() == pytest.approx(0.3, abs=0.08)


def test_drawing_follows_the_generator_and_the_share():
    first, again = (draw_degradations(np.random.default_rng(8), share=0.5) for _ in range(2))
    assert first == again
    assert first != draw_degradations(np.random.default_rng(9), share=0.5)
    assert draw_degradations(np.random.default_rng(0), share=0.0).clean
    all_there = draw_degradations(np.random.default_rng(0), share=1.0, axes=("smoke", "fog"), worst=0.4)
    assert 0 < all_there.smoke < 0.4
    assert all_there.blood == 0
    drawn = [draw_degradations(np.random.default_rng(k)) for k in range(300)]
    count = np.mean([sum(getattr(one, axis) > 0 for axis in AXES) for one in drawn])
    assert count == pytest.approx(0.15 * len(AXES), rel=0.2)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: single("rain", 0.5), "expected an axis of smoke"),
        (lambda: single("smoke", 1.5), "found 1.5 for smoke"),
        (lambda: single("smoke", float("nan")), "found nan for smoke"),
        (lambda: Degradations(seed=-1), "seed of at least 0"),
        (lambda: draw_degradations(np.random.default_rng(0), axes=("rain",)), "found rain"),
        (lambda: draw_degradations(np.random.default_rng(0), share=2.0), "within 0 and 1"),
        (lambda: degrade(wall_frame(), single("fog", 0.5), dt=0.0), "positive time"),
        (
            lambda: degrade(wall_frame(), single("fog", 0.5), T_world_camera_before=np.full((4, 4), np.nan)),
            "finite pose",
        ),
    ],
)
def test_wrong_values_are_refused_in_one_line(make, expected):
    with pytest.raises(InputError, match=expected) as caught:
        make()
    assert "\n" not in str(caught.value)
