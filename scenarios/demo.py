"""`trocar demo`: the main job from end to end, on synthetic patients, small enough for a quarter of an hour."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DemoOptions:
    """The main job, small: record, train, drive, report."""

    out: Path = Path("runs/demo")
    """Run folder."""
    seed: int = 0
    """The demo's randomness."""
    minutes: float = 5.0
    """Time for the training."""
    train_patients: int = 10
    """Synthetic colons to record."""
    frames: int = 120
    """Frames recorded in each."""
    test_patients: int = 2
    """Unseen synthetic colons to drive in."""
    episodes: int = 2
    """Episodes of each driver in each."""
    workers: int = 2
    """Processes."""
