"""Small data sets of a camera that moves down a straight tube with two balls in it, by closed-form ray casting."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from assets.labels import label_id
from scenarios.export.reprojection import with_static_flow
from sim.camera import Camera
from sim.codec import Storage
from sim.dataset_index import write_dataset
from sim.frame import Frame
from sim.shards import encode, index_record, read_shard, write_shard

RADIUS, LENGTH = 0.02, 0.09  # m
BALLS = (((0.015, 0.004, 0.045), 0.006), ((-0.012, -0.012, 0.060), 0.005))  # centre and radius [m]
LABELS = {"colon_wall": label_id("colon_wall"), "polyp": label_id("polyp")}
FISHEYE = replace(Camera.with_fov(40, 32, 140.0), distortion=(-0.02, 0.004, 0.0, 0.0), content_radius=19.0)
PINHOLE = Camera(40, 32, 24.0, 25.0, 18.6, 16.2)


def pose(step: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    turn = rng.uniform(-0.15, 0.15, 3) + step * rng.uniform(-0.01, 0.01, 3)
    T_world_camera = np.eye(4)
    T_world_camera[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    T_world_camera[:3, 3] = (*rng.uniform(-0.004, 0.004, 2), 0.004 + 0.002 * step)
    return T_world_camera


def render(camera: Camera, T_world_camera: np.ndarray, time: float) -> Frame:
    """See the tube along z from the plane z = 0 to its end, and the balls."""
    local, shown = camera.rays()
    rays, origin = local.astype(np.float64) @ T_world_camera[:3, :3].T, T_world_camera[:3, 3]
    across = rays[..., :2]
    a, b, c = (across**2).sum(-1), across @ origin[:2], origin[:2] @ origin[:2] - RADIUS**2
    a = np.maximum(a, 1e-12)
    distance = (-b + np.sqrt(b * b - a * c)) / a
    point = origin + distance[..., None] * rays
    normal = np.concatenate([-point[..., :2] / RADIUS, np.zeros((*a.shape, 1))], axis=-1)
    for level, facing in ((LENGTH, -1.0), (0.0, 1.0)):
        along = np.where(rays[..., 2] * facing < -1e-9, rays[..., 2], np.nan)
        end = np.nan_to_num((level - origin[2]) / along, nan=np.inf)
        nearer = (end > 0) & (end < distance)
        distance = np.where(nearer, end, distance)
        normal = np.where(nearer[..., None], (0.0, 0.0, facing), normal)
    instance = np.ones(a.shape, np.uint16)
    for number, (centre, radius) in enumerate(BALLS, 2):
        toward = rays @ (np.array(centre) - origin)
        inside = toward**2 - ((np.array(centre) - origin) ** 2).sum() + radius**2
        hit = np.where(inside > 0, toward - np.sqrt(np.maximum(inside, 0)), np.inf)
        nearer = (hit > 0) & (hit < distance)
        distance, instance = np.where(nearer, hit, distance), np.where(nearer, number, instance)
        outward = (origin + np.where(nearer, hit, 0)[..., None] * rays - centre) / radius
        normal = np.where(nearer[..., None], outward, normal)
    normal = normal @ T_world_camera[:3, :3]
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    shade = np.clip(-(normal * local).sum(-1) * 180 + 40, 0, 255) * shown
    colours = np.array([[0.0, 0.0, 0.0], [1.0, 0.6, 0.5], [1.0, 0.8, 0.7], [0.9, 0.8, 0.6]])
    instance = (instance * shown).astype(np.uint16)
    ids = np.array([0, LABELS["colon_wall"], LABELS["polyp"], LABELS["polyp"]], np.uint8)
    return Frame(
        rgb=(shade[..., None] * colours[instance]).astype(np.uint8),
        semantic=ids[instance],
        instance=instance,
        depth=np.where(shown, distance * local[..., 2], 0).astype(np.float32),
        normal=np.where(shown[..., None], normal, 0).astype(np.float32),
        flow=np.zeros((*shown.shape, 2), np.float32),
        flow_valid=np.zeros(shown.shape, np.bool_),
        T_world_camera=T_world_camera,
        camera=camera,
        time=time,
        exposure=1.0,
    )


def samples(patient: str, split: str, camera: Camera, frames: int, episodes: int, seed: int):
    for episode in range(episodes):
        views = [render(camera, pose(step, seed + episode), 0.3 * step) for step in range(frames)]
        for step, frame in enumerate(views):
            if step + 1 < frames:
                frame = with_static_flow(frame, views[step + 1])
            meta = {
                "patient": patient,
                "split": split,
                "episode": episode,
                "step": 3 * step,
                "phase": "insertion",
                "labels": LABELS,
                "lumen_direction": [0.0, 0.0, 1.0],
                "lumen_visible": True,
                "contact": step % 2 == 1,
                "arc": 0.002 * step,
            }
            yield encode(frame, meta, key=f"{patient}-{episode:02d}-{3 * step:05d}", with_flow=True)


def write_scene(folder: Path, camera: Camera = FISHEYE, frames: int = 4) -> Path:
    """Write a data set: two patients to train on, the first seen twice, and one to validate."""
    patients = {"train": {"ann": 2, "bob": 1}, "validation": {"eve": 1}}
    infos, records = {}, []
    for split, episodes in patients.items():
        infos[split] = []
        for patient, count in episodes.items():
            path = folder / f"{patient}.tar"
            seed = sum(map(ord, patient))
            infos[split].append(write_shard(path, samples(patient, split, camera, frames, count, seed)))
            records += [index_record(sample, path.name) for sample in read_shard(path)]
    write_dataset(
        folder,
        records,
        labels=LABELS,
        depth_step=1e-5,
        splits={split: list(names) for split, names in patients.items()},
        shards=infos,
        config={"scenario": "tube"},
    )
    return folder


LOOKS, BASELINE = 2, 0.004
MIXED = Storage(rgb="jpg", exact=("depth", "normal", "flow"))


def look(frame: Frame, number: int) -> Frame:
    """Give a frame other colours and the same truth."""
    return replace(frame, rgb=np.roll(frame.rgb, number, axis=-1))


def write_views(folder: Path, storage: Storage = MIXED) -> Path:
    """Write a patient seen in two episodes of three moments, each under two looks and with two eyes."""
    T_left_right = np.eye(4)
    T_left_right[0, 3] = BASELINE
    samples = []
    for episode in range(2):
        left = [render(PINHOLE, pose(step, 7 + episode), 0.3 * step) for step in range(3)]
        left = [*(with_static_flow(one, after) for one, after in pairwise(left)), left[-1]]
        for step, frame in enumerate(left):
            key = f"ann-{episode:02d}-{3 * step:05d}"
            other = render(PINHOLE, frame.T_world_camera @ T_left_right, frame.time)
            for view, seen in (("left", frame), ("right", other)):
                for number in range(LOOKS):
                    meta = {
                        "patient": "ann",
                        "split": "train",
                        "episode": episode,
                        "step": 3 * step,
                        "labels": LABELS,
                        "lumen_direction": [0.0, 0.0, 1.0],
                        "lumen_visible": True,
                        "geometry": key,
                        "look": number,
                        "view": view,
                        "T_left_right": T_left_right.tolist(),
                    }
                    name = key + (f"-l{number:02d}" if number else "") + ("-right" if view == "right" else "")
                    with_flow = view == "left"
                    one = look(seen, number)
                    samples.append(encode(one, meta, key=name, with_flow=with_flow, storage=storage))
    info = write_shard(folder / "ann.tar", samples)
    write_dataset(
        folder,
        [index_record(sample, info.name) for sample in samples],
        labels=LABELS,
        depth_step=1e-5,
        splits={"train": ["ann"]},
        shards={"train": [info]},
        config={"scenario": "tube"},
    )
    return folder


@pytest.fixture(scope="session")
def views_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give 24 frames: two looks, two eyes, colours as JPEG, depth, normals and flow exact."""
    return write_views(tmp_path_factory.mktemp("views") / "data")


@pytest.fixture(scope="session")
def make_scene() -> Callable[..., Path]:
    """Give the writer: folder, camera, frames an episode."""
    return write_scene


@pytest.fixture(scope="session")
def fisheye_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give 16 frames through a fisheye with distortion and a dark surround."""
    return write_scene(tmp_path_factory.mktemp("fisheye") / "data")


@pytest.fixture(scope="session")
def pinhole_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give 16 frames through a pinhole whose sides and centre differ."""
    return write_scene(tmp_path_factory.mktemp("pinhole") / "data", PINHOLE)


@pytest.fixture
def pinhole_camera() -> Camera:
    return PINHOLE


@pytest.fixture
def fisheye_camera() -> Camera:
    return FISHEYE
