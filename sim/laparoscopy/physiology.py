"""Breathing and heartbeat: how far they carry a point of the abdomen at a time, prescribed and smooth in space."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.errors import InputError
from assets.patient import Patient

_CAUDAL = np.array([0.0, 0.0, -1.0])
_HEART = np.array([-0.02, 0.03])  # [m] right and anterior of the middle: above the liver's left lobe
_HEART_SIZE = 0.05  # [m]; chosen


@dataclass(frozen=True)
class Physiology:
    """Prescribed motions; the default is stillness, as in apnoea."""

    breath_amplitude: float = 0.0
    """Peak to peak, of the diaphragm along the body [m]. The right hemidiaphragm of pigs moved by 12 mm in spontaneous
    breathing and 18 mm in ventilation (Lesser et al., Eur. J. Med. Res. 21, 2016, doi:10.1186/s40001-016-0205-1);
    livers under a compressed abdomen by 5 mm (doi:10.1186/s13014-016-0762-z)."""
    breath_period: float = 5.0
    """[s]; chosen, 12 breaths a minute."""
    heart_amplitude: float = 0.0
    """Peak to peak, under the heart [m]; what it is in patients was not looked up: 1 to 2 mm are plausible."""
    heart_period: float = 0.85
    """[s]; chosen, 70 beats a minute."""

    def __post_init__(self) -> None:
        amplitudes, periods = (self.breath_amplitude, self.heart_amplitude), (self.breath_period, self.heart_period)
        if not (np.isfinite([*amplitudes, *periods]).all() and min(amplitudes) >= 0 and min(periods) > 0):
            raise InputError(f"physiology: expected amplitudes of at least 0 and periods above 0, found {self}")
        if max(amplitudes) > 0.03:
            raise InputError(f"physiology: expected amplitudes of at most 30 mm, found {1000 * max(amplitudes):.0f} mm")

    @property
    def still(self) -> bool:
        """Nothing moves."""
        return self.breath_amplitude == 0 and self.heart_amplitude == 0

    def breath(self, time: float) -> float:
        """Return how far the diaphragm is down at a time [m]: 0 at the end of expiration, where it rests longest.

        A power of a cosine (Lujan et al., Med. Phys. 26, 1999, doi:10.1118/1.598577).
        """
        return self.breath_amplitude * float(np.sin(np.pi * time / self.breath_period) ** 6)

    def beat(self, time: float) -> float:
        """Return how far the heart presses down at a time [m]."""
        return self.heart_amplitude * float(np.sin(np.pi * time / self.heart_period) ** 4)


class MotionField:
    """Where points of a patient go as it breathes: fully at the top of the liver, and less and less towards the pelvis.

    One field for all organs, so that none runs into another; that the kidneys follow by 0.6 to 0.7 of the diaphragm's
    way (Song et al., J. Magn. Reson. Imaging 33, 2011, doi:10.1002/jmri.22418) comes out of it.
    """

    def __init__(self, patient: Patient, physiology: Physiology) -> None:
        """Fit the field to a patient."""
        self.physiology = physiology
        vertices = np.concatenate([organ.surface.vertices for organ in patient.organs])
        self._low, self._high = float(vertices[:, 2].min()), float(vertices[:, 2].max())

    def offset(self, points: Float[np.ndarray, "n 3"], time: float) -> NDArray[np.float64]:
        """Return how far points [m], given where they are at rest, are away from there at a time [m], shape (n, 3)."""
        up = np.clip((points[:, 2] - self._low) / (self._high - self._low), 0.0, 1.0)
        share = up * up * (3 - 2 * up)
        beside = np.linalg.norm(points[:, :2] - _HEART, axis=1) / _HEART_SIZE
        near = share**2 * np.exp(-(beside**2))
        way = self.physiology.breath(time) * share + self.physiology.beat(time) * near
        return np.asarray(way[:, None] * _CAUDAL)
