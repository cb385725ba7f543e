"""LeRobot v3: an episode a sequence, numbers as Parquet, colours as VP9 video.

`data/chunk-000/file-000.parquet` (a row a frame), `videos/observation.images.endoscope/chunk-000/file-000.mp4` (a file
an episode), `meta/info.json`, `meta/stats.json`, `meta/tasks.parquet`, `meta/episodes/chunk-000/file-000.parquet`.
Format: https://huggingface.co/docs/lerobot/lerobot-dataset-v3. The video is written by OpenCV, which is here anyway and
whose FFmpeg is under the LGPL; the wheels of PyAV hold x264, which is under the GPL.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from assets.errors import InputError
from scenarios.export.running_statistics import Running
from scenarios.export.source import Advance, Source, View
from scenarios.runs import write_json

FPS = 10
"""Frames a second of the video and of `timestamp`: a control step is 0.1 s. `observation.time` has the true times."""
CAMERA = "observation.images.endoscope"
STATE = ["tx", "ty", "tz", "qx", "qy", "qz", "qw"]
_FILES_A_CHUNK = 1000
_ROWS_A_FILE = 200_000  # some 20 MB
_CODEC = "vp09"
_COLUMNS = pa.schema(
    [
        ("observation.state", pa.list_(pa.float32(), len(STATE))),
        ("observation.time", pa.float32()),
        ("observation.exposure", pa.float32()),
        ("timestamp", pa.float32()),
        ("frame_index", pa.int64()),
        ("episode_index", pa.int64()),
        ("index", pa.int64()),
        ("task_index", pa.int64()),
    ]
)


@dataclass
class _Episode:
    """One sequence while it is written."""

    index: int
    split: str
    first: int
    """Index of its first frame in the data set."""
    data_file: int
    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _COLUMNS.names})
    colours: Running = field(default_factory=Running)

    @property
    def length(self) -> int:
        return len(self.columns["index"])


def export(source: Source, out: Path, advance: Advance) -> list[str]:
    """Write every sequence as an episode, split after split.

    Raises:
        InputError: The data set is damaged, its frames differ in size, or a video lacks frames after it was written.
        OSError: The folder cannot be written.
    """
    task = str(source.index.config.get("scenario", "endoscopy"))
    total, uneven, size, rows = Running(), False, (0, 0), 0
    statistics: dict[str, Running] = {}
    splits: dict[str, list[int]] = {}
    with ExitStack() as stack:
        episodes = _Episodes(out / "meta" / "episodes")
        stack.callback(episodes.close)
        data = _DataFiles(out)
        stack.callback(data.close)
        for episode, views in _sequences(source):
            episode.data_file = data.file
            with _video(out, episode.index) as video:
                for view in views:
                    height, width = (side // 2 * 2 for side in view.frame.depth.shape)
                    if size not in ((0, 0), (height, width)):
                        raise InputError(
                            f"{view.sample.where}: expected frames of {size[1]} x {size[0]} px as before, "
                            f"found {width} x {height}"
                        )
                    size = (height, width)
                    colours = np.ascontiguousarray(view.frame.rgb[:height, :width])
                    video.write(colours)
                    episode.colours.add(colours.reshape(-1, 3) / 255)
                    _add_row(episode, view)
                    advance()
            data.write(episode)
            rows += episode.length
            uneven |= bool((np.abs(np.diff(episode.columns["observation.time"]) - 1 / FPS) > 1e-3).any())
            for name, column in episode.columns.items():
                found = Running()
                found.add(np.array(column, dtype=np.float64).reshape(episode.length, -1))
                statistics.setdefault(name, Running()).merge(found)
            total.merge(episode.colours)
            episodes.add(episode, task)
            splits.setdefault(episode.split, [episode.index, 0])[1] = episode.index + 1
    _write_meta(out, splits, rows, size, task)
    every = {name: _statistics(found) for name, found in statistics.items()}
    write_json(out / "meta" / "stats.json", {**every, CAMERA: _picture_statistics(total, rows)})
    odd = [side for camera in source.cameras for side in (camera.width, camera.height) if side % 2]
    return [
        "action: the shards hold no commands",
        "colours to the last bit: VP9 loses some",
        *(["the last column or row of odd sides: video wants even ones"] if odd else []),
        *([f"the times between frames: the video runs at {FPS} a second; observation.time is true"] if uneven else []),
        "masks, depth, normals, flow and the lens of each frame; cameras in export.json have the lens",
    ]


def _sequences(source: Source) -> Iterator[tuple[_Episode, Iterator[View]]]:
    """Give the frames of one sequence after the other; they are read as they are asked for."""
    views = source.views()
    waiting = next(views, None)
    index = 0

    def of_one(first: View) -> Iterator[View]:
        nonlocal waiting
        view: View | None = first
        while view is not None and view.sequence == first.sequence:
            yield view
            view = next(views, None)
        waiting = view

    while waiting is not None:
        first = waiting
        yield _Episode(index, first.split, first.position, 0), of_one(first)
        index += 1


def _add_row(episode: _Episode, view: View) -> None:
    frame, number = view.frame, episode.length
    quaternion = Rotation.from_matrix(frame.T_world_camera[:3, :3]).as_quat()
    row = {
        "observation.state": [*frame.T_world_camera[:3, 3].tolist(), *quaternion.tolist()],
        "observation.time": frame.time,
        "observation.exposure": frame.exposure,
        "timestamp": number / FPS,
        "frame_index": number,
        "episode_index": episode.index,
        "index": episode.first + number,
        "task_index": 0,
    }
    for name, value in row.items():
        episode.columns[name].append(value)


class _Video:
    """A video of one episode, which counts what it was given."""

    def __init__(self, path: Path) -> None:
        self._path, self.count = path, 0
        self._writer: Any = None

    def write(self, rgb: NDArray[np.uint8]) -> None:
        if self._writer is None:
            size = (rgb.shape[1], rgb.shape[0])
            self._writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*_CODEC), FPS, size)
            if not self._writer.isOpened():
                raise InputError(f"{self._path}: expected to write a VP9 video of {size[0]} x {size[1]} px, could not")
        self._writer.write(rgb[..., ::-1])
        self.count += 1

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()


@contextmanager
def _video(out: Path, episode: int) -> Iterator[_Video]:
    """Open an episode's video; once it is closed, count its frames: OpenCV does not say when the disk was full.

    Raises:
        InputError: It holds other than the frames that it was given.
    """
    path = out / "videos" / CAMERA / _place(episode, ".mp4")
    path.parent.mkdir(parents=True, exist_ok=True)
    video = _Video(path)
    try:
        yield video
    finally:
        video.close()
    found = count_frames(path)
    if found != video.count:
        raise InputError(f"{path}: expected {video.count} frames in the video, found {found}; is the disk full?")


def count_frames(path: Path) -> int:
    """Count the frames of a video that can be decoded."""
    reader = cv2.VideoCapture(str(path))
    count = 0
    while reader.grab():
        count += 1
    reader.release()
    return count


class _DataFiles:
    """The rows of all episodes, in as many files as they need."""

    def __init__(self, out: Path) -> None:
        self._out, self._rows, self.file = out, 0, 0
        self._writer: pq.ParquetWriter | None = None

    def write(self, episode: _Episode) -> None:
        if self._writer is None:
            path = self._out / "data" / _place(self.file, ".parquet")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(path, _COLUMNS)
        self._writer.write_table(pa.table(episode.columns, schema=_COLUMNS))
        self._rows += episode.length
        if self._rows >= _ROWS_A_FILE:
            self.close()
            self._rows, self.file = 0, self.file + 1

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class _Episodes:
    """A row an episode: where its data and its video are, and its statistics."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _place(0, ".parquet")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._writer: pq.ParquetWriter | None = None

    def add(self, episode: _Episode, task: str) -> None:
        statistics = {}
        for name, column in episode.columns.items():
            found = Running()
            found.add(np.array(column, dtype=np.float64).reshape(episode.length, -1))
            statistics[name] = _statistics(found)
        statistics[CAMERA] = _picture_statistics(episode.colours, episode.length)
        row: dict[str, Any] = {
            "episode_index": episode.index,
            "tasks": [task],
            "length": episode.length,
            "dataset_from_index": episode.first,
            "dataset_to_index": episode.first + episode.length,
            "data/chunk_index": episode.data_file // _FILES_A_CHUNK,
            "data/file_index": episode.data_file % _FILES_A_CHUNK,
            f"videos/{CAMERA}/chunk_index": episode.index // _FILES_A_CHUNK,
            f"videos/{CAMERA}/file_index": episode.index % _FILES_A_CHUNK,
            f"videos/{CAMERA}/from_timestamp": 0.0,
            f"videos/{CAMERA}/to_timestamp": episode.length / FPS,
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        for name, values in statistics.items():
            row |= {f"stats/{name}/{kind}": value for kind, value in values.items()}
        table = pa.Table.from_pylist([row])
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table.cast(self._writer.schema))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _write_meta(out: Path, splits: dict[str, list[int]], rows: int, size: tuple[int, int], task: str) -> None:
    single: dict[str, Any] = {"shape": [1], "names": None}
    features: dict[str, Any] = {
        CAMERA: {
            "dtype": "video",
            "shape": [*size, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": size[0],
                "video.width": size[1],
                "video.codec": "vp9",
                "video.pix_fmt": "yuv420p",
                "video.fps": FPS,
                "video.channels": 3,
                "is_depth_map": False,
                "has_audio": False,
            },
        },
        "observation.state": {"dtype": "float32", "shape": [len(STATE)], "names": STATE},
    }
    for name in _COLUMNS.names[1:]:
        features[name] = {"dtype": "int64" if "index" in name else "float32", **single}
    info = {
        "codebase_version": "v3.0",
        "robot_type": "trocar",
        "total_episodes": max(last for _, last in splits.values()),
        "total_frames": rows,
        "total_tasks": 1,
        "chunks_size": _FILES_A_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": FPS,
        "splits": {split: f"{first}:{last}" for split, (first, last) in splits.items()},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": features,
    }
    write_json(out / "meta" / "info.json", info)
    # LeRobot reads the tasks with pandas and looks them up by the index; the metadata says which column that is.
    index = {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    column = {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"}
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [{**column, "metadata": None}, index],
        "pandas_version": "2.0.0",
    }
    table = pa.table({"task_index": pa.array([0], pa.int64()), "task": [task]})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), out / "meta" / "tasks.parquet")


def _statistics(found: Running) -> dict[str, list[Any]]:
    values = {"min": found.low, "max": found.high, "mean": found.mean, "std": found.deviation}
    return {**{name: value.tolist() for name, value in values.items()}, "count": [found.count]}


def _picture_statistics(found: Running, frames: int) -> dict[str, Any]:
    """Give the statistics of colours from 0 to 1 in LeRobot's shape (3, 1, 1)."""
    values = {name: value for name, value in _statistics(found).items() if name != "count"}
    return {**{name: [[[one]] for one in value] for name, value in values.items()}, "count": [frames]}


def _place(index: int, suffix: str) -> str:
    return f"chunk-{index // _FILES_A_CHUNK:03d}/file-{index % _FILES_A_CHUNK:03d}{suffix}"
