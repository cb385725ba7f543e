"""What the shading kernels know of a frame's look and of an object's tissue."""

import warp as wp


@wp.struct
class Look:
    """What changes from frame to frame besides the pose; positions and directions in world axes."""

    light: wp.vec3
    light_a: wp.vec3
    light_b: wp.vec3
    axis: wp.vec3
    light_colour: wp.vec3
    texture_offset: wp.vec3
    spot: wp.float32
    ambient: wp.float32
    gain: wp.float32
    vessel_frequency: wp.float32
    vessel_texels: wp.float32
    pixel_angle: wp.float32
    vignette: wp.float32
    shot_noise: wp.float32
    read_noise: wp.float32
    seed: wp.uint32
    shadows: wp.bool


@wp.struct
class Tissue:
    """Optical properties of one object under one look; `layered` where deep vessels have a colour of their own."""

    colour: wp.vec3
    blood: wp.vec3
    vessel_colour: wp.vec3
    deep_colour: wp.vec3
    alpha2: wp.float32
    lost: wp.float32
    film: wp.float32
    wrap: wp.float32
    vessel_strength: wp.float32
    layered: wp.bool
    bump_slope: wp.float32
    texels: wp.float32
    mottling: wp.float32
    pits: wp.float32
    label: wp.uint8
    instance: wp.uint16
