"""Our lenses as the omnidirectional one of Scaramuzza, which C3VD uses; see `sim.lens_models.Omnidirectional`."""

import numpy as np

from sim.camera import Camera
from sim.lens_models import PARAMETERS, lens_of

NAMES = PARAMETERS["omnidirectional"]
"""a0 [px], a2 [1/px], a3 [1/px^2], a4 [1/px^3] and the affine part c, d, e."""

# C3VD's colonoscope, an Olympus CF-HQ190L, counted from 0: Bobrow et al., Medical Image Analysis 90, 2023,
# doi:10.1016/j.media.2023.102956; the values are those of the data set's own example of a loader.
CF_HQ190L = Camera.omnidirectional(
    1350,
    1080,
    (678.544839263292, 542.975887548343),
    (
        769.243600037458,
        -0.000812770624150226,
        6.25674244578925e-07,
        -1.19662182144280e-09,
        0.999986882249990,
        0.00288273829525059,
        -0.00296316513429569,
    ),
)
_POINTS = 400  # of the radius, for the fit


def omnidirectional(camera: Camera) -> tuple[Camera, float]:
    """Describe a camera by the omnidirectional lens; parts of its own lens that are not round are left out.

    Returns:
        The camera, and by how much [px] it is off at worst where the lens shows something; 0 for a pinhole.
    """
    if camera.model == "omnidirectional":
        return camera, 0.0
    rays, shown = camera.rays()
    widest = float(np.arccos(np.clip(rays[shown][:, 2].min(), -1, 1)))
    angle = np.linspace(0, widest, _POINTS + 1)[1:]
    radius = lens_of(camera.model, camera.distortion).radius(angle) * camera.fy
    height = radius / np.tan(angle)
    # A height that is off by 1 turns the ray by radius / (radius^2 + height^2).
    weight = radius / (radius**2 + height**2)
    powers = np.stack([np.ones_like(radius), radius**2, radius**3, radius**4], axis=-1)
    if camera.model == "pinhole":
        values = [float(camera.fy), 0.0, 0.0, 0.0]
    else:
        values = np.linalg.lstsq(powers * weight[:, None], height * weight, rcond=None)[0].tolist()
    parameters = (*values, float(camera.fx / camera.fy), 0.0, 0.0)
    made = Camera.omnidirectional(camera.width, camera.height, (float(camera.cx), float(camera.cy)), parameters)
    row, column = np.nonzero(shown)
    found, _ = made.project(rays[shown].astype(np.float64))
    return made, float(np.abs(found - np.stack([column, row], axis=-1)).max(initial=0.0))
