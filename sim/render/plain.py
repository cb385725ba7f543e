"""Reading and writing of arrays without gaps: what a compiler needs to see to make vector instructions of a loop."""

# mypy: disable-error-code="empty-body"
# (What native functions do is in their decorator.)

import warp as wp


@wp.func_native("return values.data[at];")
def get(values: wp.array[float], at: int) -> float:
    """Read a number."""


@wp.func_native("values.data[at] = value;")
def put(values: wp.array[float], at: int, value: float) -> None:
    """Write a number."""


@wp.func_native("return values.data[at];")
def get_whole(values: wp.array[int], at: int) -> int:
    """Read a whole number."""


@wp.func_native("values.data[at] = value;")
def put_whole(values: wp.array[int], at: int, value: int) -> None:
    """Write a whole number."""


@wp.func_native("return values.data[at];")
def get_vec2(values: wp.array[wp.vec2], at: int) -> wp.vec2:
    """Read two numbers."""


@wp.func_native("values.data[at] = value;")
def put_vec2(values: wp.array[wp.vec2], at: int, value: wp.vec2) -> None:
    """Write two numbers."""


@wp.func_native("return values.data[at];")
def get_vec4(values: wp.array[wp.vec4], at: int) -> wp.vec4:
    """Read four numbers."""


@wp.func_native("return values.data[at];")
def get_byte(values: wp.array[wp.uint8], at: int) -> wp.uint8:
    """Read a byte."""
