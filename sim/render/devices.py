"""Devices of Warp: whether one is there, and what to say where its memory does not do."""

from typing import Any

import warp as wp

from assets.errors import InputError


def check_device(name: str) -> Any:
    """Return Warp's device of a name, such as `cpu` or `cuda:0`.

    Raises:
        InputError: It is not there.
    """
    if wp.config.log_level < wp.LOG_ERROR:
        wp.config.log_level = wp.LOG_ERROR  # otherwise Warp reports its devices on the console
    wp.init()
    there = [str(one) for one in wp.get_devices()]
    if name not in there:
        none = "; there is no CUDA device here" if name.startswith("cuda") and not wp.is_cuda_available() else ""
        raise InputError(f"renderer: expected a device of {', '.join(there)}, found {name!r}{none}")
    return wp.get_device(name)


def on_device(make: Any, advice: str) -> Any:
    """Allocate on a device.

    Raises:
        InputError: It has too little memory; the line says what to lower.
    """
    try:
        return make()
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or "alloc" in str(error).lower() or "memory" in str(error).lower():
            raise InputError(
                f"renderer: expected memory for the scene on the device, found none; use {advice}"
            ) from None
        raise
