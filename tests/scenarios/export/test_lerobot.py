import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from assets.errors import InputError
from scenarios.export.command import ExportOptions, export
from scenarios.export.running_statistics import Running
from sim.camera import Camera

pq = pytest.importorskip("pyarrow.parquet")

spec = importlib.util.spec_from_file_location("export_readers", Path(__file__).with_name("readers.py"))
readers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(readers)

VIDEO = "observation.images.endoscope"


@pytest.fixture(scope="module")
def exported(fisheye_set, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("lerobot") / "out"
    left_out = export(ExportOptions(fisheye_set, "lerobot", out))
    assert any(line.startswith("action") for line in left_out)
    assert any(line.startswith("the times between frames") for line in left_out)
    return out


def pictures(path: Path) -> list[np.ndarray]:
    video, found = cv2.VideoCapture(str(path)), []
    while True:
        there, picture = video.read()
        if not there:
            video.release()
            return found
        found.append(picture[..., ::-1])


def test_every_frame_is_found_as_lerobot_would_find_it(fisheye_set: Path, exported: Path) -> None:
    info = json.loads((exported / "meta" / "info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert info["splits"] == {"train": "0:3", "validation": "3:4"}
    episodes = pq.read_table(exported / "meta" / "episodes").to_pylist()
    assert [row["episode_index"] for row in episodes] == list(range(info["total_episodes"])) == [0, 1, 2, 3]
    views = readers.views(fisheye_set)
    assert info["total_frames"] == len(views)
    for row in episodes:
        data = exported / info["data_path"].format(
            chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
        )
        video = exported / info["video_path"].format(
            video_key=VIDEO,
            chunk_index=row[f"videos/{VIDEO}/chunk_index"],
            file_index=row[f"videos/{VIDEO}/file_index"],
        )
        mine = [one for one in pq.read_table(data).to_pylist() if one["episode_index"] == row["episode_index"]]
        seen = pictures(video)
        wanted = views[row["dataset_from_index"] : row["dataset_to_index"]]
        assert len(mine) == len(seen) == len(wanted) == row["length"] == 4
        assert len({view.sequence for view in wanted}) == 1
        for number, (one, picture, view) in enumerate(zip(mine, seen, wanted, strict=True)):
            assert (one["frame_index"], one["index"]) == (number, view.position)
            assert one["timestamp"] == pytest.approx(number / info["fps"])
            assert one["observation.time"] == pytest.approx(view.frame.time)
            pose = np.array(one["observation.state"])
            assert np.abs(pose[:3] - view.frame.T_world_camera[:3, 3]).max() < 1e-6
            rotation = Rotation.from_quat(pose[3:]).as_matrix()
            assert np.abs(rotation - view.frame.T_world_camera[:3, :3]).max() < 1e-6
            assert list(picture.shape) == info["features"][VIDEO]["shape"]
            # lossy; but nearer to its own frame than to any other of the episode
            off = [np.abs(picture.astype(int) - other.frame.rgb).mean() for other in wanted]
            assert int(np.argmin(off)) == number
            assert off[number] < 8


def test_the_columns_are_the_features_and_nothing_else(exported: Path) -> None:
    info = json.loads((exported / "meta" / "info.json").read_text())
    columns = set(pq.read_table(exported / "data").column_names)
    assert columns == {name for name, one in info["features"].items() if one["dtype"] != "video"}
    assert {"timestamp", "frame_index", "episode_index", "index", "task_index"} <= columns


def test_statistics_are_those_of_the_frames(fisheye_set: Path, exported: Path) -> None:
    stats = json.loads((exported / "meta" / "stats.json").read_text())
    colours = np.stack([view.frame.rgb for view in readers.views(fisheye_set)]) / 255
    assert np.allclose(np.ravel(stats[VIDEO]["mean"]), colours.mean(axis=(0, 1, 2)))
    assert np.allclose(np.ravel(stats[VIDEO]["std"]), colours.std(axis=(0, 1, 2)))
    assert np.shape(stats[VIDEO]["max"]) == (3, 1, 1)
    assert stats[VIDEO]["count"] == [16]
    assert stats["index"]["min"] == [0]
    assert stats["index"]["max"] == [15]
    episode = pq.read_table(exported / "meta" / "episodes").to_pylist()[1]
    assert episode["stats/index/min"] == [4]


def test_tasks_name_their_index(exported: Path) -> None:
    table = pq.read_table(exported / "meta" / "tasks.parquet")
    assert table.to_pylist() == [{"task_index": 0, "task": "tube"}]
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == ["task"]


def test_pandas_looks_tasks_up_by_their_text(exported: Path) -> None:
    pandas = pytest.importorskip("pandas")
    tasks = pandas.read_parquet(exported / "meta" / "tasks.parquet")
    assert tasks.loc["tube"].task_index == 0
    assert tasks.iloc[0].name == "tube"


def test_odd_sides_are_said(make_scene, tmp_path: Path) -> None:
    folder = make_scene(tmp_path / "data", Camera(41, 31, 24.0, 24.0, 20.0, 15.0), frames=2)
    left_out = export(ExportOptions(folder, "lerobot", tmp_path / "out"))
    assert any("odd sides" in line for line in left_out)
    info = json.loads((tmp_path / "out" / "meta" / "info.json").read_text())
    assert info["features"][VIDEO]["shape"] == [30, 40, 3]


def test_a_video_that_lacks_frames_is_no_export(fisheye_set: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("scenarios.export.lerobot.count_frames", lambda path: 3)
    with pytest.raises(InputError, match=r"file-000\.mp4: expected 4 frames in the video, found 3"):
        export(ExportOptions(fisheye_set, "lerobot", tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_pieces_add_up() -> None:
    rows = np.random.default_rng(0).normal(3.0, 2.0, (50, 3))
    found = Running()
    for piece in np.split(rows, [1, 20, 21]):
        found.add(piece)
    assert found.count == 50
    for name, expected in (("mean", rows.mean(0)), ("deviation", rows.std(0)), ("low", rows.min(0))):
        assert np.allclose(getattr(found, name), expected)
