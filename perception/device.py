"""Where networks run, and in which precision they train."""

import torch

from assets.errors import InputError


def choose_device(name: str | None) -> torch.device:
    """Return the named device; None takes CUDA where it is there, else the CPU.

    Raises:
        InputError: There is no such device.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise InputError(f"device: expected cpu or cuda, found {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: expected a CUDA device, found none; use cpu")
    return torch.device(name)


def trains_in_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 in hardware: there a training step takes about half the time.

    On a CPU that must be AVX512_BF16 or AMX; where it is only emulated, as on older ones, it would cost time.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
