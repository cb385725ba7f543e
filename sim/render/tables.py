"""Tables that shading looks things up in: one set for all cameras of a scene, and the vignette of each camera."""

from typing import Any

import numpy as np
import warp as wp
from jaxtyping import Float32

from sim.camera import Camera
from sim.render.look import gauss_table
from sim.render.scene import RenderScene
from sim.render.textures import noise_volumes
from sim.render.vessels import vessel_images


def shared_tables(scene: RenderScene) -> dict[str, Any]:
    """Return the textures and tables that all cameras of a scene share, on its device; the first call makes them.

    Raises:
        InputError: The device has too little memory.
    """
    return scene.tables(
        lambda: {
            "gauss": scene.put(gauss_table(), wp.float32),
            "volumes": scene.put(noise_volumes(), wp.vec4),
            "vessels": scene.put(vessel_images(), wp.float32),
        }
    )


def falloff(camera: Camera) -> Float32[np.ndarray, "n"]:
    """Return how far each pixel is from the optical axis, squared, row by row; 1 at half the picture's diagonal."""
    v, u = np.divmod(np.arange(camera.width * camera.height), camera.width)
    corner = np.hypot(camera.width, camera.height) / 2
    return ((np.hypot(u - camera.cx, v - camera.cy) / corner) ** 2).astype(np.float32)
