"""The colour of the light: a lamp of a colour temperature, and narrow bands of blue and green."""

import numpy as np
from jaxtyping import Float64

from assets.errors import InputError

TEMPERATURES = (1000.0, 15000.0)
"""Range of colour temperatures [K] in which the approximation of the Planckian locus holds."""
BALANCED = 6000.0
"""Colour temperature [K] that the processor takes for white: chosen, about that of a xenon lamp."""
_FROM_XYZ = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)
"""CIE XYZ to linear sRGB (IEC 61966-2-1)."""
NARROW_BALANCE = (0.6, 1.0, 0.6)
"""Gains of the processor in narrow-band imaging: chosen, so that mucosa is a pale brown as in published pictures."""
NARROW_CONTRAST = 1.7
"""Factor on the contrast of vessels in narrow-band imaging: chosen; those that white light passes through are opaque at
415 nm."""
_DEEP_SEEN = 0.15
"""Chosen: how much of a deep vessel's contrast 415 nm shows."""
_SORET = 0.7
"""Chosen: how much more haemoglobin takes of 415 nm than of 540 nm, as an exponent of how much redder than green a
tissue is. Its absorption is about ten times as high there, but the light that comes back has not gone as deep."""


def chromaticity(temperature: float) -> tuple[float, float]:
    """Return the CIE 1931 chromaticity (x, y) of a black body.

    Krystek's rational approximation in CIE 1960 u, v (An algorithm to calculate correlated colour temperature, Color
    Res. Appl. 10, 1985), whose error is below 1e-4 from 1000 to 15000 K.

    Args:
        temperature: [K].

    Raises:
        InputError: The temperature is out of that range.
    """
    if not TEMPERATURES[0] <= temperature <= TEMPERATURES[1]:
        raise InputError(
            f"light: expected a colour temperature of {TEMPERATURES[0]:g} to {TEMPERATURES[1]:g} K, found {temperature}"
        )
    t = temperature
    u = (0.860117757 + 1.54118254e-4 * t + 1.28641212e-7 * t**2) / (1 + 8.42420235e-4 * t + 7.08145163e-7 * t**2)
    v = (0.317398726 + 4.22806245e-5 * t + 4.20481691e-8 * t**2) / (1 - 2.89741816e-5 * t + 1.61456053e-7 * t**2)
    scale = 2 * u - 8 * v + 4
    return 3 * u / scale, 2 * v / scale


def lamp_colour(temperature: float, *, balanced: float = BALANCED) -> Float64[np.ndarray, "3"]:
    """Return the linear sRGB of a lamp's light as a processor shows it, green at 1.

    Args:
        temperature: Of the lamp [K].
        balanced: That the processor shows as white [K]; it scales the channels (von Kries).

    Raises:
        InputError: A temperature is out of range.
    """
    light, white = (_linear_srgb(*chromaticity(one)) for one in (temperature, balanced))
    colour = np.maximum(light / white, 0)
    return np.asarray(colour / colour[1], dtype=np.float64)


def narrow_band(albedo: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "3"]:
    """Return what narrow-band imaging shows of a tissue: 540 nm as red, 415 nm as green and blue.

    An approximation from three channels: green stands for 540 nm; at 415 nm, in haemoglobin's Soret band, as much less
    comes back as the tissue is redder than green. So superficial vessels turn dark brown on a pale brown mucosa. Bands
    and colours: Gono, Clin. Endosc. 48, 2015, doi:10.5946/ce.2015.48.6.476.

    Args:
        albedo: Linear RGB under white light.
    """
    red, green = np.maximum(albedo[:2], 1e-4)
    blue = green * min(green / red, 1.0) ** _SORET
    return np.array([green, blue, blue], np.float64)


def deep_in_narrow_band(tissue: Float64[np.ndarray, "3"], vessel: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "3"]:
    """Return what narrow-band imaging shows of a vessel deep below a tissue: cyan (Gono, as for `narrow_band`).

    Light of 540 nm comes from as deep as green light does, that of 415 nm mostly turns back above the vessel.

    Args:
        tissue: Linear RGB under white light.
        vessel: The same of the vessel through the tissue.
    """
    above, through = narrow_band(tissue), narrow_band(vessel)
    seen = np.array([1.0, _DEEP_SEEN, _DEEP_SEEN])
    return np.asarray(above + seen * (through - above), np.float64)


def _linear_srgb(x: float, y: float) -> Float64[np.ndarray, "3"]:
    return np.asarray(_FROM_XYZ @ [x / y, 1.0, (1 - x - y) / y], dtype=np.float64)
