"""Where the CPU's shading keeps what it knows of a run of pixels: quantity by quantity in plain memory.

Loops that only compute are what a compiler turns into vector instructions: they have to be `while` loops over plain
memory with fixed distances.
"""

import warp as wp

from sim.render.plain import get, put

RUN = 128
"""Most pixels of a run: what is kept of them stays in the nearest cache."""
PITCH = RUN + 16
"""Numbers from one quantity of a run to the next: no power of two, or all would share a few lines of the cache."""
QUANTITIES = 46
"""Numbers of a pixel that are kept, and below whole numbers."""
WHOLE_QUANTITIES = 10

# Where the quantities of a run lie: first those of the vertices, then those of place, textures, and light.
AT_N = wp.constant(0)
AT_CAVITY = wp.constant(3 * PITCH)
AT_SLOW = wp.constant(4 * PITCH)
AT_REST = wp.constant(5 * PITCH)
AT_N_REST = wp.constant(8 * PITCH)
AT_RAY = wp.constant(11 * PITCH)
AT_DISTANCE = wp.constant(14 * PITCH)
AT_FOOTPRINT = wp.constant(15 * PITCH)
AT_PLACE = wp.constant(16 * PITCH)
AT_SHARE = wp.constant(19 * PITCH)
AT_VESSEL_SHARES = wp.constant(22 * PITCH)
AT_ON = wp.constant(25 * PITCH)
AT_RELIEF = wp.constant(31 * PITCH)
AT_GRAIN = wp.constant(34 * PITCH)
AT_GRADIENT = wp.constant(35 * PITCH)
AT_PITS = wp.constant(38 * PITCH)
AT_VESSEL = wp.constant(39 * PITCH)
AT_DEEP = wp.constant(40 * PITCH)
AT_LIGHT = wp.constant(41 * PITCH)
AT_SIGMA = wp.constant(44 * PITCH)
AT_BRIGHTNESS = wp.constant(45 * PITCH)
# The same of the whole numbers.
AT_LEVEL = wp.constant(4 * PITCH)
AT_VESSEL_PITCH = wp.constant(5 * PITCH)
AT_TEXEL = wp.constant(6 * PITCH)
AT_BITS = wp.constant(9 * PITCH)


@wp.func
def get3(run: wp.array[float], at: int) -> wp.vec3:
    """Read a vector, whose parts are three quantities."""
    return wp.vec3(get(run, at), get(run, at + PITCH), get(run, at + 2 * PITCH))


@wp.func
def put3(run: wp.array[float], at: int, value: wp.vec3) -> None:
    """Write a vector as three quantities."""
    put(run, at, value[0])
    put(run, at + PITCH, value[1])
    put(run, at + 2 * PITCH, value[2])


@wp.func
def get_ray(rays: wp.array[float], pixel: int) -> wp.vec3:
    """Read a ray of those that lie all x first, then all y, then all z."""
    pixels = rays.shape[0] // 3
    return wp.vec3(get(rays, pixel), get(rays, pixel + pixels), get(rays, pixel + 2 * pixels))
