"""Does a worker's memory grow with the frames that it has recorded? Shard after shard in one process."""

import tempfile
from pathlib import Path

import numpy as np
from scipy.stats import linregress, t

from assets.patient_io import save_patient
from assets.sources import load_source
from scenarios.bench.endurance import resident_bytes
from scenarios.figures import Figure
from scenarios.generate import GenerateOptions
from scenarios.recording import Piece, record_patient

_WARM = 2  # shards before the first that counts: kernels are loaded, caches filled


def bench_recording_memory(patient: str, *, shards: int = 20, frames: int = 100, size: int = 32) -> list[Figure]:
    """Record shards of one patient, each with another seed, and fit a line through the memory after each.

    Args:
        patient: As `assets.sources` takes it.
        shards: That count; at least 3.
        frames: A shard.
        size: Of the pictures [px].

    Returns:
        The slope with its 95 % interval, and what it would come to over 100,000 frames.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        source = str(Path(folder) / "patient")
        save_patient(load_source(patient), Path(source))  # a folder is read in less time than one is made up
        for seed in range(_WARM + shards):
            options = GenerateOptions((source,), Path(folder), frames=frames, every=1, size=(size, size), seed=seed)
            path = Path(folder) / "a.tar"
            count = record_patient(Piece(source, "train", path, options)).count
            path.unlink()
            found.append((count, resident_bytes()))
    kept = found[_WARM:]
    recorded = np.cumsum([count for count, _ in kept])
    fit = linregress(recorded, [memory for _, memory in kept])
    half = float(t.ppf(0.975, len(kept) - 2) * fit.stderr)
    subset, how = f"{size} x {size} px", f"line through the memory after each of {shards} shards in one process"
    slope = float(fit.slope)
    total = 100_000 / 1e6
    return [
        Figure(
            "dataset.memory_per_frame", subset, slope, "B", slope - half, slope + half, n=int(recorded[-1]), how=how
        ),
        Figure(
            "dataset.memory_100k_frames_mb",
            subset,
            slope * total,
            "MB",
            (slope - half) * total,
            (slope + half) * total,
            n=int(recorded[-1]),
            how="the slope times 100,000 frames",
        ),
    ]
