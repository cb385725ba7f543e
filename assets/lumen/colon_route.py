"""Find the way through a colon whose limbs are fused: which curves of its skeleton are the colon, and in what order.

A plain shortest path takes short cuts where limbs touch. The colon itself is the longest way that visits no place
twice and that agrees with the anatomy: it rises to the splenic flexure, the highest place on the left, crosses to the
hepatic flexure, the highest on the right, and goes down again to the caecum; the descending and the ascending colon lie
on the posterior wall of the abdomen (they are retroperitoneal), the sigmoid and the transverse colon hang before them
(Standring, ed., Gray's Anatomy, 41st edition, 2016, chapter on the large intestine).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from assets.errors import InputError
from assets.lumen.curves import arc_lengths, place
from assets.lumen.skeleton_graph import SkeletonGraph

MAX_ROUTES = 20_000
"""A skeleton with more ways than this is no colon's; the real ones seen have fewer than a hundred."""

LANDMARK_REACH = 0.03
"""How far from the route a given landmark may lie [m]: about the radius of a distended transverse colon."""

FLEXURE_REACH = 0.07
"""The same for the flexures [m]: their domes lie aside of the skeleton's way."""

FLEXURE_DROP = 0.02
"""The caecum lies at least so much lower than the hepatic flexure [m]; more than the calibre of the bend itself."""

LIMB = 0.06
"""Length of limb on either side of a flexure whose depth in the body is compared [m]; shorter than any limb of a
colon (descending and ascending colon are 0.15 to 0.25 m, Gray's Anatomy)."""

ORDER = ("anus", "rectosigmoid", "sigmoid_descending", "splenic_flexure", "hepatic_flexure", "caecum")
"""The landmarks in the order in which a scope passes them."""


@dataclass(frozen=True)
class Route:
    """A way through the skeleton from the anus to the caecum."""

    points: Float64[np.ndarray, "n 3"]
    """RAS [m]."""
    radius: Float64[np.ndarray, "n"]
    """Distance to the label's boundary [m]; 0 along bridges."""
    edges: tuple[int, ...]
    """Indices of the graph's edges."""
    splenic: int
    """Index of the splenic flexure's point."""
    hepatic: int
    """Index of the hepatic flexure's point."""

    @property
    def length(self) -> float:
        """Arc length [m]."""
        return float(arc_lengths(self.points)[-1])


def find_route(
    graph: SkeletonGraph, middle: float, *, given: Mapping[str, Float64[np.ndarray, "3"]] | None = None
) -> Route:
    """Choose the longest way that agrees with the anatomy and with the given landmarks.

    Args:
        graph: One piece.
        middle: The patient's mid-sagittal plane, x [m].
        given: Landmarks [m] in the order in which the colon visits them; names beyond `ORDER` are way points.

    Raises:
        InputError: No way agrees; it names the rule that the best one breaks, and the place.
    """
    given = dict(given or {})
    known = [name for name in given if name in ORDER]
    if known != sorted(known, key=ORDER.index):
        raise InputError(f"expected landmarks in the order {', '.join(ORDER)}, found {', '.join(known)}")
    best: Route | None = None
    nearest: tuple[float, str] | None = None
    for count, (points, radius, edges) in enumerate(_routes(graph, _anus_node(graph, middle, given))):
        if count >= MAX_ROUTES:
            raise InputError(
                f"expected a colon, found a label whose skeleton has more than {MAX_ROUTES} ways through it"
            )
        length = float(arc_lengths(points)[-1])
        if best is not None and length <= best.length:
            continue
        route, fault = _judge(points, radius, edges, middle, given)
        if route is not None:
            best = route
        elif nearest is None or length > nearest[0]:
            nearest = (length, fault)
    if best is None:
        raise InputError(
            "expected a colon that runs from the anus up the left side, across, and down the right side; "
            + (
                f"the longest way through the label ({nearest[0]:.2f} m) fails: {nearest[1]}"
                if nearest
                else "found no way"
            )
            + "; a landmark file can tell the way"
        )
    return best


def _anus_node(graph: SkeletonGraph, middle: float, given: Mapping[str, NDArray[np.float64]]) -> int:
    ends = np.array([node for node in range(len(graph.nodes)) if len(graph.at(node)) == 1], dtype=int)
    if len(ends) == 0:
        raise InputError("expected a colon with a lower end, found a label whose skeleton has no ends")
    if "anus" in given:
        return int(ends[np.argmin(np.linalg.norm(graph.nodes[ends] - given["anus"], axis=1))])
    # The lowest end near the midline: the rectum is the only part of the colon that reaches the pelvic floor.
    return int(ends[np.argmin(graph.nodes[ends, 2] + np.abs(graph.nodes[ends, 0] - middle))])


def _routes(
    graph: SkeletonGraph, start: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, ...]]]:
    """Yield every way from `start` that visits no node twice and ends in an end, or before a neck to a visited node."""
    meeting = [graph.at(node) for node in range(len(graph.nodes))]
    stack: list[tuple[int, tuple[int, ...], frozenset[int]]] = [(start, (), frozenset([start]))]
    while stack:
        node, edges, visited = stack.pop()
        if edges and len(meeting[node]) == 1:
            yield (*_joined(graph, start, edges), edges)
        for index in meeting[node]:
            if index in edges:
                continue
            other = graph.edges[index].other(node)
            if other not in visited:
                stack.append((other, (*edges, index), visited | {other}))
            elif edges:
                points, radius = _joined(graph, start, (*edges, index))
                stop = _before_neck(points, radius, len(points) - len(graph.edges[index].points))
                if stop is not None:
                    yield points[:stop], radius[:stop], (*edges, index)


def _joined(
    graph: SkeletonGraph, start: int, edges: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    node, points, radius = start, [], []
    for index in edges:
        edge = graph.edges[index].leaving(node)
        points.append(edge.points)
        radius.append(edge.radius)
        node = edge.nodes[1]
    return np.concatenate(points), np.concatenate(radius)


def _before_neck(points: NDArray[np.float64], radius: NDArray[np.float64], first: int) -> int | None:
    """Return where a limb ends whose tip is fused to another limb: where its sphere touches the narrowest place."""
    neck = first + int(np.argmin(radius[first:]))
    from_neck = arc_lengths(points[: neck + 1][::-1])[::-1]
    clear = np.flatnonzero(from_neck >= radius[: neck + 1])
    return int(clear[-1]) + 1 if len(clear) and clear[-1] >= first else None


def _judge(
    points: NDArray[np.float64],
    radius: NDArray[np.float64],
    edges: tuple[int, ...],
    middle: float,
    given: Mapping[str, NDArray[np.float64]],
) -> tuple[Route | None, str]:
    arc = arc_lengths(points)
    position = 0
    placed: dict[str, int] = {}
    for name, point in given.items():
        distance = np.linalg.norm(points[position:] - point, axis=1)
        ahead = np.flatnonzero(distance <= (FLEXURE_REACH if name.endswith("flexure") else LANDMARK_REACH))
        if name == "caecum" and len(ahead):
            ahead = ahead[ahead >= 0.9 * (len(distance) - 1)]
        if len(ahead) == 0:
            return (
                None,
                f"it passes {distance.min() * 1e3:.0f} mm from {name} at {place(point)} or in another order",
            )
        # The nearest point of the first pass within reach, so that later landmarks stay ahead.
        first_pass = ahead[: np.argmax(np.diff(ahead, append=ahead[-1] + 2) > 1) + 1]
        position += int(first_pass[np.argmin(distance[first_pass])])
        placed[name] = position

    left, right = points[:, 0] < middle, points[:, 0] > middle
    if not left.any() or not right.any():
        return None, f"it stays on one side of the midline (x = {middle * 1e3:.0f} mm)"
    splenic = placed.get("splenic_flexure", int(np.argmax(np.where(left, points[:, 2], -np.inf))))
    hepatic = placed.get("hepatic_flexure", int(np.argmax(np.where(right, points[:, 2], -np.inf))))
    if not splenic < hepatic:
        return (
            None,
            f"the hepatic flexure at {place(points[hepatic])} comes before the splenic at {place(points[splenic])}",
        )
    if "caecum" not in placed:
        if points[-1, 0] < middle or points[-1, 2] > points[hepatic, 2] - FLEXURE_DROP:
            return None, f"it ends at {place(points[-1])}, not below the hepatic flexure on the right"
        before, after = _depths(points, arc, hepatic)
        if after > before:
            return None, f"after the hepatic flexure at {place(points[hepatic])} it runs before the transverse colon"
    if "splenic_flexure" not in placed:
        before, after = _depths(points, arc, splenic)
        if before > after:
            return (
                None,
                f"the limb that rises to the splenic flexure at {place(points[splenic])} lies before the one after",
            )
    return Route(points, radius, edges, splenic, hepatic), ""


def _depths(points: NDArray[np.float64], arc: NDArray[np.float64], at: int) -> tuple[float, float]:
    """Return the mean y (anterior) of the limbs before and after a flexure [m]."""
    before = (arc < arc[at]) & (arc > arc[at] - LIMB)
    after = (arc > arc[at]) & (arc < arc[at] + LIMB)
    y = points[:, 1]
    return (float(y[before].mean()) if before.any() else y[at], float(y[after].mean()) if after.any() else y[at])
