"""What an instrument is: an arm that moves it, parts with shapes, jaws or a camera head, and named points."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.instruments.arm import Arm, Vector
from assets.mesh import Mesh
from assets.transforms import compose

JAWS = ("jaw_left", "jaw_right")


@dataclass(frozen=True)
class Ball:
    """A sphere that collides; PyBullet's contacts of spheres with a mesh are exact, those of long cylinders are not."""

    centre: Vector
    """[m], in the part's axes."""
    radius: float
    """[m]"""


@dataclass(frozen=True)
class Box:
    """A block of an arm's body outside the patient; seen in PyBullet, without contacts."""

    link: str
    centre: Vector
    """[m], in the link's frame."""
    size: Vector
    """Edges [m]."""


@dataclass(frozen=True, eq=False)
class Part:
    """A rigid piece of the instrument."""

    name: str
    """Such as shaft, wrist, jaw_left, jaw_right."""
    link: str
    """The link that carries it: a joint's name, `jaw_left` or `jaw_right`."""
    T_link_part: NDArray[np.float64]
    """Shape (4, 4)."""
    mesh: Mesh
    """A closed surface in the part's axes [m]."""
    material: str
    """A table of `assets/materials.toml`."""
    balls: tuple[Ball, ...]
    """What collides."""


@dataclass(frozen=True)
class Jaw:
    """A pair of jaws that open evenly about the x axis of the tip frame."""

    length: float
    """From their axis to their tips [m]."""
    upper: float
    """Greatest angle between them [rad]; 0 is closed."""
    max_speed: float
    """Of that angle [rad/s]."""
    max_force: float
    """Torque on each jaw [N m]."""
    source: str

    def __post_init__(self) -> None:
        if min(self.length, self.upper, self.max_speed, self.max_force) <= 0:
            raise InputError(f"jaw: expected a length, angle, speed and torque above 0, found {self}")


@dataclass(frozen=True)
class CameraHead:
    """A camera on the eyepiece, which turns against the shaft."""

    view_angle: float
    """Between the shaft and the direction of view [rad], towards image up when shaft and head stand at 0."""
    max_speed: float
    """Of its turn [rad/s]."""
    source: str

    def __post_init__(self) -> None:
        if not 0 <= self.view_angle < np.pi / 2 or self.max_speed <= 0:
            raise InputError(f"camera head: expected a view angle within 0 and 90 degrees and a speed, found {self}")


@dataclass(frozen=True, eq=False)
class Device:
    """An instrument on its arm."""

    name: str
    label: str
    """A row of `assets/labels.csv`."""
    arm: Arm
    parts: tuple[Part, ...]
    jaw: Jaw | None = None
    head: CameraHead | None = None
    key_points: tuple[tuple[str, str, Vector], ...] = ()
    """Name, link, and place in the link's frame [m]."""
    boxes: tuple[Box, ...] = ()

    def __post_init__(self) -> None:
        links = self.links
        for name, link in [(part.name, part.link) for part in self.parts] + [x[:2] for x in self.key_points]:
            if link not in links:
                raise InputError(f"{self.name}: expected {name} on one of {', '.join(links)}, found {link!r}")

    @property
    def links(self) -> tuple[str, ...]:
        """The moving links: those of the arm, then the jaws."""
        return tuple(joint.name for joint in self.arm.joints) + (JAWS if self.jaw else ())

    @property
    def T_last_jaw(self) -> NDArray[np.float64]:  # noqa: N802
        """Pose of the closed jaws' axis in the last link's frame, axes as the tip's."""
        assert self.jaw is not None
        return np.asarray(self.arm.T_last_tip @ compose(np.eye(3), np.array([0.0, 0.0, -self.jaw.length])))

    @property
    def smallest_ball(self) -> float:
        """Radius of the smallest sphere that collides [m]."""
        return min((ball.radius for part in self.parts for ball in part.balls), default=0.001)
