"""A patient: organs, centrelines, landmarks and orifices in the patient's RAS frame, in metres."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from assets.mesh import Mesh
from assets.tetrahedra import Tetrahedra

Kind = Literal["lumen", "wall", "solid"]


@dataclass(frozen=True)
class Organ:
    """One structure with its closed surface, whose normals point out of what it encloses."""

    name: str
    """Unique within the patient, such as `colon_lumen` or `polyp_03`; a file name."""
    label: str
    """What its pixels show: a name of `assets/labels.csv`, such as `colon_wall` (also for the lumen's surface)."""
    kind: Kind
    """A lumen encloses air and is seen from inside; a wall is a hollow organ's outer surface; the rest is solid."""
    material: str
    """A table of `assets/materials.toml`."""
    surface: Mesh
    attributes: dict[str, Any] = field(default_factory=dict)
    """What is known of it besides, JSON values: Paris class, size, derived or measured, quality figures."""
    tetrahedra: Tetrahedra | None = None
    """What fills the surface, where it was imported or asked for."""


@dataclass(frozen=True)
class Centreline:
    """A curve through a tubular organ, from its natural entrance inwards (anus to caecum)."""

    name: str
    points: Float64[np.ndarray, "n 3"]
    """Positions [m], about 1 to 5 mm apart."""
    radius: Float64[np.ndarray, "n"]
    """Radius of the largest sphere about the point that stays inside [m]."""


@dataclass(frozen=True)
class Orifice:
    """A disc in a lumen's surface through which a scope enters: seen, but without collision."""

    name: str
    organ: str
    """The lumen it lies in."""
    centre: Float64[np.ndarray, "3"]
    """Position [m]."""
    normal: Float64[np.ndarray, "3"]
    """Unit vector into the lumen."""
    radius: float
    """[m]"""


@dataclass(frozen=True)
class Patient:
    """An anatomy as the rest of trocar takes it."""

    name: str
    source: str
    """Where it comes from, such as `synth:colon:7` or an imported file's name."""
    licence: str
    organs: tuple[Organ, ...]
    centrelines: tuple[Centreline, ...] = ()
    landmarks: dict[str, Float64[np.ndarray, "3"]] = field(default_factory=dict)
    """Positions [m] by name: anus, rectosigmoid, sigmoid_descending, splenic_flexure, hepatic_flexure, caecum, ..."""
    orifices: tuple[Orifice, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    """Options, hashes of the sources, what was altered and how much; JSON values."""
