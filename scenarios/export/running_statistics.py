"""Least, most, mean and deviation of more rows than fit into memory."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray


class Running:
    """Statistics by column of rows that come in pieces (Chan, Golub and LeVeque, 1983, doi:10.2307/2683386)."""

    def __init__(self) -> None:
        self.count = 0
        """Rows so far."""
        self.low = np.empty(0)
        """Least of each column, shape (c,)."""
        self.high = np.empty(0)
        """Most of each column."""
        self.mean = np.empty(0)
        """Mean of each column."""
        self._squares = np.empty(0)

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Standard deviation of each column, of the rows as they are."""
        return np.sqrt(self._squares / self.count)

    def add(self, rows: Float[np.ndarray, "n c"]) -> None:
        """Take in n rows, at least one."""
        other = Running()
        other.count, other.mean = len(rows), rows.mean(axis=0)
        other.low, other.high = rows.min(axis=0), rows.max(axis=0)
        other._squares = ((rows - other.mean) ** 2).sum(axis=0)
        self.merge(other)

    def merge(self, other: "Running") -> None:
        """Take in what another has taken in."""
        if self.count == 0:
            self.count, self.low, self.high = other.count, other.low, other.high
            self.mean, self._squares = other.mean, other._squares
            return
        count = self.count + other.count
        apart = other.mean - self.mean
        self._squares = self._squares + other._squares + apart**2 * (self.count * other.count / count)
        self.mean = self.mean + apart * (other.count / count)
        self.low, self.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        self.count = count
