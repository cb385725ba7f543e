"""`trocar play`: a scripted scene as a video, a film strip and the record of what the instruments felt."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.instruments.hand_held import grasper, laparoscope
from assets.patient import Patient
from assets.sources import load_source
from assets.transforms import unit
from scenarios.pictures import film_strip, image_bytes
from scenarios.play_cut import FRAME, PICTURES, cut_block
from scenarios.progress import progress
from scenarios.runs import cache_folder, start_run, write_json
from sim.atomic import atomic_file
from sim.control_step import CONTROL_STEP
from sim.instruments.command import Command, PointTarget
from sim.instruments.laparoscope import laparoscope_camera
from sim.laparoscopy.physiology import Physiology
from sim.laparoscopy.placement import Placement
from sim.laparoscopy.scene import LaparoscopyScene
from sim.laparoscopy.soft_organ import soft_organ
from sim.laparoscopy.state import LaparoscopyState

EDGES = {"gallbladder": 0.006, "liver": 0.016}
"""Wanted edges of the tetrahedra [m]."""
_STRIP = 8  # frames
_SETTLED = 2  # steps with the laparoscope in its place before the first frame


@dataclass(frozen=True)
class PlayOptions:
    """Play a scripted scene with soft tissue.

    gallbladder: a grasper lifts the fundus of a gallbladder, the laparoscope watching. cut: a blade is drawn over a
    block of liver, and its lips are pulled apart.
    """

    out: Path
    """Folder for video.webp, strip.jpg and record.json."""
    scene: Literal["gallbladder", "cut"] = "gallbladder"
    """Which one."""
    patient: str = "synth:abdomen:5"
    """A patient folder or synth:abdomen:SEED; the cut has none."""
    size: tuple[int, int] = (480, 360)
    """Width and height of the frames [px]."""
    breath_mm: float = 5.0
    """Way of the diaphragm from breath to breath [mm]; 0 is apnoea."""
    seed: int = 0
    """Of the sensor noise."""
    threads: int = 2
    """Threads of the renderer."""


@dataclass(frozen=True)
class Phase:
    """A part of a script."""

    name: str
    steps: int
    """Of 0.1 s."""
    start: NDArray[np.float64]
    """Where the grasper's tip is sent at its beginning [m]."""
    end: NDArray[np.float64]
    """And at its end; between them it is sent along a straight line."""
    jaw: float
    """Angle between the jaws [rad]."""


def play(options: PlayOptions) -> None:
    """Play the scene and write it down.

    Raises:
        InputError: The patient lacks what the scene needs, or the scene ended in a fault.
        OSError: The folder cannot be written.
    """
    if options.scene == "cut":
        _play_cut(options)
        return
    patient = load_source(options.patient)
    for name in ("gallbladder_fundus", "gallbladder_infundibulum"):
        if name not in patient.landmarks:
            raise InputError(f"{patient.name}: expected the landmark {name}, found {', '.join(patient.landmarks)}")
    start_run(options.out, "trocar play", options, free=("threads",))
    frames, record = [], []
    for rgb, state, phase in lift_gallbladder(patient, options):
        frames.append(rgb)
        record.append(_told(state, phase))
        if state.fault:
            break
    _write(options, patient.name, frames, record, CONTROL_STEP)
    if record[-1]["fault"]:
        raise InputError(f"{patient.name}: expected a scene without fault, found {record[-1]['fault']}")
    most = max(np.linalg.norm(step["held_force"]) for step in record)
    print(f"{len(frames)} frames, most force on the grasper {most:.2f} N; video and strip are in {options.out}")


def _play_cut(options: PlayOptions) -> None:
    start_run(options.out, "trocar play", options, free=("threads",))
    frames, record = [], []
    with progress("playing", PICTURES) as advance:
        for rgb, told in cut_block(options.size, options.seed, options.threads):
            frames.append(rgb)
            record.append(told)
            advance()
    _write(options, "block", frames, record, FRAME)
    print(f"{len(frames)} frames, {record[-1]['cut_faces']} faces laid open; video and strip are in {options.out}")


def _write(
    options: PlayOptions, name: str, frames: list[NDArray[np.uint8]], record: list[dict[str, Any]], duration: float
) -> None:
    """Write record, video and strip; each frame stays for a duration [s]."""
    write_json(options.out / "record.json", {"patient": name, "steps": record})
    with atomic_file(options.out / "video.webp") as stream:
        stream.write(animation_bytes(frames, duration))
    chosen = np.linspace(0, len(frames) - 1, min(_STRIP, len(frames))).round().astype(int)
    with atomic_file(options.out / "strip.jpg") as stream:
        stream.write(image_bytes(film_strip([frames[index] for index in chosen], columns=4), "jpg"))


def lift_gallbladder(
    patient: Patient, options: PlayOptions
) -> Iterator[tuple[NDArray[np.uint8], LaparoscopyState, str]]:
    """Lift the fundus of a gallbladder and let it go again; yield picture, state and phase of every control step."""
    soft = [soft_organ(patient, name, edge=edge, cache=cache_folder()) for name, edge in EDGES.items()]
    instruments = (
        Placement(laparoscope(0.0), "port_umbilical", "laparoscope", insertion=0.035),
        Placement(grasper(), "port_axillary", "grasper", insertion=0.02),
    )
    fundus, neck = (patient.landmarks[f"gallbladder_{name}"] for name in ("fundus", "infundibulum"))
    with LaparoscopyScene(
        patient,
        camera=laparoscope_camera(*options.size),
        instruments=instruments,
        soft=soft,
        physiology=Physiology(breath_amplitude=options.breath_mm / 1000),
        seed=options.seed,
        threads=options.threads,
        cache=cache_folder(),
    ) as scene:
        phases = script(scene.trocars["grasper"].T_world_port[:3, 3], fundus)
        view = (fundus + neck) / 2
        for _ in range(_SETTLED):
            scene.step({"laparoscope": scene.look_at(view)})
        with progress("playing", sum(phase.steps for phase in phases)) as advance:
            for phase in phases:
                for index in range(phase.steps):
                    share = (index + 1) / phase.steps
                    point = (1 - share) * phase.start + share * phase.end
                    commands: dict[str, Command] = {
                        "grasper": PointTarget(point=point, jaw=phase.jaw, roll=np.pi / 2),
                        "laparoscope": scene.look_at(view),
                    }
                    state = scene.step(commands)
                    yield scene.observe().rgb, state, phase.name
                    advance()
                    if state.fault:
                        return


def script(port: NDArray[np.float64], fundus: NDArray[np.float64]) -> tuple[Phase, ...]:
    """Return what the grasper does: come in, catch the fundus, lift it cranially over the liver's edge, let it go."""
    ahead = unit(fundus - port)
    before, inside = fundus - 0.014 * ahead, fundus + 0.004 * ahead
    lifted = inside + np.array([0.0, 0.012, 0.042])
    lowered = inside + np.array([0.0, 0.004, 0.012])
    return (
        Phase("come in", 8, port + 0.02 * ahead, before, 0.0),
        Phase("open", 4, before, before, 0.9),
        Phase("reach", 8, before, inside, 0.9),
        Phase("close", 6, inside, inside, 0.3),
        Phase("lift", 30, inside, lifted, 0.3),
        Phase("hold", 14, lifted, lifted, 0.3),
        Phase("lower", 16, lifted, lowered, 0.3),
        Phase("let go", 4, lowered, lowered, 0.9),
        Phase("leave", 10, lowered, port + 0.02 * ahead, 0.9),
    )


def animation_bytes(frames: list[NDArray[np.uint8]], duration: float, *, quality: int = 60) -> bytes:
    """Return frames, RGB, as an animated WebP that starts anew at its end; each stays for a duration [s]."""
    film = cv2.Animation()
    film.frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in frames]
    film.durations = [round(1000 * duration)] * len(frames)
    done, data = cv2.imencodeanimation(".webp", film, [cv2.IMWRITE_WEBP_QUALITY, quality])
    assert done
    return bytes(data)


def _told(state: LaparoscopyState, phase: str) -> dict[str, Any]:
    hold = state.holds.get("grasper")
    return {
        "time": round(state.time, 6),
        "phase": phase,
        "tip": state.instruments["grasper"].T_world_tip[:3, 3].tolist(),
        "jaw": state.instruments["grasper"].jaw,
        "held_nodes": 0 if hold is None else hold.nodes,
        "held_force": [0.0, 0.0, 0.0] if hold is None else list(hold.force),
        "touched": sorted({contact.organ for contact in state.contacts if contact.instrument == "grasper"}),
        "fault": state.fault,
    }
