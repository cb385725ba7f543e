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
    """1 + the index of the object in the scene; 0 where nothing."""
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
