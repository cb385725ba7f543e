"""Masks as closed polygons that rasterise back to the very same mask, holes and all.

Most formats have no holes. A hole is joined to what lies above it by a cut without width, so one ring describes both.
"""

import cv2
import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

Ring = list[tuple[int, int]]
"""A closed polygon (x, y); the first point is not repeated at the end."""

_RIGHT, _DOWN, _LEFT, _UP = (1, 0), (0, 1), (-1, 0), (0, -1)


def centre_outlines(mask: Bool[np.ndarray, "h w"]) -> list[NDArray[np.int64]]:
    """Outline a mask through the centres of its outermost pixels, as `cv2.fillPoly` wants it.

    Returns:
        A ring for each piece of the mask (pixels that touch at a corner belong together), shape (n, 2), (x, y) in
        pixels, at least three points. Filled by `cv2.fillPoly`, which takes in the outline too, they give the mask.
    """
    contours, tree = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return []
    rings = [[(int(x), int(y)) for x, y in contour[:, 0]] for contour in contours]
    parents = [int(parent) for parent in tree[0, :, 3]]
    found = []
    for outer, parent in enumerate(parents):
        if parent < 0:
            holes = [rings[index] for index, above in enumerate(parents) if above == outer]
            ring = _straightened(_joined(rings[outer], holes, mask, at_corners=False))
            found.append(np.array((ring * 3)[: max(len(ring), 3)]))
    return found


def edge_outlines(mask: Bool[np.ndarray, "h w"]) -> list[NDArray[np.int64]]:
    """Outline a mask along the edges of its pixels, so that the area within is the count of its pixels.

    Returns:
        A ring for each piece of the mask (pixels that share an edge belong together), shape (n, 2), (x, y) in pixels;
        (0, 0) is the outer corner of the top left pixel. Filled by the even-odd rule they give the mask.
    """
    outer: list[Ring] = []
    holes: list[Ring] = []
    for ring in _edge_loops(mask):
        (outer if _doubled_area(ring) > 0 else holes).append(ring)
    if not holes:
        return [np.array(_straightened(ring)) for ring in outer]
    pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[1]
    owned: dict[int, list[Ring]] = {}
    for ring in holes:
        x, y = _top(ring)
        owned.setdefault(int(pieces[y - 1, x]), []).append(ring)
    found = []
    for ring in outer:
        x, y = _top(ring)
        found.append(np.array(_straightened(_joined(ring, owned.get(int(pieces[y, x]), []), mask, at_corners=True))))
    return found


def _edge_loops(mask: Bool[np.ndarray, "h w"]) -> list[Ring]:
    """Walk the edges between mask and rest with the mask on the right hand (y down): pieces clockwise, holes not."""
    padded = np.pad(mask, 1)
    starts: dict[tuple[int, int], list[tuple[int, int]]] = {}
    inside, above, left = padded[1:, 1:], padded[:-1, 1:], padded[1:, :-1]
    for way, edges in (
        (_RIGHT, inside & ~above),
        (_UP, inside & ~left),
        (_LEFT, above & ~inside),
        (_DOWN, left & ~inside),
    ):
        rows, columns = np.nonzero(edges)
        # an edge to the right or down starts at the corner (column, row), one to the left or up ends there
        shift = (way == _LEFT, way == _UP)
        for x, y in zip((columns + shift[0]).tolist(), (rows + shift[1]).tolist(), strict=True):
            starts.setdefault((x, y), []).append(way)
    loops: list[Ring] = []
    while starts:
        here = next(iter(starts))
        way, ring = starts[here][0], Ring()
        while here in starts:
            ways = starts[here]
            if len(ways) > 1:  # two pixels touch at a corner: turn right, so as not to join them
                right = (-way[1], way[0])
                way = right if right in ways else ways[0]
            else:
                way = ways[0]
            ways.remove(way)
            if not ways:
                del starts[here]
            ring.append(here)
            here = (here[0] + way[0], here[1] + way[1])
            if here == ring[0]:
                break
        loops.append(ring)
    return loops


def _joined(ring: Ring, holes: list[Ring], mask: Bool[np.ndarray, "h w"], *, at_corners: bool) -> Ring:
    """Join holes to the ring around them, each by a cut straight up from its topmost point."""
    joined = list(ring)
    for hole in sorted(holes, key=lambda one: _top(one)[1]):
        x, y = start = _top(hole)
        # the first of the pixels above that is not of the mask belongs to the outside, or to a hole joined before
        while y > 0 and mask[y - 1, x]:
            y -= 1
        where, first = joined.index((x, y)), hole.index(start)
        joined[where + 1 : where + 1] = [*hole[first:], *hole[:first], start, (x, y)]
    return joined


def _top(ring: Ring) -> tuple[int, int]:
    """Return the leftmost of the topmost points."""
    return min(ring, key=lambda point: (point[1], point[0]))


def _doubled_area(ring: Ring) -> int:
    points = np.array(ring)
    following = np.roll(points, -1, axis=0)
    return int((points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]).sum())


def _straightened(ring: Ring) -> Ring:
    """Leave out points in the middle of straight runs."""
    if len(ring) < 3:
        return ring
    steps = np.sign(np.diff(np.array([ring[-1], *ring, ring[0]]), axis=0))
    keep = (steps[:-1] != steps[1:]).any(axis=1)
    return [point for point, kept in zip(ring, keep.tolist(), strict=True) if kept]
