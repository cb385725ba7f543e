"""Automatic exposure: the camera's gain follows the brightness of its last picture."""

import math

from assets.errors import InputError


class AutoExposure:
    """A gain that settles so that the picture's mean luminance meets a target, as an endoscope's processor does."""

    def __init__(
        self, *, target: float = 0.16, settling_time: float = 0.2, lowest: float = 0.02, highest: float = 40.0
    ) -> None:
        """Set the controller up at gain 1.

        Args:
            target: Mean linear luminance to reach, 1 is full scale.
            settling_time: Time constant of the approach, on a scale of ratios [s]; chosen: six frames at 30 Hz.
            lowest: Smallest gain, the lamp turned down.
            highest: Largest gain, beyond which the sensor's noise would show.

        Raises:
            InputError: A value is out of range.
        """
        if not (0 < target < 1 and settling_time > 0 and 0 < lowest <= 1 <= highest):
            raise InputError(
                "exposure: expected a target within 0 and 1, a positive settling time and gains around 1, "
                f"found {target}, {settling_time}, {lowest} to {highest}"
            )
        self.target = target
        """Mean linear luminance that it approaches, 1 is full scale."""
        self._settling_time, self._range = settling_time, (lowest, highest)
        self.gain = 1.0
        """The device's reading; what the next frame is to be exposed with."""

    def reset(self, gain: float = 1.0) -> None:
        """Forget the past."""
        self.gain = min(max(gain, self._range[0]), self._range[1])

    def update(self, metered: float, dt: float) -> float:
        """Adapt to the last picture and return the gain of the next.

        Args:
            metered: Mean luminance of the last picture (`Renderer.metered`): linear, 1 is full scale, with the gain.
            dt: Time since then [s].
        """
        share = 1 - math.exp(-dt / self._settling_time)
        # A black picture asks for all the gain there is, at the pace of one that is 16 times too dark.
        ratio = min(max(self.target / max(metered, 1e-6), 1 / 16), 16.0)
        self.reset(self.gain * ratio**share)
        return self.gain
