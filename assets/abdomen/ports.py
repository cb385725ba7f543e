"""Trocar sites of laparoscopic cholecystectomy on the wall, and the laparoscope's way from the umbilicus."""

from collections.abc import Mapping

import numpy as np
from scipy.spatial import cKDTree

from assets.abdomen.body import Body
from assets.abdomen.cavity import COSTAL, UMBILICUS, XIPHOID
from assets.abdomen.lattice import Array
from assets.mesh import Mesh
from assets.mesh_check import vertex_normals
from assets.patient import Centreline, Orifice

# Four ports as in textbooks: 10 mm at the umbilicus for the laparoscope; 10 mm in the epigastrium 5 cm below the
# xiphoid, right of the falciform ligament; 5 mm in the midclavicular line some centimetres below the costal margin;
# 5 mm far lateral, nearly at the umbilicus' level (Zollinger's Atlas of Surgical Operations, laparoscopic
# cholecystectomy). The fifth, on the left, is for a liver retractor. x and z in the template [m], outer radius [m].
SITES: dict[str, tuple[float, float, float]] = {
    "port_umbilical": (0.006, UMBILICUS - 0.010, 0.0055),
    "port_epigastric": (0.014, XIPHOID - 0.050, 0.0055),
    "port_midclavicular": (0.066, 0.028, 0.0030),
    "port_axillary": (0.104, -0.012, 0.0030),
    "port_left": (-0.062, 0.028, 0.0030),
}
STEP = 0.002
"""Distance of the points of the laparoscope's way [m]."""
KEEP = 0.016
"""The laparoscope stays this far from any organ [m]."""
VIEW = 0.075
"""Where it ends: this far from the infundibulum [m]."""


def draw_ports(rng: np.random.Generator, body: Body, wall: Mesh) -> tuple[Orifice, ...]:
    """Place the trocar sites on vertices of the anterior wall, each with its normal into the cavity."""
    vertices = wall.vertices.astype(np.float64)
    normals = vertex_normals(wall.vertices, wall.triangles)
    front = np.flatnonzero(vertices[:, 1] > 0.2 * COSTAL)
    ports = []
    for name, (x, z, radius) in SITES.items():
        spread = 0.002 if name == "port_umbilical" else 0.007
        x, z = np.array([x, z]) * body.scale[[0, 2]] + np.clip(rng.normal(0.0, spread, 2), -2 * spread, 2 * spread)
        at = front[int(np.argmin(np.hypot(vertices[front, 0] - x, vertices[front, 2] - z)))]
        ports.append(Orifice(name, "abdominal_wall", vertices[at].copy(), -normals[at], radius))
    return tuple(ports)


def laparoscope(ports: tuple[Orifice, ...], marks: Mapping[str, Array], surfaces: Mapping[str, Mesh]) -> Centreline:
    """Lead the laparoscope straight from the umbilicus towards the gallbladder, as far as the room lasts."""
    start = ports[0].centre
    target = marks["gallbladder_infundibulum"]
    tree = cKDTree(np.concatenate([mesh.vertices for name, mesh in surfaces.items() if name != "abdominal_wall"]))
    wall = cKDTree(surfaces["abdominal_wall"].vertices)
    whole = float(np.linalg.norm(target - start))
    length = max(whole - VIEW, 0.4 * whole)
    arc = np.linspace(0.0, length, round(length / STEP) + 1)
    points = start + arc[:, None] * ((target - start) / whole)
    free = tree.query(points)[0]
    close = np.flatnonzero(free[10:] < KEEP)
    points = points[: max(20, 10 + int(close[0]) if len(close) else len(points))]
    radius = np.minimum(tree.query(points)[0], wall.query(points)[0])
    return Centreline("laparoscope", points, np.asarray(radius, dtype=np.float64))
