import json
import shutil
from contextlib import nullcontext
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh

from assets.errors import InputError
from assets.mesh import Mesh
from assets.patient import Organ
from assets.patient_io import save_patient
from scenarios.colonoscopy import COLONOSCOPY
from scenarios.export.reprojection import with_static_flow
from scenarios.generate import GenerateOptions, generate, split_of
from scenarios.models import shipped_model
from sim.dataset_index import read_dataset
from sim.render.appearance import Appearance
from sim.shards import file_sha256, read_shard


@pytest.fixture(scope="module")
def folders(tube_folder, tmp_path_factory):
    """Two patients: the tube under two names."""
    other = tmp_path_factory.mktemp("more") / "other"
    shutil.copytree(tube_folder, other)
    return str(tube_folder), str(other)


@pytest.fixture(scope="module")
def options(folders, tmp_path_factory) -> GenerateOptions:
    return GenerateOptions(
        patients=folders,
        out=tmp_path_factory.mktemp("data") / "one",
        frames=6,
        every=2,
        size=(32, 32),
        splits=(0.5, 0.5, 0.0),
        workers=1,
    )


@pytest.fixture(scope="module")
def first(options) -> dict[str, bytes]:
    generate(options)
    return content(options.out)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "config.json"}


def test_one_seed_gives_the_same_bytes_in_another_folder_with_other_workers(options, first, tmp_path):
    generate(replace(options, out=tmp_path / "two", workers=2))
    assert content(tmp_path / "two") == first
    assert sum(name.endswith(".tar") for name in first) == 2


def test_channels_on_request_are_recorded_with_flow_from_frame_to_frame(options, first, tmp_path):
    wanted = ("part", "distance", "object_point", "light_distance", "flow", "flow_back")
    generate(replace(options, out=tmp_path / "more", channels=wanted))
    shard = next(path for path in sorted((tmp_path / "more").glob("*.tar")))
    frames = [sample.frame() for sample in read_shard(shard)]
    plain = [sample.frame() for sample in read_shard(options.out / shard.name)]
    assert len(frames) == len(plain) == options.frames
    for frame, other in zip(frames, plain, strict=True):
        np.testing.assert_array_equal(frame.rgb, other.rgb)
        seen = frame.depth > 0
        assert (frame.distance[seen] >= frame.depth[seen]).all()
        np.testing.assert_array_equal(frame.part > 0, seen)
        assert (frame.object_point[seen] != 0).any(axis=-1).all()
    assert not frames[0].flow_back_valid.any()
    assert not frames[-1].flow_valid.any()
    for before, after in pairwise(frames):
        expected = with_static_flow(before, after)
        both = before.flow_valid & expected.flow_valid
        # Stored depth is up to half a step (5 um) off, which moves the reprojection; flow itself is up to 1/128 px off.
        doubt = np.full(before.depth.shape, 0.01)
        for off in (-5e-6, 5e-6):
            other = with_static_flow(replace(before, depth=before.depth + np.float32(off) * (before.depth > 0)), after)
            both &= other.flow_valid
            doubt = np.maximum(doubt, 0.01 + 1.1 * np.abs(other.flow - expected.flow).max(axis=-1))
        assert both.mean() > 0.1
        assert (np.abs(before.flow - expected.flow).max(axis=-1) <= doubt)[both].all()
        assert after.flow_back_valid.any()


def test_channels_that_a_scene_does_not_have_are_refused(options, tmp_path, monkeypatch):
    bare = SimpleNamespace(patient=None, camera=None)
    task = replace(COLONOSCOPY.task, open_scene=lambda patient, camera, cache: nullcontext(bare))
    monkeypatch.setattr("scenarios.recording.scenario_named", lambda name: replace(COLONOSCOPY, task=task))
    with pytest.raises(
        InputError, match="expected a task whose scene gives channels, looks and stereo, found colonoscopy"
    ):
        generate(replace(options, out=tmp_path / "none", channels=("part",)))


def test_another_seed_gives_other_bytes(options, first, tmp_path):
    generate(replace(options, out=tmp_path / "two", seed=1))
    second = content(tmp_path / "two")
    assert all(second[name] != first[name] for name in first if name.endswith(".tar"))


def test_a_killed_run_resumes_to_the_same_bytes(options, first):
    (options.out / "dataset.json").unlink()
    (options.out / "other.tar").unlink()
    kept = (options.out / "tube.tar").stat().st_mtime_ns
    generate(options)
    assert content(options.out) == first
    assert (options.out / "tube.tar").stat().st_mtime_ns == kept


def test_a_damaged_shard_is_named(options, first):
    path = options.out / "tube.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    try:
        with pytest.raises(InputError, match=r"tube\.tar"):
            generate(options)
    finally:
        path.write_bytes(whole)
    generate(options)
    assert content(options.out) == first


def test_other_options_do_not_overwrite_a_data_set(options, first):
    with pytest.raises(InputError, match="frames"):
        generate(replace(options, frames=7))
    assert content(options.out) == first


def test_samples_say_what_training_needs(options, first, folders):
    index = read_dataset(options.out)
    assert index.splits["train"] == (folders[0],)
    assert index.splits["validation"] == (folders[1],)
    samples = list(read_shard(options.out / "tube.tar"))
    assert len(samples) == 6
    metas = [sample.meta() for sample in samples]
    assert [meta["step"] for meta in metas] == [0, 2, 4, 6, 8, 10]
    for meta in metas:
        assert meta["task"] == "colonoscopy"
        assert sum(part**2 for part in meta["lumen_direction"]) == pytest.approx(1)
        assert meta["labels"]["colon_wall"] in samples[0].channel("semantic")
        assert meta["appearance"] != json.loads(json.dumps(asdict(Appearance())))
        assert np.shape(meta["light"]["guides"]) == (2, 3)


def test_only_what_varies_is_drawn(options, first, folders, tmp_path):
    generate(replace(options, patients=folders[:1], out=tmp_path / "lit", frames=1, vary=("light",)))
    looks = [next(read_shard(place / "tube.tar")).meta()["appearance"] for place in (options.out, tmp_path / "lit")]
    standard = json.loads(json.dumps(asdict(Appearance())))
    for name, value in looks[1].items():
        light = name in {"spot", "temperature", "ambient", "narrow_band"} or name.startswith(("light", "guide", "lone"))
        assert value == (looks[0][name] if light else standard[name]), name
    assert looks[1]["spot"] != standard["spot"]


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"workers": 0}, {"runs": 9}, {"splits": (0.5, 0.2, 0.0)}])
def test_nonsense_is_refused(options, wrong):
    with pytest.raises(InputError, match="expected"):
        replace(options, **wrong)


def test_frames_are_shared_by_runs_each_with_a_look_of_its_own(options, folders, tmp_path):
    generate(replace(options, patients=folders[:1], out=tmp_path / "runs", splits=(1.0, 0.0, 0.0), frames=5, runs=2))
    metas = [sample.meta() for sample in read_shard(tmp_path / "runs" / "tube.tar")]
    assert [(meta["episode"], meta["step"]) for meta in metas] == [(0, 0), (0, 2), (0, 4), (1, 0), (1, 2)]
    assert metas[0]["appearance"] == metas[2]["appearance"] != metas[3]["appearance"]


def test_the_model_drives_and_its_content_is_part_of_the_run(options, folders, tmp_path):
    model = tmp_path / "mine.safetensors"
    for suffix in (".safetensors", ".json"):
        shutil.copy(shipped_model("colonoscopy").with_suffix(suffix), model.with_suffix(suffix))
    asked = replace(options, out=tmp_path / "driven", patients=folders[:1], driver="model", splits=(1.0, 0.0, 0.0))
    index = generate(asked)
    assert sum(shard.count for shard in index.shards["train"]) == options.frames
    said = json.loads((tmp_path / "driven" / "config.json").read_text())["options"]
    assert said["model_sha256"] == file_sha256(model)
    generate(replace(asked, model=str(model), out=tmp_path / "mine"))
    assert content(tmp_path / "mine") == content(tmp_path / "driven")
    with pytest.raises(InputError, match="model"):
        generate(replace(asked, model=str(tmp_path / "none.safetensors"), out=tmp_path / "none"))


def test_splits_take_whole_patients_in_order():
    names = [split_of(index, 10, (0.7, 0.2, 0.1)) for index in range(10)]
    assert names == ["train"] * 7 + ["validation"] * 2 + ["test"]


def test_frames_that_show_a_polyp_near_by_are_recorded_more_often(tube_patient, tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.006)
    place = np.array([0.0, -0.017, 0.12])  # on the wall, ahead of the scope's start at 50 to 80 mm
    surface = Mesh((ball.vertices + place).astype(np.float32), ball.faces.astype(np.int32))
    polyp = Organ("polyp_01", "polyp", "solid", "polyp", surface)
    save_patient(replace(tube_patient, name="ill", organs=(*tube_patient.organs, polyp)), tmp_path / "ill")
    options = GenerateOptions(
        patients=(str(tmp_path / "ill"),),
        out=tmp_path / "data",
        frames=30,
        every=10,
        size=(48, 48),
        splits=(1.0, 0.0, 0.0),
        workers=1,
    )
    generate(options)
    samples = list(read_shard(tmp_path / "data" / "ill.tar"))
    steps = [sample.meta()["step"] for sample in samples if sample.meta()["episode"] == 0]
    extra = [sample for sample in samples if sample.meta()["step"] % options.every]
    assert extra
    assert 0 in steps
    polyp_id = samples[0].meta()["labels"]["polyp"]
    assert all(np.count_nonzero(sample.channel("semantic") == polyp_id) >= 0.002 * 48 * 48 for sample in extra)
