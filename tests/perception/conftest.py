"""Frames of a straight tube with round polyps, by closed-form ray casting: quick, and exact in every channel."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assets.labels import label_id
from assets.transforms import unit
from sim.camera import Camera
from sim.dataset_index import write_dataset
from sim.frame import Frame
from sim.shards import Sample, encode, index_record, write_shard

RADIUS, LENGTH = 0.02, 0.12  # m
LABELS = {"colon_wall": label_id("colon_wall"), "polyp": label_id("polyp")}


def tube_camera(size: int) -> Camera:
    return replace(Camera.with_fov(size, size, 140.0), content_radius=0.57 * size)


def tube_frame(rng: np.random.Generator, camera: Camera) -> tuple[Frame, np.ndarray]:
    """Look down a tube from a point off its axis; return the frame and the direction of the tube's end."""
    rays, shown = camera.rays()
    rays = rays.astype(np.float64)
    axis = unit(np.array([*rng.uniform(-0.7, 0.7, 2), 1.0]))
    side = unit(np.cross(axis, [0.3, 1.0, 0.2]))
    other = np.cross(axis, side)
    offset = rng.uniform(-0.4, 0.4, 2) * RADIUS

    # |offset + t (ray across)| = RADIUS, and the plane of the end.
    along, across = rays @ axis, np.stack([rays @ side, rays @ other], axis=-1)
    a, b, c = (across**2).sum(-1), across @ offset, offset @ offset - RADIUS**2
    a = np.maximum(a, 1e-9)
    distance = (-b + np.sqrt(b * b - a * c)) / a
    end = np.where(along > 1e-6, LENGTH / np.maximum(along, 1e-6), np.inf)
    point = offset + distance[..., None] * across
    cosine = np.abs((across * point).sum(-1)) / RADIUS
    cosine = np.where(end < distance, along, cosine)
    distance = np.minimum(end, distance)
    polyp, instance = np.zeros(distance.shape, np.bool_), np.ones(distance.shape, np.uint16)
    for number in range(rng.integers(0, 3)):
        turn, where, size = rng.uniform(0, 2 * np.pi), rng.uniform(0.012, 0.04), rng.uniform(0.003, 0.006)
        wall = RADIUS * np.array([np.cos(turn), np.sin(turn)]) - offset
        centre = where * axis + wall[0] * side + wall[1] * other
        toward = rays @ centre
        inside = toward**2 - centre @ centre + size**2
        hit = np.where(inside > 0, toward - np.sqrt(np.maximum(inside, 0)), np.inf)
        nearer = (hit > 0) & (hit < distance)
        normal = unit((np.where(nearer, hit, 0)[..., None] * rays) - centre)
        cosine = np.where(nearer, np.abs((normal * rays).sum(-1)), cosine)
        distance, polyp = np.where(nearer, hit, distance), polyp | nearer
        instance[nearer] = 2 + number

    exposure = float(rng.uniform(0.5, 2))
    radiance = 3e-4 * (0.15 + 0.85 * cosine) / distance**2 * exposure
    colour = np.where(polyp[..., None], [1.0, 0.8, 0.7], [1.0, 0.6, 0.5]) * radiance[..., None]
    srgb = np.clip(colour, 0, 1) ** (1 / 2.2) * 255
    depth = np.where(shown, distance * rays[..., 2], 0).astype(np.float32)
    semantic = np.where(polyp, LABELS["polyp"], LABELS["colon_wall"]) * shown
    frame = Frame(
        rgb=np.where(shown[..., None], srgb, 0).astype(np.uint8),
        semantic=semantic.astype(np.uint8),
        instance=(instance * shown).astype(np.uint16),
        depth=depth,
        normal=np.zeros((*shown.shape, 3), np.float32),
        flow=np.zeros((*shown.shape, 2), np.float32),
        flow_valid=np.zeros(shown.shape, np.bool_),
        T_world_camera=np.eye(4),
        camera=camera,
        time=0.0,
        exposure=exposure,
    )
    target = LENGTH * axis - offset[0] * side - offset[1] * other
    return frame, unit(target)


def tube_samples(patient: str, split: str, count: int, size: int, seed: int) -> list[Sample]:
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(count):
        frame, direction = tube_frame(rng, tube_camera(size))
        meta = {
            "patient": patient,
            "split": split,
            "labels": LABELS,
            "lumen_direction": direction.tolist(),
            "lumen_visible": bool(direction[2] > 0.75),
            "step": number,
        }
        samples.append(encode(frame, meta, key=f"{patient}-{number:05d}"))
    return samples


def write_tubes(folder: Path, counts: dict[str, list[int]], size: int) -> Path:
    """Write a data set: for each split the frames of each of its patients."""
    infos, patients, records = {}, {}, []
    seed = 0
    for split, frames in counts.items():
        infos[split], patients[split] = [], []
        for count in frames:
            name = f"tube{seed}"
            samples = tube_samples(name, split, count, size, seed)
            infos[split].append(write_shard(folder / f"{name}.tar", samples))
            patients[split].append(name)
            records += [index_record(sample, f"{name}.tar") for sample in samples]
            seed += 1
    write_dataset(
        folder, records, labels=LABELS, depth_step=1e-5, splits=patients, shards=infos, config={"scenario": "tube"}
    )
    return folder


@pytest.fixture(scope="session")
def make_tubes() -> Callable[[Path, dict[str, list[int]], int], Path]:
    return write_tubes


@pytest.fixture(scope="session")
def tubes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a small data set: two patients to train on, two to validate, one to test."""
    return write_tubes(tmp_path_factory.mktemp("tubes"), {"train": [24, 24], "validation": [8, 8], "test": [8]}, 64)


@pytest.fixture
def make_sample() -> Callable[..., Sample]:
    """Give a maker of single samples: size and seed."""

    def make(size: int = 64, seed: int = 0) -> Sample:
        return tube_samples("tube", "train", 1, size, seed)[0]

    return make
