"""What goes wrong between tissue and picture: axes with a severity each, from 0 (not there) to 1 (hardly usable)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from assets.errors import InputError


@dataclass(frozen=True)
class Degradations:
    """One severity an axis, within 0 and 1; the default is a clean picture.

    What lies on the tissue (blood, stool, bubbles) hides it, and the masks say so; beyond the surround there is nothing
    in any channel; all else leaves the masks, the depth and the normals as the undisturbed ray has them.
    """

    smoke: float = 0.0
    """Surgical smoke or mist in the lumen; at 1 a twentieth of the light comes back from 5 cm."""
    blood: float = 0.0
    """Blood on the tissue; at 1 on about two thirds of it. Opaque blood is labelled blood."""
    stool: float = 0.0
    """Mucus and stool on the tissue; at 1 on about half of it. Opaque stool is labelled stool."""
    bubbles: float = 0.0
    """Froth on the tissue: thin rings with a highlight each. The tissue shows through, so labels stay."""
    water: float = 0.0
    """Drops of water on the lens, which bend and blur what is behind them."""
    fog: float = 0.0
    """A fogged lens: a veil and a blur, uneven across the picture."""
    smear: float = 0.0
    """Fat or mucus smeared over parts of the lens."""
    glare: float = 0.0
    """Specular glare: wider highlights on surfaces that face the light, with a bloom about them."""
    overexposure: float = 0.0
    """At 1 three stops too bright."""
    underexposure: float = 0.0
    """At 1 four stops too dark, and as much noisier."""
    defocus: float = 0.0
    """Out of focus, near tissue more than far; at 1 by 3 % of the picture's width."""
    motion_blur: float = 0.0
    """Of the camera's own motion; at 1 the shutter is open for 1/30 s. Needs the pose of the frame before."""
    rolling_shutter: float = 0.0
    """Rows are read one after the other; at 1 within 1/30 s. Needs the pose of the frame before; masks go with it."""
    chromatic_aberration: float = 0.0
    """Red and blue are imaged larger and smaller than green; at 1 by 1.5 %."""
    noise: float = 0.0
    """Of a sensor at high gain behind a Bayer mosaic."""
    sharpening: float = 0.0
    """The processor's edge enhancement, with its bright and dark halos."""
    compression: float = 0.0
    """JPEG; quality 95 down to 8."""
    surround: float = 0.0
    """The tower's dark surround: an octagon, a square with round corners, or a disc; at 1 it leaves half."""
    lettering: float = 0.0
    """Patient's data and settings written over the picture. They hide next to nothing, so labels stay."""
    colour_cast: float = 0.0
    """A wrong white balance; at 1 red and blue are off by up to 40 %."""
    seed: int = 0
    """Decides where stains, drops and smears are; frames of one episode share it, so that these stay in place."""

    def __post_init__(self) -> None:
        for name in AXES:
            value = getattr(self, name)
            if not (np.isfinite(value) and 0 <= value <= 1):
                raise InputError(f"degradations: expected a severity within 0 and 1, found {value} for {name}")
        if self.seed < 0:
            raise InputError(f"degradations: expected a seed of at least 0, found {self.seed}")

    @property
    def clean(self) -> bool:
        """True where nothing is wrong."""
        return all(getattr(self, name) == 0 for name in AXES)


AXES: tuple[str, ...] = tuple(field.name for field in fields(Degradations) if field.name != "seed")
"""Names of the axes, in the order in which light meets them."""


def single(axis: str, severity: float, *, seed: int = 0) -> Degradations:
    """Return one axis at a severity, the rest clean: a point of a robustness curve.

    Raises:
        InputError: There is no such axis, or the severity is not within 0 and 1.
    """
    if axis not in AXES:
        raise InputError(f"degradations: expected an axis of {', '.join(AXES)}, found {axis!r}")
    return Degradations(**{axis: severity}, seed=seed)


def draw_degradations(
    rng: np.random.Generator, *, share: float = 0.15, axes: Sequence[str] = AXES, worst: float = 0.8
) -> Degradations:
    """Draw what goes wrong in an episode: each axis is there with a chance of `share`, at a severity up to `worst`.

    Args:
        rng: Decides everything.
        share: Chance of each axis, within 0 and 1.
        axes: Those that may be drawn.
        worst: Greatest severity.

    Raises:
        InputError: There is no such axis, or a value is not within 0 and 1.
    """
    odd = [name for name in axes if name not in AXES]
    if odd or not (0 <= share <= 1 and 0 <= worst <= 1):
        raise InputError(
            f"degradations: expected axes of {', '.join(AXES)} and a share and a worst severity within 0 and 1, "
            f"found {', '.join(odd) or 'those'}, {share} and {worst}"
        )
    there, severity = rng.random(len(AXES)) < share, rng.uniform(0, worst, len(AXES))
    drawn = {name: float(severity[k]) for k, name in enumerate(AXES) if there[k] and name in axes}
    return Degradations(**drawn, seed=int(rng.integers(1 << 31)))
