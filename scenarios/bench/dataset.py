"""Speed of the shards: frames to bytes, bytes to frames, shards to and from the disk."""

import tempfile
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from assets.transforms import unit
from scenarios.bench.stopwatch import stopwatch
from scenarios.figures import Figure
from sim.camera import Camera
from sim.frame import Frame
from sim.shards import encode, read_shard, write_shard

SIZES = (128, 512)  # px
_FRAMES = 50  # in the shard that is written and read


def bench_dataset(*, seconds: float) -> list[Figure]:
    """Measure on made-up frames that compress about as well as rendered ones: smooth, with noise in the colours.

    Args:
        seconds: Time for each single measurement.
    """
    figures = []
    for size in SIZES:
        frame = smooth_frame(size, np.random.default_rng(0))
        sample = encode(frame, {}, key="a")
        encoding = stopwatch(lambda frame=frame: encode(frame, {}, key="a"), seconds=seconds)  # type: ignore[misc]
        decoding = stopwatch(sample.frame, seconds=seconds)
        for name, timing in (("encode", encoding), ("decode", decoding)):
            figures.append(
                Figure(
                    f"dataset.{name}_ms",
                    f"{size} x {size} px",
                    timing.median * 1000,
                    "ms",
                    n=timing.n,
                    how="median of one frame with all channels, one thread",
                )
            )
        weight = sum(map(len, sample.members.values())) / 1000
        figures.append(Figure("dataset.sample_kb", f"{size} x {size} px", weight, "kB", how="all members of one frame"))
    samples = [encode(smooth_frame(128, np.random.default_rng(i)), {}, key=f"{i:06d}") for i in range(_FRAMES)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tar"
        writing = stopwatch(lambda: write_shard(path, samples), seconds=seconds)
        reading = stopwatch(lambda: sum(1 for _ in read_shard(path)), seconds=seconds)
    for name, timing in (("write", writing), ("read", reading)):
        how = f"a shard of {_FRAMES} encoded frames of 128 x 128 px, with checksum and flush to disk when written"
        figures.append(
            Figure(f"dataset.{name}_fps", "128 x 128 px", _FRAMES / timing.median, "1/s", n=timing.n, how=how)
        )
    return figures


def smooth_frame(size: int, rng: np.random.Generator) -> Frame:
    """Make up a frame of smooth depth and normals, some labels, and colours with a sensor's noise."""

    def smooth(channels: int) -> np.ndarray:
        noise = gaussian_filter(rng.normal(size=(size, size, channels)), (size / 12, size / 12, 0))
        return np.asarray(noise / noise.std())

    depth = 0.05 * np.exp(0.4 * smooth(1)[..., 0])
    semantic = np.where(smooth(1)[..., 0] > 1.5, 2, 1).astype(np.uint8)
    rgb = np.clip(130 + 40 * smooth(3) + rng.normal(0, 3, (size, size, 3)), 0, 255)
    return Frame(
        rgb=rgb.astype(np.uint8),
        semantic=semantic,
        instance=semantic.astype(np.uint16),
        depth=depth.astype(np.float32),
        normal=unit(smooth(3) * 0.3 - np.array([0.0, 0.0, 1.0])).astype(np.float32),
        flow=np.zeros((size, size, 2), np.float32),
        flow_valid=np.zeros((size, size), np.bool_),
        T_world_camera=np.eye(4),
        camera=Camera.with_fov(size, size, 140.0),
        time=0.0,
        exposure=1.0,
    )
