"""Light: colour temperature against tabulated illuminants, narrow bands, a sphere's exact shadow, looks."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from assets.errors import InputError
from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from sim.camera import Camera
from sim.render.appearance import Appearance, LightSettings
from sim.render.light import NARROW_BALANCE, chromaticity, deep_in_narrow_band, lamp_colour, narrow_band
from sim.render.randomiser import draw_appearance
from sim.render.renderer import Renderer
from sim.render.vessels import VESSEL_SIZE, VESSEL_TEXELS, VESSEL_TILE, vessel_images
from sim.scene_objects import SceneObject

GUIDES = ((0.0035, 0.0015, 0.0), (-0.0035, 0.0015, 0.0))
CENTRE, RADIUS, PLANE = np.array([0.002, -0.001, 0.03]), 0.004, 0.045
BARE = Appearance(
    mottling=0, vessel_strength=0, wetness=0, bump=0, ambient=0, vignette=0, shot_noise=0, read_noise=0, spot=0
)


def item(name, vertices, triangles, kind, material="colon_mucosa"):
    mesh = Mesh(np.asarray(vertices, np.float32), np.asarray(triangles, np.int32))
    return SceneObject(name, mesh, label_id("polyp"), load_materials()[material], kind)


@pytest.fixture(scope="module")
def ball_before_plane():
    ball = trimesh.creation.icosphere(5, RADIUS)
    corners = [[-1, 1, PLANE], [1, 1, PLANE], [1, -1, PLANE], [-1, -1, PLANE]]
    return [
        item("ball", ball.vertices + CENTRE, ball.faces, "solid"),
        item("plane", corners, [[0, 1, 2], [0, 2, 3]], "solid"),
    ]


@pytest.mark.parametrize(("temperature", "x", "y"), [(2855.5, 0.44758, 0.40745), (6504.0, 0.3134, 0.3236)])
def test_black_bodies_have_their_chromaticity(temperature, x, y):
    """CIE illuminant A (CIE 15), and the Planckian radiator at 6504 K."""
    assert chromaticity(temperature) == pytest.approx((x, y), abs=5e-4)


def test_cold_lamps_are_bluer_and_the_balanced_one_is_white():
    np.testing.assert_allclose(lamp_colour(6000.0), 1.0)
    warm, cold = lamp_colour(4000.0), lamp_colour(9000.0)
    assert warm[0] > 1 > warm[2]
    assert cold[0] < 1 < cold[2]
    with pytest.raises(InputError, match="colour temperature"):
        Appearance(temperature=500.0)
    with pytest.raises(InputError, match="colour temperature"):
        lamp_colour(float("nan"))


def test_narrow_bands_turn_vessels_dark_and_leave_grey_alone():
    optical = load_materials()["colon_mucosa"].optical
    mucosa, vessel = narrow_band(np.array(optical.base_colour)), narrow_band(np.array(optical.vessel_colour))
    assert mucosa[0] > mucosa[1] == mucosa[2]  # brownish
    white = np.array(optical.vessel_colour) / np.array(optical.base_colour)
    assert vessel[1] / mucosa[1] < 0.6 * white[0]
    np.testing.assert_allclose(narrow_band(np.full(3, 0.4)), 0.4)


def test_narrow_bands_show_mucosa_brown_and_deep_vessels_cyan():
    optical = load_materials()["colon_mucosa"].optical
    colours = np.array(optical.base_colour), np.array(optical.vessel_colour)
    mucosa = narrow_band(colours[0]) * NARROW_BALANCE
    assert mucosa[0] > mucosa[1] > mucosa[2]
    shallow, deep = narrow_band(colours[1]) * NARROW_BALANCE, deep_in_narrow_band(*colours) * NARROW_BALANCE
    assert deep[0] == pytest.approx(shallow[0])  # 540 nm sees either
    assert (deep[1:] > 0.8 * mucosa[1:]).all()
    assert (shallow[1:] < 0.5 * mucosa[1:]).all()
    assert deep[1] > deep[0]


@pytest.mark.parametrize("shading", ["runs", "pixels"])
def test_vessels_by_their_depth_in_the_picture(shading):
    """On a wall across the axis the vessel image lies as it is: pixels are told by what it says at their place."""
    z, camera = 0.02, Camera.with_fov(240, 240, 60.0, model="pinhole")
    wall = item("wall", [[-1, 1, z], [1, 1, z], [1, -1, z], [-1, -1, z]], [[0, 1, 2], [0, 2, 3]], "solid")
    looks = [replace(BARE, vessel_strength=1.0, narrow_band=narrow) for narrow in (True, False)]
    with Renderer([wall], camera, shading=shading) as renderer:
        pictures = [frame.rgb for frame in renderer.render_looks(np.eye(4), looks, exposure=0.5)]
    rays, _ = camera.rays()
    place = (rays[..., :2] / rays[..., 2:] * z / VESSEL_TILE + [0.19, 0.83]) * VESSEL_SIZE
    column, row = np.moveaxis(np.rint(place).astype(int) % VESSEL_SIZE, -1, 0)
    pitch = VESSEL_SIZE + 1
    every, deep = (vessel_images()[start:][row * pitch + column] for start in (0, VESSEL_TEXELS))
    kinds = {
        "none": every < 0.02,
        "shallow": (every > 0.5) & (deep < 0.02),
        "deep": (every > 0.5) & (deep > 0.95 * every),
    }
    narrow, white = ({name: rgb[kind].mean(axis=0) for name, kind in kinds.items()} for rgb in pictures)
    assert min(kind.sum() for kind in kinds.values()) > 150
    # In red alike, in green and blue only the shallow ones are dark.
    assert narrow["deep"][0] == pytest.approx(narrow["shallow"][0], rel=0.1)
    assert (narrow["shallow"][1:] < 0.85 * narrow["none"][1:]).all()
    assert (narrow["deep"][1:] > 0.93 * narrow["none"][1:]).all()
    # In white light both have one colour.
    np.testing.assert_allclose(white["deep"] / white["shallow"], 1, atol=0.1)


@pytest.mark.parametrize("camera", [Camera.with_fov(256, 256, 90.0, model="pinhole"), Camera.with_fov(256, 256, 110.0)])
@pytest.mark.parametrize("guides", [GUIDES, GUIDES[:1]])
def test_shadow_is_that_of_a_sphere(ball_before_plane, camera, guides):
    """A point of the plane is in the shadow where the way to the guide passes the ball's centre within its radius."""
    light = LightSettings(positions=guides, shadows=True)
    with Renderer(ball_before_plane, camera) as renderer:
        shaded = renderer.render(np.eye(4), exposure=0.5, light=light, appearance=BARE)
        plain = renderer.render(np.eye(4), exposure=0.5, light=replace(light, shadows=False), appearance=BARE)
    rays, _ = camera.rays()
    on_plane = shaded.instance == 2
    points = rays[on_plane].astype(np.float64) / rays[on_plane][:, 2:] * PLANE
    expected = np.zeros(len(points))
    for guide in (guides[0], guides[-1]):
        way = np.array(guide) - points
        along = np.clip(np.einsum("ij,ij->i", CENTRE - points, way) / np.einsum("ij,ij->i", way, way), 0, 1)
        expected += 0.5 * (np.linalg.norm(points + along[:, None] * way - CENTRE, axis=1) < RADIUS)
    before, after = plain.rgb[on_plane][:, 0].astype(int), shaded.rgb[on_plane][:, 0].astype(int)
    dark = after < before - 2
    assert (expected > 0).sum() > 200
    overlap = (dark & (expected > 0)).sum() / (dark | (expected > 0)).sum()
    assert overlap > 0.6  # a crescent 2 to 5 pixels wide: most of what is missed is its edge
    assert (dark == (expected > 0)).mean() > 0.98
    # All else is as without shadows, and so is the ball's own face.
    np.testing.assert_array_equal(plain.depth, shaded.depth)
    face = plain.instance == 1
    assert (plain.rgb[face] == shaded.rgb[face]).mean() > 0.97


def test_nothing_shades_itself():
    ball = trimesh.creation.icosphere(5, 0.03)
    camera = Camera.with_fov(96, 96, 140.0)
    with Renderer([item("bag", ball.vertices, ball.faces, "lumen")], camera) as renderer:
        plain = renderer.render(np.eye(4), seed=1)
        shaded = renderer.render(np.eye(4), seed=1, light=LightSettings(shadows=True))
    np.testing.assert_array_equal(plain.rgb, shaded.rgb)


@pytest.mark.parametrize("light", [LightSettings(), LightSettings(shadows=True)])
def test_looks_of_one_view_are_as_if_rendered_one_by_one(ball_before_plane, light):
    looks = [Appearance(), *(draw_appearance(np.random.default_rng(seed)) for seed in range(3))]
    exposures = [1.0, 0.5, 0.7, 2.0]
    camera = Camera.with_fov(65, 47, 90.0)
    with Renderer(ball_before_plane, camera) as renderer:
        frames = renderer.render_looks(np.eye(4), looks, exposure=exposures, light=light, seed=3)
        for frame, look, exposure in zip(frames, looks, exposures, strict=True):
            alone = renderer.render(np.eye(4), appearance=look, exposure=exposure, light=light, seed=3)
            assert frame.exposure == exposure
            for name in ("rgb", "semantic", "instance", "depth", "normal"):
                assert getattr(frame, name).tobytes() == getattr(alone, name).tobytes(), name
        with pytest.raises(InputError, match="exposure"):
            renderer.render_looks(np.eye(4), looks, exposure=[1.0, 2.0])
        assert renderer.render_looks(np.eye(4), []) == []
