"""Trocars: where an instrument enters a patient, and the axes of its remote centre of motion there."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from assets.errors import InputError
from assets.patient import Orifice, Patient
from assets.transforms import compose, unit

FIELD_LANDMARKS = ("gallbladder_infundibulum", "porta_hepatis")
"""What trocars point at, the first that the patient has; without any the middle of the liver."""
ANTERIOR = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True, eq=False)
class Trocar:
    """A trocar in the abdominal wall."""

    name: str
    radius: float
    """Of the widest instrument that it takes [m]."""
    T_world_port: Float64[np.ndarray, "4 4"]
    """The origin is the remote centre of motion; z points out of the patient, away from the operative field, so that
    the cone of motion lies about it; y is as anterior as it can be: image up of a laparoscope at zero angles."""


def operative_field(patient: Patient) -> NDArray[np.float64]:
    """Return the point that the trocars are turned to [m], shape (3,).

    Raises:
        InputError: The patient has neither one of `FIELD_LANDMARKS` nor a liver.
    """
    for name in FIELD_LANDMARKS:
        if name in patient.landmarks:
            return np.array(patient.landmarks[name], dtype=np.float64)
    for organ in patient.organs:
        if organ.label == "liver":
            low, high = organ.surface.vertices.min(axis=0), organ.surface.vertices.max(axis=0)
            return np.asarray((low.astype(np.float64) + high) / 2)
    raise InputError(
        f"{patient.name}: expected a liver or a landmark of {', '.join(FIELD_LANDMARKS)} to operate on, "
        f"found {', '.join(organ.name for organ in patient.organs) or 'no organs'}"
    )


def wall_ports(patient: Patient) -> dict[str, Orifice]:
    """Return the patient's trocar sites by name.

    Raises:
        InputError: There is no abdominal wall, or no orifice in it.
    """
    walls = {organ.name for organ in patient.organs if organ.label == "abdominal_wall" and organ.kind == "lumen"}
    ports = {orifice.name: orifice for orifice in patient.orifices if orifice.organ in walls}
    if not ports:
        found = ", ".join(orifice.name for orifice in patient.orifices) or "no orifices"
        raise InputError(
            f"{patient.name}: expected trocar sites, orifices in a lumen labelled abdominal_wall, found {found}"
        )
    return ports


def trocar(patient: Patient, port: str) -> Trocar:
    """Return a trocar at one of the patient's ports, turned to the operative field.

    Raises:
        InputError: There is no such port.
    """
    ports = wall_ports(patient)
    if port not in ports:
        raise InputError(f"{patient.name}: expected a trocar site of {', '.join(ports)}, found {port!r}")
    site = ports[port]
    return Trocar(port, site.radius, port_axes(site.centre, operative_field(patient)))


def port_axes(centre: NDArray[np.float64], field: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return T_world_port, shape (4, 4), of a trocar at a point that is turned to another one [m]."""
    z = unit(np.asarray(centre, np.float64) - field)
    up = ANTERIOR if np.linalg.norm(np.cross(ANTERIOR, z)) > 0.05 else np.array([0.0, 0.0, 1.0])
    x = unit(np.cross(up, z))
    return compose(np.stack([x, np.cross(z, x), z], axis=1), np.asarray(centre, np.float64))
