"""How a picture looks without changing what is in it: the light, the tissue's colour and texture, the sensor."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from assets.errors import InputError
from assets.transforms import apply
from sim.render.light import TEMPERATURES


@dataclass(frozen=True)
class LightSettings:
    """The light guides of the endoscope's tip."""

    power: float = 1.0
    """Relative to the nominal lamp."""
    positions: tuple[tuple[float, float, float], ...] = ((0.0035, 0.0015, 0.0), (-0.0035, 0.0015, 0.0))
    """Centres of one or two light guides [m], camera axes; the tip of a colonoscope is about 13 mm across."""
    middle: tuple[float, float] = (0.0, 0.0)
    """Where the optical axis is that a look turns and spreads the guides about [m], camera axes x and y: the camera's
    own, but for a second camera beside it."""
    shadows: bool = False
    """Whether what is in the picture throws shadows of the guides (`sim.render.shadows`); a frame then takes 1.3 to 1.9
    times as long."""

    def __post_init__(self) -> None:
        places = (*self.positions, (*self.middle, 0.0))
        if len(self.positions) not in (1, 2) or not np.isfinite(places).all() or not self.power >= 0:
            raise InputError(f"light: expected one or two finite positions and a power of at least 0, found {self}")

    def seen_from(self, T_other_camera: Float[np.ndarray, "4 4"]) -> "LightSettings":
        """Return the same light in the axes of another camera, which looks nearly the same way."""
        seen = apply(T_other_camera, np.array([*self.positions, (*self.middle, 0.0)], np.float64)).tolist()
        return replace(self, positions=tuple((x, y, z) for x, y, z in seen[:-1]), middle=(seen[-1][0], seen[-1][1]))


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
    guide_spread: float = 1.0
    """Factor on the light guides' distance from the optical axis, before the shift."""
    guide_turn: float = 0.0
    """Turn of the light guides about the optical axis, from x to y, before the shift [rad]."""
    lone_guide: bool = False
    """Whether the first light guide has all of the lamp's light."""
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
    gamma: float = 1.0
    """Exponent of the processor's tone curve, on the display's linear light before sRGB is encoded: above 1 the middle
    tones are darker."""
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
        if not 0 < self.gamma < np.inf:
            raise InputError(f"appearance: expected a finite gamma above 0, found {self.gamma}")
