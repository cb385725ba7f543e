"""Draws looks at random: the tissue, the light and the sensor, each of them or only some."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from assets.errors import InputError
from sim.render.appearance import Appearance

Axis = Literal["texture", "light", "sensor"]
AXES: tuple[Axis, ...] = ("texture", "light", "sensor")
"""What a look consists of."""
NARROW_BAND_SHARE = 0.05
"""Share of the looks in narrow bands: chosen, so small that training on white light is not spoilt."""
GAMMA_FACTOR = 1.2
"""Gamma is drawn from 1 / 1.2 to 1.2: pictures coded for displays of 2.64 down to 1.83, where sRGB's is about 2.2.
Chosen within what standards have meant: 1.8 of Apple's displays before 2009, 2.8 of PAL video (ITU-R BT.470-6)."""
_LONE_GUIDE_SHARE = 0.25
"""Share of the looks with one light guide: chosen; thin bronchoscopes have one, most other endoscopes two or three."""


def draw_appearance(rng: np.random.Generator, *, vary: Sequence[Axis] = AXES) -> Appearance:
    """Draw a look at random, within what real colonoscopies show.

    The ranges are chosen, those of the tissue after pictures (docs/rendering.md). What an axis is drawn as does not
    depend on which others vary, so looks of one seed with other axes can be compared.

    Args:
        rng: Decides everything. The gamma is of a generator that it spawns.
        vary: The axes that are drawn: `texture` the colour, vessels, wetness, roughness and relief of the tissue,
            `light` the guides, their beam, the lamp's temperature, narrow bands and the light between walls, `sensor`
            the vignette, noise, gain and gamma. All else stays as it is by default.

    Raises:
        InputError: There is no such axis.
    """
    if odd := [axis for axis in vary if axis not in AXES]:
        raise InputError(f"appearance: expected axes of {', '.join(AXES)}, found {', '.join(odd)}")
    drawn = {"texture": _texture(rng), "light": _light(rng), "sensor": _sensor(rng)}
    return Appearance(**{name: value for axis in AXES if axis in vary for name, value in drawn[axis].items()})


def _texture(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "hue": float(rng.uniform(-1, 1)),
        "saturation": float(rng.uniform(0.8, 1.15)),
        "brightness": float(rng.uniform(0.75, 1.2)),
        "mottling": float(rng.uniform(0.3, 1.4)),
        "vessel_strength": float(rng.uniform(0.2, 1.8)),
        "vessel_scale": float(rng.uniform(0.7, 1.5)),
        "wetness": float(rng.uniform(0.5, 2.5)),
        "roughness": float(rng.uniform(0.8, 1.6)),
        "bump": float(rng.uniform(0.5, 1.5)),
        "object_seed": int(rng.integers(1 << 31)),
        "texture_offset": (float(rng.uniform(0, 1)), float(rng.uniform(0, 1)), float(rng.uniform(0, 1))),
    }


def _light(rng: np.random.Generator) -> dict[str, Any]:
    """Draw the light; all guides stay within 5.5 mm of the lens where they are 3.8 mm from it by default."""
    return {
        "spot": float(rng.uniform(0.8, 3.0)),
        "light_shift": (float(rng.uniform(-0.0005, 0.0005)), float(rng.uniform(-0.0005, 0.0005))),
        "guide_spread": float(rng.uniform(0.75, 1.25)),
        "guide_turn": float(rng.uniform(-np.pi, np.pi)),
        "lone_guide": bool(rng.random() < _LONE_GUIDE_SHARE),
        "ambient": float(rng.uniform(0.02, 0.075)),
        "temperature": float(rng.uniform(4500.0, 7200.0)),
        "narrow_band": bool(rng.random() < NARROW_BAND_SHARE),
    }


def _sensor(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "vignette": float(rng.uniform(0.1, 0.4)),
        "shot_noise": float(rng.uniform(0.004, 0.02)),
        "read_noise": float(rng.uniform(0.001, 0.006)),
        "gain": float(1.4 * np.exp(rng.uniform(-0.8, 0.8))),
        "gamma": float(GAMMA_FACTOR ** rng.spawn(1)[0].uniform(-1, 1)),
    }
