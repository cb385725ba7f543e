"""What a deforming organ, more cameras and flow add to a frame."""

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
import trimesh
from jaxtyping import Float
from numpy.typing import NDArray

from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from assets.transforms import apply, compose
from scenarios.bench.race import Picture, take_turns
from scenarios.figures import Figure
from sim.camera import Camera
from sim.flow import FlowRecorder
from sim.frame import Frame
from sim.render.renderer import Renderer
from sim.render.rig import CameraRig
from sim.scene_objects import SceneObject

CAMERAS = 10
_STEP = 1e-3  # m, from one frame to the next
_AHEAD = 0.025  # m, at which the organ floats before the camera


class FlowTask:
    """Renders a pose, and the flow from a picture 1 mm before."""

    def __init__(self, renderer: Renderer) -> None:
        """Take a renderer."""
        self._renderer = renderer
        self._recorder = FlowRecorder(renderer)

    def prepare(self, pose: NDArray[np.float64]) -> None:
        """Render the picture before."""
        before = pose.copy()
        before[:3, 3] -= _STEP * pose[:3, 2]
        self._recorder = FlowRecorder(self._renderer)
        self._recorder.add(self._renderer.render(before))

    def __call__(self, pose: NDArray[np.float64]) -> Frame:
        """Render, and find the flow."""
        frame = self._renderer.render(pose)
        return self._recorder.add(frame) or frame


def organ(subdivisions: int = 5) -> SceneObject:
    """Make a ball of 6 mm, of 20,480 triangles by default."""
    ball = trimesh.creation.icosphere(subdivisions, 0.006)
    mesh = Mesh(np.asarray(ball.vertices, np.float32), np.asarray(ball.faces, np.int32))
    return SceneObject("organ", mesh, label_id("polyp"), load_materials()["polyp"], "solid")


def beside(pose: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    """Turn a camera by 2 degrees about its upright axis, and shift it 0.5 mm, as often as said."""
    angle = np.radians(2.0) * index
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return pose @ compose(turn, np.array([5e-4 * index, 0.0, 0.0]))


def bench_scene(
    objects: Sequence[SceneObject],
    camera: Camera,
    poses: Sequence[Float[np.ndarray, "4 4"]],
    *,
    threads: int,
    device: str,
    subset: str,
    machine: str,
    subdivisions: int = 5,
) -> list[Figure]:
    """Measure how much longer a frame takes with an organ that deforms, and what ten cameras take.

    Args:
        objects: The scene; the organ comes to it.
        camera: Of all pictures.
        poses: One round each.
        threads: Of the renderer, on the CPU.
        device: Warp's name for the device.
        subset: Names the scene.
        machine: Names device and threads.
        subdivisions: Of the organ: 20 x 4^subdivisions triangles.
    """
    item = organ(subdivisions)
    rest = item.mesh.vertices.astype(np.float64)
    with ExitStack() as stack:
        renderer = stack.enter_context(Renderer([*objects, item], camera, device=device, threads=threads))
        rig = stack.enter_context(CameraRig(renderer.scene, [camera] * CAMERAS, threads=threads))
        beats = iter(range(1_000_000))

        def deform(pose: NDArray[np.float64]) -> None:
            squeeze = np.array([1.0, 1.0, 1.0 + 0.1 * np.sin(next(beats))])
            ahead = rest * squeeze + np.array([0.0, 0.0, _AHEAD])
            renderer.scene.deform("organ", apply(pose, ahead).astype(np.float32))

        def deformed(pose: NDArray[np.float64]) -> Frame:
            deform(pose)
            return renderer.render(pose)

        def all_cameras(pose: NDArray[np.float64]) -> list[Frame]:
            return rig.render([beside(pose, index) for index in range(CAMERAS)])

        tasks: dict[str, Picture] = {"still": renderer.render, "deformed": deformed, "cameras": all_cameras}
        race = take_turns(tasks, poses, prepare={name: deform for name in ("still", "cameras")})
    size = f"{camera.width} x {camera.height} px"
    how = f"rgb with texture, semantic, instance, depth and normal, {size}; medians of {race.n} interleaved rounds"
    count = len(item.mesh.triangles)
    still = race.median["still"]
    return [
        Figure(
            "render.deforming.added",
            f"{subset}, and an organ of {count}",
            race.median["deformed"] / still - 1,
            "1",
            n=race.n,
            how=f"share by which new vertices for the organ in each frame lengthen it; {how}, {machine}",
        ),
        Figure(
            "render.ten_cameras.vs_one",
            subset,
            race.median["cameras"] / still,
            "1",
            n=race.n,
            how=f"time of {CAMERAS} cameras in one scene over that of one; {how}, {machine}",
        ),
    ]
