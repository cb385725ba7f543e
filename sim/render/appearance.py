"""How a picture looks without changing what is in it: the light, the tissue's colour and texture, the sensor."""

from dataclasses import dataclass

import numpy as np

from assets.errors import InputError
from sim.render.light import TEMPERATURES


@dataclass(frozen=True)
class LightSettings:
    """The light guides of the endoscope's tip."""

    power: float = 1.0
    """Relative to the nominal lamp."""
    positions: tuple[tuple[float, float, float], ...] = ((0.0035, 0.0015, 0.0), (-0.0035, 0.0015, 0.0))
    """Centres of one or two light guides [m], camera axes; the tip of a colonoscope is about 13 mm across."""
    shadows: bool = False
    """Whether what is in the picture throws shadows of the guides (`sim.render.shadows`); a frame then takes 1.3 to 1.9
    times as long."""

    def __post_init__(self) -> None:
        if len(self.positions) not in (1, 2) or not np.isfinite(self.positions).all() or not self.power >= 0:
            raise InputError(f"light: expected one or two finite positions and a power of at least 0, found {self}")


@dataclass(frozen=True)
class Appearance:
    """One look; the default is a colonoscope's white light on healthy mucosa."""

    hue: float = 0.0
    """Turn of the tissue's colour towards yellow (positive) or crimson (negative); about -1 to 1."""
    saturation: float = 1.0
    """Factor on the tissue's colourfulness."""
    brightness: float = 1.0
    """Factor on the tissue's albedo."""
    mottling: float = 1.0
    """Factor on the slow variation of the tissue's colour."""
    vessel_strength: float = 1.0
    """Factor on the contrast of the vessels under the mucosa."""
    vessel_scale: float = 1.0
    """Factor on the size of the vessel pattern."""
    wetness: float = 1.0
    """Factor on the strength of the wet film's highlights."""
    roughness: float = 1.0
    """Factor on the film's roughness."""
    bump: float = 1.0
    """Factor on the height of the surface texture."""
    spot: float = 1.5
    """Exponent of the cosine in the light guides' beam."""
    light_shift: tuple[float, float] = (0.0, 0.0)
    """Shift of the light guides across the lens [m]."""
    temperature: float = 6000.0
    """Colour temperature of the lamp [K]; the processor's white balance is set to 6000 K, about that of xenon."""
    narrow_band: bool = False
    """Light of 415 and 540 nm alone, in the colours of narrow-band imaging: approximate, see `sim.render.light`."""
    ambient: float = 0.05
    """Factor on the light that the walls throw at each other; 1 is that of a path tracer. Far below 1 by default, since
    the table's colours are tuned after pictures, which hold that light already."""
    vignette: float = 0.25
    """Loss of light at the corner of the image, as a share."""
    shot_noise: float = 0.01
    """Standard deviation of the photon noise at full scale, as a share of it."""
    read_noise: float = 0.003
    """Standard deviation of the sensor's own noise, as a share of full scale."""
    gain: float = 1.2
    """What the processor makes of the metered light: above 1 brighter than the metering asks for."""
    object_seed: int = 0
    """Decides how each thing differs in colour from the material's mean, as polyps do."""
    texture_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Shift of all surface textures [m]."""

    def __post_init__(self) -> None:
        least, most = TEMPERATURES
        if not least <= self.temperature <= most:
            raise InputError(
                f"appearance: expected a colour temperature of {least:g} to {most:g} K, found {self.temperature}"
            )


def draw_appearance(rng: np.random.Generator) -> Appearance:
    """Draw a look at random, within what real colonoscopies show."""
    return Appearance(
        hue=float(rng.uniform(-1, 1)),
        saturation=float(rng.uniform(0.8, 1.15)),
        brightness=float(rng.uniform(0.75, 1.2)),
        mottling=float(rng.uniform(0.3, 1.4)),
        vessel_strength=float(rng.uniform(0.2, 1.8)),
        vessel_scale=float(rng.uniform(0.7, 1.5)),
        wetness=float(rng.uniform(0.5, 2.5)),
        roughness=float(rng.uniform(0.8, 1.6)),
        bump=float(rng.uniform(0.5, 1.5)),
        spot=float(rng.uniform(0.8, 3.0)),
        light_shift=(float(rng.uniform(-0.001, 0.001)), float(rng.uniform(-0.001, 0.001))),
        temperature=float(rng.uniform(4500.0, 7200.0)),
        ambient=float(rng.uniform(0.02, 0.075)),
        vignette=float(rng.uniform(0.1, 0.4)),
        shot_noise=float(rng.uniform(0.004, 0.02)),
        read_noise=float(rng.uniform(0.001, 0.006)),
        gain=float(1.4 * np.exp(rng.uniform(-0.8, 0.8))),
        object_seed=int(rng.integers(1 << 31)),
        texture_offset=(float(rng.uniform(0, 1)), float(rng.uniform(0, 1)), float(rng.uniform(0, 1))),
    )
