"""Several looks of one geometry, a second eye, and any camera, in generated data sets."""

import json
import shutil
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from assets.errors import InputError
from scenarios import recording
from scenarios.cameras import camera_named, scaled
from scenarios.dataset_check import CheckOptions, check
from scenarios.export.omnidirectional import CF_HQ190L
from scenarios.export.reprojection import with_static_flow
from scenarios.figures import CheckFailedError
from scenarios.generate import GenerateOptions, generate
from scenarios.shard_check import disagreements
from sim.camera import Camera
from sim.dataset_index import read_dataset, read_records, write_dataset
from sim.degradations.settings import Degradations
from sim.degradations.tower import uncovered
from sim.exposure import AutoExposure
from sim.frame import Frame
from sim.looks import OtherLooks
from sim.render.randomiser import draw_appearance
from sim.scene import ColonoscopyScene
from sim.shards import Sample, index_record, read_shard, write_shard

LOOKS = 3


@pytest.fixture(scope="module")
def options(tube_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> GenerateOptions:
    return GenerateOptions(
        patients=(str(tube_folder),),
        out=tmp_path_factory.mktemp("data") / "one",
        frames=4,
        every=2,
        size=(48, 48),
        degradations=0.5,
        channels=("part", "flow"),
        splits=(1.0, 0.0, 0.0),
        workers=1,
    )


@pytest.fixture(scope="module")
def plain(options: GenerateOptions) -> list[Sample]:
    return recorded(options)


@pytest.fixture(scope="module")
def looked(options: GenerateOptions, plain: list[Sample]) -> list[Sample]:
    return recorded(replace(options, out=Path(options.out).parent / "looks", looks=LOOKS, stereo_mm=4.0))


def recorded(options: GenerateOptions) -> list[Sample]:
    generate(options)
    return list(read_shard(Path(options.out) / "tube.tar"))


def groups(samples: list[Sample]) -> dict[str, dict[tuple[str, int], Sample]]:
    found: dict[str, dict[tuple[str, int], Sample]] = defaultdict(dict)
    for sample in samples:
        meta = sample.meta()
        found[meta["geometry"]][meta["view"], meta["look"]] = sample
    return found


def test_every_moment_has_each_look_and_each_eye(plain: list[Sample], looked: list[Sample]) -> None:
    found = groups(looked)
    assert list(found) == [sample.key for sample in plain]
    for group in found.values():
        assert set(group) == {(view, look) for view in ("left", "right") for look in range(LOOKS)}


def test_the_first_look_is_the_frame_that_is_there_without_the_others(
    plain: list[Sample], looked: list[Sample]
) -> None:
    first = {sample.key: sample for sample in looked}
    for sample in plain:
        other = first[sample.key]
        for name in set(sample.members) - {"meta.json"}:
            assert other.members[name] == sample.members[name], name
        more = other.meta()
        assert {name: more[name] for name in sample.meta()} == sample.meta()


def test_looks_of_a_view_differ_in_the_picture_alone(looked: list[Sample]) -> None:
    for group in groups(looked).values():
        for view in ("left", "right"):
            frames = [group[view, look] for look in range(LOOKS)]
            for one in frames[1:]:
                assert one.members["rgb.png"] != frames[0].members["rgb.png"]
                for name in set(one.members) - {"rgb.png", "meta.json"}:
                    assert one.members[name] == frames[0].members[name], name
                assert one.meta()["appearance"] != frames[0].meta()["appearance"]
                assert one.meta()["T_world_camera"] == frames[0].meta()["T_world_camera"]


def test_the_exposure_of_each_look_settles_at_the_metering_s_target(tube_scene: ColonoscopyScene) -> None:
    # by what is metered: a look's own exposure and contrast make its picture brighter or darker than another's
    looks = [draw_appearance(np.random.default_rng(seed)) for seed in range(8)]
    tube_scene.reset(seed=0, friction=0.1)
    tube_scene.observe()
    OtherLooks(tube_scene, looks).frames()
    np.testing.assert_allclose(tube_scene.renderer.metered_looks, AutoExposure().target, rtol=0.02)


def test_a_patient_s_frames_do_not_depend_on_where_its_folder_lies(
    options: GenerateOptions, plain: list[Sample], tmp_path: Path
) -> None:
    moved = shutil.copytree(options.patients[0], tmp_path / "elsewhere" / "tube")
    again = recorded(replace(options, patients=(str(moved),), out=tmp_path / "data"))
    for one, other in zip(plain, again, strict=True):
        assert {**one.meta(), "patient": None} == {**other.meta(), "patient": None}
        assert one.members["rgb.png"] == other.members["rgb.png"]


def test_the_right_eye_sees_what_the_left_one_s_depth_and_the_baseline_say(looked: list[Sample]) -> None:
    for group in groups(looked).values():
        left, right = group["left", 0].frame(), group["right", 0].frame()
        T_left_right = np.array(group["right", 0].meta()["T_left_right"])
        np.testing.assert_allclose(T_left_right[:3, 3], [0.004, 0, 0])
        np.testing.assert_allclose(right.T_world_camera, left.T_world_camera @ T_left_right, atol=1e-12)
        moved = with_static_flow(left, right)
        assert moved.flow_valid.mean() > 0.3
        assert agree(left, moved, right) > 0.9


def agree(left: Frame, moved: Frame, right: Frame) -> float:
    """Return the share of points whose label the right frame has at the place that the left one's depth says."""
    rows, columns = np.nonzero(moved.flow_valid)
    u = np.rint(columns + moved.flow[rows, columns, 0]).astype(int).clip(0, left.camera.width - 1)
    v = np.rint(rows + moved.flow[rows, columns, 1]).astype(int).clip(0, left.camera.height - 1)
    return float((right.instance[v, u] == left.instance[rows, columns]).mean())


def test_flow_is_of_the_left_eye_under_all_looks(looked: list[Sample]) -> None:
    for sample in looked:
        assert ("flow.png" in sample.members) == (sample.meta()["view"] == "left")


def test_such_a_set_passes_the_check_and_its_index_knows_the_groups(
    options: GenerateOptions, looked: list[Sample]
) -> None:
    folder = Path(options.out).parent / "looks"
    check(CheckOptions(folder))
    records = list(read_records(folder))
    assert [(one["geometry"], one["look"], one["view"]) for one in records] == [
        (sample.meta()["geometry"], sample.meta()["look"], sample.meta()["view"]) for sample in looked
    ]


def test_the_check_finds_a_geometry_in_two_splits_and_a_look_of_other_truth(
    looked: list[Sample], tmp_path: Path
) -> None:
    def with_meta(sample: Sample, **more: str) -> Sample:
        meta = json.dumps({**sample.meta(), **more}, sort_keys=True).encode()
        return Sample(sample.key, {**sample.members, "meta.json": meta})

    first, other = looked[0], looked[1]
    false = Sample(other.key, {**other.members, "depth.png": next(iter(looked[-1:])).members["depth.png"]})
    for name, samples in (
        ("split", ([first], [with_meta(other, patient="b")])),
        ("truth", ([first, false], [])),
    ):
        folder = tmp_path / name
        infos = [write_shard(folder / f"{i}.tar", ones) for i, ones in enumerate(samples)]
        write_dataset(
            folder,
            [index_record(sample, f"{i}.tar") for i, ones in enumerate(samples) for sample in ones],
            labels=first.meta()["labels"],
            depth_step=1e-5,
            splits={"train": [first.meta()["patient"]], "test": ["b"]},
            shards={"train": infos[:1], "test": infos[1:]},
            config={},
        )
        with pytest.raises(CheckFailedError) as failed:
            check(CheckOptions(folder, workers=1))
        geometry = first.meta()["geometry"]
        expected = {
            "split": f"expected each geometry with all its looks in one split, found {geometry} in test and train",
            "truth": f"expected the masks, depth and normals of the other looks of {geometry}, found other",
        }
        assert any(expected[name] in fault for fault in failed.value.faults), failed.value.faults


def test_a_camera_of_a_file_is_that_of_the_frames(options: GenerateOptions, tmp_path: Path) -> None:
    camera = replace(Camera.with_fov(96, 72, 100.0), content_radius=50.0, distortion=(0.02, 0.0, 0.0, 0.0))
    (tmp_path / "mine.json").write_text(json.dumps(asdict(camera)))
    samples = recorded(
        replace(options, out=tmp_path / "data", camera=str(tmp_path / "mine.json"), size=(48, 36), frames=1)
    )
    found = samples[0].frame().camera
    assert found == scaled(camera, 48, 36, "")
    assert read_dataset(tmp_path / "data").config["camera"] == str(tmp_path / "mine.json")


@pytest.mark.parametrize("camera", [CF_HQ190L, Camera.with_fov(1350, 1080, 140.0), Camera.with_fov(1350, 1080, 70.0)])
def test_a_scaled_camera_sees_the_same_with_other_pixels(camera: Camera) -> None:
    small = scaled(camera, 270, 216, "")
    points = np.array([[0.0, 0.0, 1.0], [0.3, 0.2, 1.0], [-0.5, 0.4, 0.8]])
    (big_pixels, _), (small_pixels, _) = camera.project(points), small.project(points)
    np.testing.assert_allclose(small_pixels, (big_pixels + 0.5) / 5 - 0.5, atol=1e-6)


def test_cameras_by_name_and_by_angle(tmp_path: Path) -> None:
    assert camera_named("fisheye:170", 64, 64) == Camera.with_fov(64, 64, 170.0)
    assert camera_named("pinhole:70", 64, 48) == Camera.with_fov(64, 48, 70.0, model="pinhole")
    assert camera_named("cf-hq190l", 675, 540).width == 675
    assert camera_named("colonoscope", 64, 64).content_radius == pytest.approx(0.57 * 64)
    (tmp_path / "bad.json").write_text('{"width": 3}')
    for wrong, said in (
        ("telescope", "expected one of colonoscope, bronchoscope, laparoscope, cf-hq190l, fisheye:DEGREES"),
        ("fisheye:wide", "expected a field of view within 0 and 180 degrees, found nan"),
        ("cf-hq190l", "expected a picture of the shape of 1350 x 1080 px, found 64 x 64; choose another --size"),
        (str(tmp_path / "none.json"), "expected the JSON file of a camera, found none"),
        (str(tmp_path / "bad.json"), "expected a camera with width, height, fx"),
    ):
        with pytest.raises(InputError, match=said):
            camera_named(wrong, 64, 64)


@pytest.mark.parametrize("wrong", [{"looks": 0}, {"looks": 101}, {"stereo_mm": 0.0}, {"stereo_mm": 1000.0}])
def test_nonsense_is_refused(options: GenerateOptions, wrong: dict) -> None:
    with pytest.raises(InputError, match="generate: expected"):
        replace(options, **wrong)


@pytest.mark.parametrize("wrong", [{"surround": 1.0, "lettering": 1.0}, {"rolling_shutter": 1.0}])
def test_flow_is_valid_only_where_it_holds(
    wrong: dict[str, float], options: GenerateOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Degradations(**wrong)
    monkeypatch.setattr(recording, "draw_degradations", lambda rng, share: drawn)
    samples = recorded(replace(options, out=tmp_path / "wrong", frames=3))
    shown = uncovered(samples[0].frame().camera, drawn)
    for sample in samples[:-1]:
        frame = sample.frame()
        assert not list(disagreements(frame))
        assert not frame.semantic[~shown].any()
        assert frame.flow_valid[shown].any() == ("surround" in wrong)
        assert not frame.flow_valid[~shown].any()
