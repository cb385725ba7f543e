"""The way of a flexible scope into a patient: through which orifice, along which line, in which organ."""

from dataclasses import dataclass

from assets.errors import InputError
from assets.instruments.flexible import BRONCHOSCOPE, COLONOSCOPE, ScopeDevice
from assets.patient import Centreline, Orifice, Patient
from sim.geometry import colon_centreline
from sim.wall_distance import SPACING


@dataclass(frozen=True, eq=False)
class Passage:
    """What an endoscopy through a natural orifice needs to know of its anatomy."""

    lumen: str
    """Label of the organ of kind lumen in which the scope goes."""
    orifice: Orifice
    """Where it enters."""
    line: Centreline
    """Which way it is to take."""
    seen: tuple[str, ...]
    """Labels that are seen from inside; an imported patient has some 60 other organs."""
    solids: tuple[str, ...]
    """Labels of what stands in the lumen and is no free space."""
    device: ScopeDevice
    """The usual instrument."""
    start: tuple[float, float]
    """Least and most insertion at the start of an episode [m]."""
    grid_spacing: float
    """Of the wall distance [m]."""
    opening: float
    """The orifice gives way to at least this radius [m]."""


def colon_passage(patient: Patient) -> Passage:
    """Return the way of a colonoscope: through the anus, along the colon.

    Raises:
        InputError: The patient lacks the orifice `anus` or the centreline `colon`.
    """
    return Passage(
        lumen="colon_wall",
        orifice=orifice_named(patient, "anus"),
        line=colon_centreline(patient),
        seen=("colon_wall", "polyp", "stool", "bowel_fluid"),  # the last two stop no scope
        solids=("polyp",),
        device=COLONOSCOPE,
        start=(0.05, 0.08),
        grid_spacing=SPACING,
        opening=0.012,  # the anal canal opens for the scope
    )


def bronchial_passage(patient: Patient, line: str | None = None) -> Passage:
    """Return the way of a bronchoscope: below the larynx, along the line to one bronchus.

    Args:
        patient: With an airway tree.
        line: Name of the centreline, such as `bronchi_B6_right`; None for the one to the peripheral target, or else the
            first that goes beyond the trachea.

    Raises:
        InputError: The patient lacks the orifice `trachea`, or such a centreline.
    """
    lines = {one.name: one for one in patient.centrelines if one.name.startswith("bronchi_")}
    if line is None:
        named = (organ.attributes.get("centreline") for organ in patient.organs if organ.name == "peripheral_target")
        line = next((str(name) for name in named if name in lines), next(iter(lines), None))
    if line is None or line not in lines:
        known = ", ".join(lines) or "none"
        raise InputError(f"{patient.name}: expected a centreline of the bronchi, found {line!r} among {known[:200]}")
    return Passage(
        lumen="bronchi_wall",
        orifice=orifice_named(patient, "trachea"),
        line=lines[line],
        seen=("bronchi_wall",),
        solids=(),
        device=BRONCHOSCOPE,
        start=(0.03, 0.04),
        grid_spacing=0.001,  # a segmental bronchus is 5 to 7 mm wide
        opening=0.0,
    )


def orifice_named(patient: Patient, name: str) -> Orifice:
    """Return the patient's orifice of this name.

    Raises:
        InputError: There is none.
    """
    for orifice in patient.orifices:
        if orifice.name == name:
            return orifice
    found = ", ".join(orifice.name for orifice in patient.orifices) or "none"
    raise InputError(f"{patient.name}: expected an orifice named {name}, found {found}")
