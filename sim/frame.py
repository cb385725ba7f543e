"""What a camera saw at one time, with its ground truth: plain arrays of one shape and dtype, whatever made them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8, UInt16

from sim.camera import Camera


@dataclass(frozen=True)
class Frame:
    """An image and its ground truth; all channels come from one visibility pass, so they agree pixel by pixel."""

    rgb: UInt8[np.ndarray, "h w 3"]
    """sRGB-encoded colour; 0 where nothing."""
    semantic: UInt8[np.ndarray, "h w"]
    """Label ids of `assets/labels.csv`; 0 (BACKGROUND) where nothing."""
    instance: UInt16[np.ndarray, "h w"]
    """Id of the thing: 1 + its place in the order in which things first appear in the scene; all parts of an instrument
    are one thing, most other objects are one each. 0 where nothing."""
    depth: Float32[np.ndarray, "h w"]
    """z-depth [m] along the optical axis; 0 where nothing."""
    normal: Float32[np.ndarray, "h w 3"]
    """Unit surface normals, camera axes, facing the camera; 0 where nothing."""
    flow: Float32[np.ndarray, "h w 2"]
    """Motion of the seen point to the next frame (du, dv) [px]; 0 where not valid."""
    flow_valid: Bool[np.ndarray, "h w"]
    """True where the point is seen in the next frame too; False everywhere if there is none."""
    T_world_camera: Float64[np.ndarray, "4 4"]
    """Pose, OpenCV camera axes."""
    camera: Camera
    time: float
    """[s] of simulated time."""
    exposure: float
    """Gain from scene radiance to the image, a reading of the device (automatic exposure); 1 is the nominal gain."""
    part: UInt16[np.ndarray, "h w"] | None = None
    """1 + the index of the object in the scene, so of one part of a thing; 0 where nothing. None: not asked for, as of
    all that follow."""
    distance: Float32[np.ndarray, "h w"] | None = None
    """Way from the camera's centre to the seen point along the pixel's ray [m]; 0 where nothing."""
    object_point: Float32[np.ndarray, "h w 3"] | None = None
    """The seen point on its object at rest, in the object's own frame [m] (the world's for what never moved): the same
    tissue has the same value wherever it is moved or how it is deformed; 0 where nothing."""
    light_distance: Float32[np.ndarray, "h w"] | None = None
    """Way from the middle of the light guides to the seen point [m]; 0 where nothing. Shadows do not count."""
    flow_back: Float32[np.ndarray, "h w 2"] | None = None
    """Where the seen point was in the frame before, less where it is (du, dv) [px]; 0 where not valid."""
    flow_back_valid: Bool[np.ndarray, "h w"] | None = None
    """True where the point was seen in the frame before too; where the rest of the picture is False it has come into
    view: uncovered, or from beyond the border."""
