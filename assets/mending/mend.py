"""Mend a surface of any state where that is safe, say what was done, and refuse it where it is not."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from assets.errors import InputError
from assets.lumen.curves import place
from assets.mending.bodies import compact, edges_of, oriented, signed_volume
from assets.mending.holes import cap, find_holes
from assets.mending.weld import LEAST_AREA, areas, welded, without_doubles, without_slivers
from assets.mesh import Mesh
from assets.mesh_check import check_mesh, winding_number

MAX_HOLE_SHARE = 0.05
"""A hole is small if its area is at most this share of the surface's."""

LEAST_BODY_SHARE = 0.05
"""Bodies with less than this share of the largest one's area are dropped: about 1 % of its volume in a like shape."""


MOST_BODIES, MOST_HOLES = 64, 256
"""Surfaces of more, such as fragments that hang together nowhere, are refused before each is looked at."""


@dataclass(frozen=True)
class MendRules:
    """What may be done."""

    hole_share: float = MAX_HOLE_SHARE
    """Largest hole that is closed, as a share of the surface's area."""
    body_share: float = LEAST_BODY_SHARE
    """Smallest body that is kept, as a share of the largest one's area."""


@dataclass(frozen=True)
class Mended:
    """Closed bodies, and what was done to get them."""

    bodies: tuple[Mesh, ...]
    """Each closed, manifold and with its normals outwards; the largest volume first."""
    figures: dict[str, int]
    """Counts by what was done; empty where nothing had to be."""
    inner: tuple[Mesh, ...] = ()
    """Bodies inside of others, the largest first: the lumen where the outer one is a wall."""

    @property
    def joined(self) -> Mesh:
        """All bodies as one mesh."""
        starts = np.cumsum([0, *(len(body.vertices) for body in self.bodies)])
        cells = [body.triangles + start for body, start in zip(self.bodies, starts, strict=False)]
        vertices = np.concatenate([body.vertices for body in self.bodies])
        return Mesh(vertices, np.concatenate(cells).astype(np.int32))


def mend(
    vertices: Float64[np.ndarray, "v 3"],
    triangles: Int64[np.ndarray, "t 3"],
    where: str,
    *,
    rules: MendRules | None = None,
) -> Mended:
    """Make closed bodies of a surface.

    Vertices at one place are merged; triangles that are none or twice there are dropped; bodies are turned outwards;
    small bodies and bodies inside others are left out; small planar holes are closed.

    Args:
        vertices: Positions [m].
        triangles: Vertex indices.
        where: What to call the surface in errors.
        rules: What may be done.

    Raises:
        InputError: The surface has large or twisted holes, edges where more than two sheets meet, or no volume.
    """
    rules = rules or MendRules()
    points = vertices.astype(np.float32).astype(np.float64)  # as it will be kept
    whole = Mesh(points.astype(np.float32), triangles.astype(np.int32))
    found = check_mesh(whole)
    if found.body_count == 1 and not found.problems and not without_doubles(triangles)[2]:
        return Mended((whole,), {})
    if not found.triangle_count:
        raise InputError(f"expected triangles, found none in {where}")
    figures: dict[str, int] = {}
    points, triangles, figures["vertices_merged"] = welded(points, triangles)
    triangles, degenerate, figures["double_triangles_dropped"] = without_doubles(triangles)
    triangles, slivers = without_slivers(points, triangles)
    figures["degenerate_triangles_dropped"] = degenerate + slivers
    if not len(triangles):
        raise InputError(f"expected a surface that encloses something, found only doubles in {where}")
    triangles, body, turned, one_sided = oriented(triangles)
    crowded = _crowded_edges(triangles)
    size = np.bincount(body, weights=areas(points, triangles))
    keep = np.flatnonzero(size >= rules.body_share * size.max())
    figures["small_bodies_dropped"] = len(size) - len(keep)
    if len(keep) > MOST_BODIES:
        raise InputError(f"expected at most {MOST_BODIES} bodies of like size, found {len(keep)} in {where}")
    figures["triangles_turned"] = int(turned[np.isin(body, keep)].sum())
    twisted = one_sided & np.isin(body, keep)
    if twisted.any():
        middle = points[triangles[int(np.argmax(twisted))]].mean(axis=0)
        raise InputError(
            f"expected surfaces with two sides, found {int(twisted.sum())} triangles of a one-sided one at "
            f"{place(middle)} in {where}"
        )
    closed = [_closed(points, triangles[body == index], crowded, figures, rules, where) for index in keep.tolist()]
    bodies = [mesh for mesh in closed if mesh is not None]
    if not bodies:
        raise InputError(f"expected a surface that encloses a volume, found flat sheets in {where}")
    bodies.sort(key=lambda mesh: -check_mesh(mesh).volume)
    outer = _outermost(bodies)
    figures["inner_bodies_dropped"] = len(bodies) - len(outer)
    inner = tuple(body for body in bodies if not any(body is other for other in outer))
    return Mended(tuple(outer), {name: count for name, count in figures.items() if count}, inner)


def _crowded_edges(triangles: NDArray[np.int64]) -> set[tuple[int, int]]:
    """Return the edges at which more than two triangles meet."""
    edges = edges_of(triangles)
    return {(int(a), int(b)) for a, b in edges.ends[edges.uses > 2]}


def _closed(
    points: NDArray[np.float64],
    triangles: NDArray[np.int64],
    crowded: set[tuple[int, int]],
    figures: dict[str, int],
    rules: MendRules,
    where: str,
) -> Mesh | None:
    """Close one body and turn it outwards; None where it encloses nothing."""
    edges = edges_of(triangles)
    if (edges.uses > 2).any():
        bad = points[edges.ends[np.argmax(edges.uses > 2)]].mean(axis=0)
        raise InputError(
            f"expected two triangles at every edge, found {int((edges.uses > 2).sum())} edges with more, such as at "
            f"{place(bad)}, in {where}"
        )
    vertices, cells = points, triangles
    holes, touching = find_holes(points, triangles)
    if touching is not None:
        raise InputError(
            f"expected holes apart from each other, found two that touch at {place(points[touching])} in {where}"
        )
    if len(holes) > MOST_HOLES:
        raise InputError(f"expected at most {MOST_HOLES} holes, found {len(holes)} in {where}")
    total = float(areas(points, triangles).sum())
    for hole in holes:
        rim = {tuple(sorted(pair)) for pair in zip(hole.rim.tolist(), np.roll(hole.rim, -1).tolist(), strict=True)}
        if rim & crowded:
            raise InputError(f"expected one surface, found three sheets that meet at {place(hole.centre)} in {where}")
        if hole.area > rules.hole_share * total or not hole.planar:
            raise InputError(
                f"expected a closed surface, found a hole of {1e3 * hole.diameter:.1f} mm and {len(hole.rim)} edges "
                f"({100 * hole.area / total:.1f} % of the surface, bent by {1e3 * hole.bend:.1f} mm) at "
                f"{place(hole.centre)}, which is too {'large' if hole.planar else 'bent'} to close, in {where}"
            )
        patch = cap(vertices, hole)
        if patch is None:
            raise InputError(
                f"expected holes with a simple rim, found one that crosses itself at {place(hole.centre)} in {where}"
            )
        vertices, cells = patch[0], np.concatenate([cells, patch[1]])
    figures["holes_closed"] = figures.get("holes_closed", 0) + len(holes)
    vertices, cells = compact(vertices, cells)
    volume = signed_volume(vertices, cells)
    if abs(volume) < LEAST_AREA * 1e-3:
        return None
    if volume < 0:
        cells = cells[:, ::-1]
        figures["bodies_turned_outwards"] = figures.get("bodies_turned_outwards", 0) + 1
    mesh = Mesh(vertices.astype(np.float32), np.ascontiguousarray(cells).astype(np.int32))
    problems = check_mesh(mesh).problems
    if problems:
        thin = vertices[cells[areas(vertices, cells).argmin()]].mean(axis=0)
        raise InputError(f"{problems[0]}, such as near {place(thin)}, in {where}")
    return mesh


def _outermost(bodies: list[Mesh]) -> list[Mesh]:
    """Leave out bodies inside of larger ones."""
    kept: list[Mesh] = []
    for body in bodies:
        probe = body.vertices[:1].astype(np.float64)
        if not any(_within(probe, other) for other in kept):
            kept.append(body)
    return kept


def _within(point: NDArray[np.float64], mesh: Mesh) -> bool:
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    if ((point < low) | (point > high)).any():
        return False
    return bool(winding_number(mesh, point)[0] > 0.5)
