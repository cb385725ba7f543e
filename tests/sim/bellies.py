"""A tiny abdomen for tests: a round wall with ports, a ball of a liver."""

import numpy as np

from assets.mesh import Mesh
from assets.patient import Organ, Orifice, Patient
from sim.instruments.command import PointTarget

LIVER = np.array([0.0, -0.04, 0.06])
LIVER_RADIUS = 0.035
WALL_RADIUS = 0.14


def ball(centre, radius, rings=24):
    """A closed sphere with its normals outwards."""
    polar = np.linspace(0, np.pi, rings + 1)[1:-1]
    around = np.arange(2 * rings) * np.pi / rings
    points = np.array(
        [[np.sin(p) * np.cos(a), np.cos(p), -np.sin(p) * np.sin(a)] for p in polar for a in around]
        + [[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]
    )
    n, top, bottom = 2 * rings, len(points) - 2, len(points) - 1
    faces = []
    for i in range(n):
        j = (i + 1) % n
        faces.append((top, i, j))
        for r in range(len(polar) - 1):
            a, b, c, d = r * n + i, r * n + j, (r + 1) * n + i, (r + 1) * n + j
            faces += [(a, c, d), (a, d, b)]
        last = (len(polar) - 1) * n
        faces.append((last + i, bottom, last + j))
    return Mesh((np.asarray(centre) + radius * points).astype(np.float32), np.array(faces, np.int32))


def port(name, direction, radius=0.0055):
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    return Orifice(name, "abdominal_wall", WALL_RADIUS * direction, -direction, radius)


def belly(**changes):
    """A patient of two organs and three ports."""
    given = {
        "name": "belly",
        "source": "test",
        "licence": "none",
        "organs": (
            Organ("abdominal_wall", "abdominal_wall", "lumen", "peritoneum", ball((0, 0, 0), WALL_RADIUS, 40)),
            Organ("liver", "liver", "solid", "liver", ball(LIVER, LIVER_RADIUS)),
        ),
        "orifices": (port("umbilical", (0, 0.8, -0.6)), port("right", (0.6, 0.8, 0)), port("left", (-0.6, 0.8, 0))),
    }
    return Patient(**(given | changes))


def hold_still(scene):
    """Commands that keep every instrument where it is."""
    return {name: PointTarget(point=state.T_world_tip[:3, 3]) for name, state in scene.state.instruments.items()}
