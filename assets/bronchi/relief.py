"""What stands out from the wall: cartilages in front and at the sides, longitudinal folds on the membranous wall."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assets.bronchi.measures import RING_HEIGHT, Measures
from assets.bronchi.tree import TRACHEA
from assets.bronchi.tube import Tube

Array = NDArray[np.float64]
Single = NDArray[np.float32]

FOLD = 0.00026
"""How far longitudinal folds stand out [m]: bundles of elastic fibres below the mucosa (Monkhouse and Whimster, J.
Anat. 122, 1976); height chosen after bronchoscopic pictures."""
FOLD_PITCH = 0.0026
"""From fold to fold [m], chosen after bronchoscopic pictures."""
FINE = 0.0001
"""Step of the tables along the axis [m]."""


@dataclass(frozen=True)
class Relief:
    """The relief of one tube as a function of arc, angle and place across the posterior wall."""

    rings: Array
    """1 on a cartilage, 0 between two, at every `FINE` of the arc; shape (n,)."""
    tilt: Array
    """How far the rings stand aside from straight, as cosine and sine of the angle and of twice it [m]; shape (4,)."""
    patch: float
    """Angle about which plates are strongest [rad]."""
    phase: Array
    """Phase of the longitudinal folds, at every `FINE` of the arc [rad]; shape (n,)."""


def draw_relief(rng: np.random.Generator, tube: Tube, measures: Measures) -> Relief:
    """Draw the places, heights and tilts of a tube's cartilages, and how its folds wander."""
    count = int(tube.arc[-1] / FINE) + 2
    arc = FINE * np.arange(count)
    pitch = measures.length / measures.ring_count
    if tube.membrane == 0.0:
        pitch *= 0.72  # plates of the bronchi lie closer
    number = int(tube.arc[-1] / pitch) + 3
    gaps = pitch * np.clip(rng.normal(1.0, 0.10, number), 0.75, 1.3)
    centres = np.cumsum(gaps) - rng.uniform(0.3, 1.0) * pitch
    half = 0.5 * RING_HEIGHT * (pitch / 0.006) * np.clip(rng.normal(1.0, 0.08, number), 0.8, 1.2)
    nearest = np.abs(arc[:, None] - centres).argmin(axis=1)
    away = np.abs(arc - centres[nearest])
    rings = 1.0 / (1.0 + np.exp((away - half[nearest]) / 0.00028))
    strength = 0.00022 if tube.membrane else 0.0006
    if tube.name == TRACHEA:
        strength = 0.00030
    slow = np.interp(arc, np.linspace(0.0, arc[-1], 8), np.cumsum(rng.normal(0.0, 0.9, 8)))
    return Relief(
        rings=rings,
        tilt=strength * rng.standard_normal(4),
        patch=float(rng.uniform(0.0, 2 * np.pi)),
        phase=slow + rng.uniform(0.0, 2 * np.pi),
    )


def inward(relief: Relief, tube: Tube, arc: Single, back: Single, side: Single) -> Single:
    """Return how far the wall stands inwards of the smooth section [m].

    Args:
        relief: The tube's.
        tube: The tube.
        arc: Along the axis [m], any shape.
        back: Component from the axis towards the back of the body [m], the same shape.
        side: Component across it [m], the same shape.
    """
    distance = np.sqrt(back * back + side * side) + np.float32(1e-9)
    cosine, sine = back / distance, side / distance
    tilt = relief.tilt.astype(np.float32)
    aside = tilt[0] * cosine + tilt[1] * sine + tilt[2] * (2 * cosine**2 - 1) + tilt[3] * 2 * sine * cosine
    at = np.clip((arc + aside) / np.float32(FINE), 0, len(relief.rings) - 1.01)
    index = at.astype(np.int32)
    share = at - index.astype(np.float32)
    rings = (relief.rings - relief.rings.mean()).astype(np.float32)
    ring = rings[index] * (1 - share) + rings[index + 1] * share
    if tube.bend:  # none where it leaves its parent: there the partition between sisters is thin
        ring = ring * np.clip(arc * np.float32(2 / tube.bend) - 1, 0, 1)
    if not tube.membrane:
        # Plates do not go all round.
        way = np.float32(np.cos(relief.patch)), np.float32(np.sin(relief.patch))
        return np.asarray(np.float32(tube.cartilage) * (0.55 + 0.45 * (way[0] * cosine + way[1] * sine)) * ring)
    horseshoe = np.clip((0.80 - cosine) / 0.35, 0, 1)
    horseshoe = horseshoe * horseshoe * (3 - 2 * horseshoe)
    phase = relief.phase.astype(np.float32)[index]
    across = side * np.float32(2 * np.pi / FOLD_PITCH)
    # Two waves of unlike pitch: folds wander, fork and fade.
    fold = 0.65 * np.cos(across + phase) + 0.45 * np.cos(0.62 * across - 1.7 * phase)
    folds = np.float32(tube.membrane * FOLD) * (1 - horseshoe) * fold
    return np.asarray(np.float32(tube.cartilage) * horseshoe * ring + folds)
