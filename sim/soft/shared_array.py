"""An array that the host and a device both see: one memory on the CPU, two copies elsewhere."""

from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray


class SharedArray:
    """A NumPy array and its Warp twin; on the CPU `push` and `pull` have nothing to do."""

    def __init__(self, values: NDArray[Any], dtype: Any, device: str) -> None:
        """Take the values over; `dtype` is Warp's."""
        self.host = np.array(values, order="C")
        self._same = wp.get_device(device).is_cpu
        self.device: wp.array = wp.array(self.host, dtype=dtype, device=device, copy=not self._same)

    def push(self) -> None:
        """Make the device see what the host wrote."""
        if not self._same:
            self.device.assign(self.host)

    def pull(self) -> NDArray[Any]:
        """Return the host's array with what the device wrote."""
        if not self._same:
            self.host[...] = self.device.numpy()
        return self.host
