"""How near the renderer's shadows, a march through the depth buffer, come to those of exact rays from the guides."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray

from assets.colon.synthesis import synthetic_colon
from assets.transforms import apply
from scenarios.bench.render import poses_along
from scenarios.bench.render_rivals import need
from scenarios.figures import Figure
from sim.camera import Camera
from sim.frame import Frame
from sim.render.appearance import LightSettings
from sim.render.renderer import Renderer
from sim.scene_objects import SceneObject, objects_of

VIEWS = 6
_FOV_DEG = 100.0
_UNIT = 0.01  # m; Embree's tolerances suit coordinates around 1
_ITSELF = 2e-3  # of the way from the guide to the point: what is hit so near before it is the surface itself
_SHADOW = 0.75  # with less of the light a pixel counts as in a shadow: at least half of one guide is hidden


def bench_shadows(seed: int = 0, *, views: int = VIEWS, size: int = 256) -> list[Figure]:
    """Compare views along a synthetic colon.

    Args:
        seed: Of the colon.
        views: How many.
        size: Edge of the square pictures [px].

    Raises:
        InputError: embreex is not installed.
    """
    patient = synthetic_colon(seed)
    objects = objects_of(patient)
    camera = Camera.with_fov(size, size, _FOV_DEG, model="pinhole")
    light = LightSettings(shadows=True)
    rays = GuideRays(objects)
    found = []
    with Renderer(objects, camera) as renderer:
        for pose in poses_along(patient, views):
            frame = renderer.render(pose, light=light)
            found.append(compare(renderer.lit(), rays.lit(frame, light), frame.depth > 0))
    subset = f"synth:colon:{seed}, pinhole of {_FOV_DEG:g} degrees, {size} x {size} px"
    how = f"against Embree's rays from the guides; median of {views} views, low and high: least and most"
    names = {
        "share": "share of pixels in a shadow by exact rays",
        "overlap": "intersection over union of the pixels in a shadow",
        "light_error": "mean absolute error of the share of light that arrives",
    }
    return [
        Figure(
            f"render.shadows.{name}",
            subset,
            float(np.median(values)),
            "1",
            float(np.min(values)),
            float(np.max(values)),
            views,
            f"{what}; {how}",
        )
        for (name, what), values in zip(names.items(), np.array(found).T, strict=True)
    ]


class GuideRays:
    """Exact rays from light guides to seen points."""

    def __init__(self, objects: Sequence[SceneObject]) -> None:
        """Build Embree's scene.

        Raises:
            InputError: embreex is not installed.
        """
        construction = need("embreex.mesh_construction", "shadows against Embree")
        self._scene = need("embreex.rtcore_scene", "shadows against Embree").EmbreeScene(robust=True)
        for item in objects:
            construction.TriangleMesh(
                scene=self._scene, vertices=item.mesh.vertices / np.float32(_UNIT), indices=item.mesh.triangles
            )

    def lit(self, frame: Frame, light: LightSettings) -> Float32[np.ndarray, "h w"]:
        """Return which share of the guides each pixel's point sees; 1 where nothing is seen."""
        seen = frame.depth > 0
        rays, _ = frame.camera.rays()
        local = rays[seen].astype(np.float64) * (frame.depth[seen] / rays[seen][:, 2])[:, None]
        points = apply(frame.T_world_camera, local)
        guides = apply(frame.T_world_camera, np.array(light.positions, np.float64))
        arrived: NDArray[np.float32] = np.ones(seen.shape, np.float32)
        arrived[seen] = np.mean([self._free(guide, points) for guide in guides], axis=0)
        return arrived

    def _free(self, guide: Float[np.ndarray, "3"], points: Float[np.ndarray, "n 3"]) -> NDArray[np.bool_]:
        # The direction is the whole way to the point, where the ray's parameter is 1.
        origins = np.tile((guide / _UNIT).astype(np.float32), (len(points), 1))
        hit = self._scene.run(origins, ((points - guide) / _UNIT).astype(np.float32), output=True)
        return np.asarray(hit["tfar"] > 1 - _ITSELF)


def compare(
    marched: Float32[np.ndarray, "h w"], exact: Float32[np.ndarray, "h w"], seen: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """Compare shadows.

    Returns:
        The share of seen pixels in a shadow by exact rays, the overlap of both shadows (1 without any), and the mean
        error of the light that arrives.
    """
    ours, true = marched[seen] < _SHADOW, exact[seen] < _SHADOW
    either = np.count_nonzero(ours | true)
    overlap = np.count_nonzero(ours & true) / either if either else 1.0
    return float(true.mean()), float(overlap), float(np.abs(marched[seen] - exact[seen]).mean())
