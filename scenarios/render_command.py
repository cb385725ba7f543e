"""`trocar render`: frames with all ground truth along a patient's centreline, as PNG and NPZ."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from assets.errors import InputError
from assets.labels import load_labels
from assets.patient import Centreline, Patient
from assets.sources import load_source
from assets.transforms import compose, parallel_frames, unit
from scenarios.colonoscopy import endoscope_camera
from scenarios.lumen_line import lumen_line
from scenarios.pictures import depth_colours, film_strip, id_colours, image_bytes, normal_colours
from scenarios.progress import progress
from scenarios.recording import Wanted
from scenarios.runs import start_run
from sim.atomic import atomic_file
from sim.codec import OPTIONAL, decode_frame, encode_frame
from sim.exposure import AutoExposure
from sim.frame import Frame
from sim.render.channels import EXTRAS, chosen
from sim.render.renderer import Renderer
from sim.scene_objects import objects_of

_MARGIN = 0.03  # share of the centreline that is left out at both ends, where a camera would sit in the wall
_AHEAD = 0.02  # m: the camera looks at the centreline's point this far ahead
_SETTLING_ROUNDS = 4  # looks at a place until the automatic exposure has settled


@dataclass(frozen=True)
class RenderOptions:
    """Render frames with all ground truth along a patient's centreline, looking ahead."""

    patient: tyro.conf.Positional[str]
    """A patient folder, or synth:ANATOMY:SEED."""
    out: Path
    """Folder for the frames."""
    size: tuple[int, int] = (512, 512)
    """Width and height [px]."""
    along: str | None = None
    """The centreline to follow; the patient's first if not given."""
    channels: tuple[Wanted, ...] = ()
    """What to write besides the usual channels; flow goes to the next frame along the centreline, flow_back to the one
    before."""
    frames: int = 8
    """How many frames, evenly spaced."""
    threads: int = 2
    """Threads of the CPU."""
    device: str = "cpu"
    """Where to render: cpu, or a CUDA device such as cuda:0."""

    def __post_init__(self) -> None:
        if self.frames < 1 or self.threads < 1:
            raise InputError(
                f"render: expected frames and threads of at least 1, found {self.frames} and {self.threads}"
            )


def render(options: RenderOptions) -> None:
    """Write, for each frame, KEY.CHANNEL.png and KEY.meta.json as in a data set, and KEY.npz with the exact arrays.

    Frames that are there already are kept, so a killed run resumes; overview.png shows all channels of all frames.

    Raises:
        InputError: The patient or the centreline is wrong, or the folder holds something else.
        OSError: The folder cannot be written.
    """
    patient = load_source(options.patient)
    poses = poses_along(find_centreline(patient, options.along), options.frames)
    camera = endoscope_camera(*options.size)
    start_run(options.out, "trocar render", options)
    rows = []
    with (
        Renderer(objects_of(patient), camera, device=options.device, threads=options.threads) as renderer,
        progress("rendering frames", options.frames) as advance,
    ):
        for index, T_world_camera in enumerate(poses):
            stem = options.out / f"{index:04d}"
            if stem.with_suffix(".npz").exists():
                frame = read_frame(stem)
            else:
                frame = settled(renderer, T_world_camera, channels=options.channels)
                frame = _with_flow(renderer, frame, poses, index, options.channels)
                write_frame(stem, frame, patient, with_flow="flow" in options.channels)
            depth, normal = depth_colours(frame.depth), normal_colours(frame.normal)
            ids = (id_colours(frame.semantic), id_colours(frame.instance))
            rows += [frame.rgb, *ids, depth, normal]
            advance()
    with atomic_file(options.out / "overview.png") as stream:
        stream.write(image_bytes(film_strip(rows, columns=5)))
    print(f"{options.frames} frames and overview.png are in {options.out}")


def find_centreline(patient: Patient, name: str | None) -> Centreline:
    """Return the patient's centreline of this name, or its first in a lumen.

    Raises:
        InputError: There is none.
    """
    if not patient.centrelines:
        raise InputError(f"{patient.name}: expected a patient with a centreline, found none")
    known = ", ".join(line.name for line in patient.centrelines)
    if name is None:
        inner = lumen_line(patient)
        if inner is None:
            raise InputError(f"{patient.name}: expected a centreline in a lumen, found none; name one of {known}")
        return inner
    for line in patient.centrelines:
        if line.name == name:
            return line
    raise InputError(f"{patient.name}: expected a centreline of {known}, found {name!r}")


def poses_along(line: Centreline, count: int) -> Float64[np.ndarray, "n 4 4"]:
    """Place cameras evenly along a centreline, each looking at the point 20 mm ahead, without twist between them.

    Returns:
        T_world_camera, shape (count, 4, 4).
    """
    steps = np.linalg.norm(np.diff(line.points, axis=0), axis=1)
    arc = np.concatenate([[0.0], np.cumsum(steps)])
    distinct = np.concatenate([[True], steps > 0])
    curve = CubicSpline(arc[distinct], line.points[distinct])
    # a fine curve carries the frames; the cameras are some of its points
    fine = np.linspace(_MARGIN * arc[-1], (1 - _MARGIN) * arc[-1], 20 * max(count - 1, 1) + 1)
    tangents: NDArray[np.float64] = unit(curve(np.minimum(fine + _AHEAD, arc[-1])) - curve(fine))
    first_x = np.cross(tangents[0], (0.0, 1.0, 0.0))  # the patient lies supine: image up is anterior at the start
    rotations = parallel_frames(tangents, first_x if np.linalg.norm(first_x) > 1e-6 else np.array([1.0, 0.0, 0.0]))
    chosen = np.linspace(0, len(fine) - 1, count).round().astype(int)
    return np.stack([compose(rotations[index], curve(fine[index])) for index in chosen])


def _with_flow(
    renderer: Renderer, frame: Frame, poses: NDArray[np.float64], index: int, channels: Sequence[Wanted]
) -> Frame:
    """Fill in the flow to the poses beside this one, as asked for."""
    if not {"flow", "flow_back"} & set(channels):
        return frame
    here = renderer.snapshot()

    def to(other: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        if not 0 <= other < len(poses):
            return np.zeros_like(frame.flow), np.zeros_like(frame.flow_valid)
        renderer.render(poses[other])
        return renderer.flow(here, renderer.snapshot())

    if "flow" in channels:
        flow, valid = to(index + 1)
        frame = replace(frame, flow=flow, flow_valid=valid)
    if "flow_back" in channels:
        flow, valid = to(index - 1)
        frame = replace(frame, flow_back=flow, flow_back_valid=valid)
    return frame


def write_frame(stem: Path, frame: Frame, patient: Patient, *, with_flow: bool = False) -> None:
    """Write a frame as PNG files and meta.json; the NPZ comes last, so a frame that has one is whole."""
    members = encode_frame(
        frame,
        {"patient": patient.name, "labels": {name: label.id for name, label in load_labels().items()}},
        with_flow=with_flow,
    )
    for name, data in members.items():
        with atomic_file(stem.with_name(f"{stem.name}.{name}")) as stream:
            stream.write(data)
    channels = {
        field.name: getattr(frame, field.name)
        for field in fields(frame)
        if isinstance(getattr(frame, field.name), np.ndarray)
    }
    with atomic_file(stem.with_suffix(".npz")) as stream:
        np.savez_compressed(stream, **channels)


def read_frame(stem: Path) -> Frame:
    """Read a frame's PNG files back.

    Raises:
        InputError: A file is missing or damaged.
    """
    images = ("rgb", "semantic", "instance", "depth", "normal", *OPTIONAL)
    names = ["meta.json", *(f"{name}.png" for name in images)]
    paths = {name: stem.with_name(f"{stem.name}.{name}") for name in names}
    return decode_frame({name: path.read_bytes() for name, path in paths.items() if path.exists()}, str(stem))


def settled(renderer: Renderer, T_world_camera: NDArray[np.float64], *, channels: Sequence[Wanted] = ()) -> Frame:
    """Render a frame with an exposure that has settled at this place."""
    extras = chosen(set(channels) & set(EXTRAS))
    exposure = AutoExposure()
    frame = renderer.render(T_world_camera, exposure=exposure.gain)
    for _ in range(_SETTLING_ROUNDS):
        exposure.update(renderer.metered, 10.0)
        frame = renderer.render(T_world_camera, exposure=exposure.gain, channels=extras)
    return frame
