"""The functions between the network's layers that a user may choose from."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Activation = Literal["relu", "leaky_relu", "elu", "silu", "tanh", "sigmoid", "maxout"]
"""ReLU: Nair and Hinton, ICML 2010. Leaky ReLU, slope 0.01: Maas et al., ICML 2013. ELU, alpha 1: Clevert et al., ICLR
2016, arXiv:1511.07289. SiLU: Elfwing et al., Neural Networks 107, 2018, doi:10.1016/j.neunet.2017.12.012. Maxout of two
pieces: Goodfellow et al., ICML 2013, arXiv:1302.4389."""

_FUNCTIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": partial(functional.relu, inplace=True),
    "leaky_relu": partial(functional.leaky_relu, negative_slope=0.01, inplace=True),
    "elu": partial(functional.elu, inplace=True),
    "silu": functional.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


def pieces(activation: Activation) -> int:
    """Return how many channels the function takes for each that it gives."""
    return 2 if activation == "maxout" else 1


def activate(x: Tensor, activation: Activation, shortcut: Tensor | None = None) -> Tensor:
    """Apply the function to `x`, shape (batch, pieces x channels, ...), plus a shortcut, (batch, channels, ...).

    Returns:
        Shape (batch, channels, ...); `x` may be overwritten.
    """
    if activation == "maxout":
        first, second = x.chunk(2, dim=1)
        largest = torch.maximum(first, second)
        return largest if shortcut is None else largest + shortcut
    return _FUNCTIONS[activation](x if shortcut is None else x + shortcut)
