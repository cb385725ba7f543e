"""Frames: the same bytes from the same input, light by closed forms, and looks that change nothing but the colour."""

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
import trimesh

from assets.errors import InputError
from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from assets.transforms import compose, look_along
from sim.camera import Camera
from sim.exposure import AutoExposure
from sim.render.appearance import Appearance, LightSettings
from sim.render.look import gauss_table
from sim.render.randomiser import draw_appearance
from sim.render.renderer import Renderer
from sim.render.textures import NOISE_SIZE, noise_volumes
from sim.render.vessels import VESSEL_SIZE, vessel_images
from sim.scene_objects import SceneObject

SIZE = 96
CAMERA = Camera.with_fov(SIZE, SIZE, 140.0)
PLAIN = Appearance(
    mottling=0, vessel_strength=0, wetness=0, bump=0, ambient=0, vignette=0, shot_noise=0, read_noise=0, spot=0
)


def item(name, vertices, triangles, kind, material):
    mesh = Mesh(np.asarray(vertices, np.float32), np.asarray(triangles, np.int32))
    return SceneObject(name, mesh, label_id("colon_wall" if kind == "lumen" else "polyp"), material, kind)


def plane(z, material=None):
    corners = [[-1, 1, z], [1, 1, z], [1, -1, z], [-1, -1, z]]
    return item("plane", corners, [[0, 1, 2], [0, 2, 3]], "solid", material or load_materials()["colon_mucosa"])


@pytest.fixture(scope="module")
def colon():
    """A dented bag with five polyps on its wall."""
    materials = load_materials()
    bag = trimesh.creation.icosphere(5, 0.03)
    bag.vertices *= (1 - 0.15 * np.cos(9 * bag.vertices[:, 2:] / 0.03) ** 4) * [1, 1, 2.5]
    objects = [item("colon", bag.vertices, bag.faces, "lumen", materials["colon_mucosa"])]
    rng = np.random.default_rng(4)
    for index, direction in enumerate(rng.normal(size=(5, 3))):
        place = bag.vertices[np.argmax(bag.vertices @ (direction / [1, 1, 2.5]))]
        polyp = trimesh.creation.icosphere(4, rng.uniform(0.003, 0.006))
        objects.append(item(f"polyp_{index}", polyp.vertices + place, polyp.faces, "solid", materials["polyp"]))
    return objects


def poses(count):
    rng = np.random.default_rng(1)
    for _ in range(count):
        yield look_along(rng.normal(size=3), rng.normal(size=3), rng.uniform(-0.01, 0.01, 3) * [1, 1, 3])


def exposed(renderer, pose, **options):
    """Render once the automatic exposure has settled."""
    exposure = AutoExposure(settling_time=0.01)
    for _ in range(4):
        frame = renderer.render(pose, exposure=exposure.gain, **options)
        exposure.update(renderer.metered, 0.1)
    return frame


def same(one, other):
    names = ("rgb", "semantic", "instance", "depth", "normal", "flow", "flow_valid")
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in names)


def test_same_bytes_twice_and_on_any_number_of_threads(colon):
    pose = next(poses(1))
    with (
        Renderer(colon, CAMERA, threads=1) as one,
        Renderer(colon, CAMERA) as two,
        Renderer(colon, CAMERA, threads=3) as three,
    ):
        frame = one.render(pose, seed=5)
        assert frame.instance.any()
        for renderer in (one, two, three):
            renderer.render(next(poses(2)), appearance=draw_appearance(np.random.default_rng(0)))
            again = renderer.render(pose, seed=5)
            assert same(again, frame)
            assert renderer.metered == one.metered
        other = two.render(pose, seed=6)
    assert other.rgb.tobytes() != frame.rgb.tobytes()
    assert same(replace(other, rgb=frame.rgb), frame)


def test_channels_agree_pixel_by_pixel(colon):
    camera = replace(CAMERA, content_radius=40.0)
    _, shown = camera.rays()
    with Renderer(colon, camera) as renderer:
        for pose in poses(4):
            frame = renderer.render(pose, appearance=replace(Appearance(), read_noise=0.0), time=1.5)
            seen = frame.instance > 0
            np.testing.assert_array_equal(seen, shown)  # it is a closed bag
            for channel in (frame.semantic, frame.depth, frame.normal.any(axis=-1)):
                np.testing.assert_array_equal(channel > 0, seen)
            assert not frame.rgb[~seen].any()
            labels = np.array([0, *(item.label_id for item in colon)])
            np.testing.assert_array_equal(labels[frame.instance], frame.semantic)
            assert (frame.time, frame.camera, frame.exposure) == (1.5, camera, 1.0)
            assert not frame.flow_valid.any()


def test_frames_own_their_arrays(colon):
    with Renderer(colon, CAMERA) as renderer:
        one = renderer.render(compose(np.eye(3), np.zeros(3)))
        copy = replace(one, rgb=one.rgb.copy(), depth=one.depth.copy())
        renderer.render(next(poses(1)))
        assert same(one, copy)


def test_light_falls_off_with_the_square_of_the_distance():
    light = LightSettings(positions=((0.0, 0.0, 0.0),))
    camera = Camera.with_fov(33, 33, 20.0, model="pinhole")
    metered = {}
    for z in (0.02, 0.04, 0.08):
        with Renderer([plane(z)], camera) as renderer:
            renderer.render(np.eye(4), exposure=0.01, light=light, appearance=PLAIN)
            metered[z] = renderer.metered
    assert metered[0.02] / metered[0.04] == pytest.approx(4, rel=1e-3)
    assert metered[0.04] / metered[0.08] == pytest.approx(4, rel=1e-3)


def test_exposure_and_power_scale_the_light():
    with Renderer([plane(0.04)], CAMERA) as renderer:
        values = []
        for exposure, power in ((0.01, 1.0), (0.02, 1.0), (0.01, 2.0)):
            renderer.render(np.eye(4), exposure=exposure, light=LightSettings(power=power))
            values.append(renderer.metered)
    assert values[1] == pytest.approx(2 * values[0], rel=1e-5)
    assert values[2] == pytest.approx(2 * values[0], rel=1e-5)


def test_colour_is_that_of_the_material():
    """A matte surface under one light in the lens: the picture inverts to the table's colour."""
    material = load_materials()["colon_mucosa"]
    camera = Camera.with_fov(9, 9, 5.0, model="pinhole")
    with Renderer([plane(0.05, material)], camera) as renderer:
        rgb = renderer.render(
            np.eye(4), exposure=1.0, light=LightSettings(positions=((0, 0, 0.0),)), appearance=PLAIN
        ).rgb
    coded = rgb[4, 4] / 255
    display = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    linear = -np.log(1 - display)
    expected = np.array(material.optical.base_colour)
    np.testing.assert_allclose(linear / linear[0], expected / expected[0], rtol=0.03)


def test_looks_change_the_colour_alone(colon):
    pose = next(poses(1))
    with Renderer(colon, CAMERA) as renderer:
        frame = renderer.render(pose)
        pictures = {frame.rgb.tobytes()}
        for seed in range(4):
            other = renderer.render(pose, appearance=draw_appearance(np.random.default_rng(seed)))
            pictures.add(other.rgb.tobytes())
            assert same(replace(other, rgb=frame.rgb), frame)
        assert len(pictures) == 5
        # Each setting has an effect of its own.
        for field in fields(Appearance):
            value = getattr(Appearance(), field.name)
            changed = tuple(x + 0.0011 for x in value) if isinstance(value, tuple) else value + 0.5
            special = {"temperature": 5000.0, "narrow_band": True, "lone_guide": True, "object_seed": 1}
            changed = special.get(field.name, changed)
            picture = renderer.render(pose, appearance=replace(Appearance(), **{field.name: changed})).rgb
            assert (picture != frame.rgb).any(), field.name


def test_hue_does_not_tell_polyps(colon):
    """The best threshold on hue, of either side, finds polyps with a Dice below 0.3; so does the best on saturation."""
    values, truth = [], []
    with Renderer(colon, CAMERA) as renderer:
        for index, pose in enumerate(poses(15)):
            polyp = colon[1 + index % 5].mesh.vertices.mean(axis=0)
            near = polyp * (1 - 0.016 / np.linalg.norm(polyp))
            towards = look_along(polyp - near + 0.005 * pose[:3, 0], pose[:3, 1], near)
            frame = exposed(renderer, towards, seed=index, appearance=Appearance(object_seed=index))
            seen = frame.instance > 0
            colours = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2HSV_FULL)[seen].astype(int)
            # Turned by half a circle, since reds lie on both sides of 0.
            values.append(np.stack([(colours[:, 0] + 128) % 256, colours[:, 1]], axis=1))
            truth.append((frame.instance > 1)[seen])
    values, truth = np.concatenate(values), np.concatenate(truth)
    assert 0.05 < truth.mean() < 0.15
    for channel in range(2):
        for threshold in range(256):
            for mask in (values[:, channel] <= threshold, values[:, channel] >= threshold):
                dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
                assert dice < 0.3


def test_wet_film_makes_small_highlights(colon):
    with Renderer(colon, CAMERA) as renderer:
        for pose in poses(3):
            frames = [exposed(renderer, pose, appearance=Appearance(wetness=wetness)).rgb for wetness in (0.0, 1.0)]
            dull, wet = (frame.min(axis=-1) > 200 for frame in frames)
            assert wet.sum() > dull.sum()
            assert 0 < (wet & ~dull).mean() < 0.1


def test_far_lumen_is_dark_but_not_black():
    around, along = 48, 120
    angle, s = np.meshgrid(np.arange(around) / around * 2 * np.pi, np.linspace(0, 0.25, along))
    vertices = np.stack([0.02 * np.cos(angle), 0.02 * np.sin(angle), s], -1).reshape(-1, 3)
    ring, column = np.meshgrid(np.arange(along - 1), np.arange(around), indexing="ij")
    following = (column + 1) % around
    a, b = ring * around + column, ring * around + following
    sides = np.concatenate([np.stack([a, b, b + around], -1), np.stack([a, b + around, a + around], -1)])
    tube = item("colon", vertices, sides.reshape(-1, 3), "lumen", load_materials()["colon_mucosa"])
    appearance = replace(Appearance(), shot_noise=0.0, read_noise=0.0)
    with Renderer([tube], CAMERA) as renderer:
        frame = renderer.render(compose(np.eye(3), np.array([0, 0, 0.02])), exposure=1.5, appearance=appearance)
    near, far = (frame.depth > 0.005) & (frame.depth < 0.02), frame.depth > 0.12
    assert far.sum() > 20
    near_colour, far_colour = frame.rgb[near].mean(axis=0), frame.rgb[far].mean(axis=0)
    assert far_colour.max() > 8
    assert far_colour.mean() < 0.35 * near_colour.mean()
    assert far_colour[0] > 1.3 * far_colour[2]


def test_refuses_bad_input(colon):
    with pytest.raises(InputError, match="exposure"), Renderer(colon, CAMERA) as renderer:
        renderer.render(np.eye(4), exposure=float("nan"))
    with pytest.raises(InputError, match="thread"):
        Renderer(colon, CAMERA, threads=0)
    with pytest.raises(InputError, match="one or two"):
        LightSettings(positions=())


def test_noise_is_normal():
    gauss = gauss_table()
    assert abs(gauss.mean()) < 1e-6
    assert gauss.std() == pytest.approx(1, abs=0.01)


def test_textures_tile():
    """Across the edge of the tile neighbours differ as much as anywhere else."""
    volume = noise_volumes()[: NOISE_SIZE**3].reshape((NOISE_SIZE,) * 3 + (4,))
    image = vessel_images()[: (VESSEL_SIZE + 1) ** 2].reshape(VESSEL_SIZE + 1, VESSEL_SIZE + 1)[:-1, :-1]
    for texture, axes in ((volume, 3), (image, 2)):
        for axis in range(axes):
            steps = np.abs(np.roll(texture, -1, axis) - texture)
            seam = np.take(steps, -1, axis).mean()
            assert seam == pytest.approx(steps.mean(), rel=0.5)
    assert 0.02 < image.mean() < 0.3
    assert volume.std(axis=(0, 1, 2)) == pytest.approx(1, abs=0.25)


def test_relief_is_a_gradient():
    """Its curl is nothing: the bumps are those of a height, so that light finds valleys and ridges, not swirls."""
    volume = noise_volumes()[: NOISE_SIZE**3].reshape((NOISE_SIZE,) * 3 + (4,)).astype(np.float64)
    wave = np.fft.fftfreq(NOISE_SIZE)
    fz, fy, fx = np.meshgrid(wave, wave, wave, indexing="ij")
    gx, gy, gz = (np.fft.fftn(volume[..., axis]) for axis in range(3))
    for curl in (fx * gy - fy * gx, fy * gz - fz * gy):
        assert np.abs(curl).max() < 1e-4 * np.abs(gx).max()
