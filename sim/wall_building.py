"""Build a grid of signed distances from triangles: exact near the wall and everywhere inside the lumen."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import warp as wp
from numpy.typing import NDArray
from scipy import ndimage

from assets.errors import InputError
from assets.mesh import Mesh
from assets.patient import Orifice
from sim import wall_kernels

BAND = 0.006
"""Outside the lumen the distance is exact up to this depth [m]; beyond it is only known to be more."""
TUNNEL = 0.06
"""An orifice is continued outwards by a straight channel of this length [m], the introducer."""
TUNNEL_INSIDE = 0.01
"""And inwards by this [m], so that the rim of the disc is no obstacle."""
ANAL_OPENING = 0.012
"""The channel is at least this wide in an anus, which opens for the scope [m, radius]."""


def drop_orifices(mesh: Mesh, orifices: tuple[Orifice, ...]) -> Mesh:
    """Drop the triangles that lie in a disc of the orifices: they are seen, but nothing collides with them."""
    keep = np.ones(len(mesh.triangles), dtype=bool)
    centroids = mesh.vertices[mesh.triangles].mean(1)
    for orifice in orifices:
        offset = centroids - orifice.centre
        along = offset @ orifice.normal
        across = np.linalg.norm(offset - along[:, None] * orifice.normal, axis=1)
        keep &= ~((across < orifice.radius) & (np.abs(along) < orifice.radius / 4))
    return Mesh(mesh.vertices, mesh.triangles[keep])


def extent(
    lumen: Mesh, orifices: tuple[Orifice, ...], spacing: float
) -> tuple[NDArray[np.float64], tuple[int, int, int]]:
    """Return the position of a grid's first node [m] and its shape: the lumen with the band and the introducer."""
    corners = [lumen.vertices.min(0), lumen.vertices.max(0)]
    corners += [orifice.centre - orifice.normal * TUNNEL for orifice in orifices]
    margin = BAND + 2 * spacing
    low, high = np.min(corners, axis=0) - margin, np.max(corners, axis=0) + margin
    nx, ny, nz = (int(n) for n in np.ceil((high - low) / spacing) + 1)
    return np.asarray(low, dtype=np.float64), (nx, ny, nz)


def build(
    lumen: Mesh,
    solids: tuple[Mesh, ...],
    orifices: tuple[Orifice, ...],
    origin: NDArray[np.float64],
    shape: tuple[int, int, int],
    spacing: float,
    threads: int,
    opening: float,
) -> NDArray[np.float32]:
    """Compute the signed distances [m] at the nodes of the grid.

    The channels through the orifices have at least the radius `opening` [m].

    Raises:
        InputError: The lumen encloses no node.
    """
    wall_kernels.quiet()
    wp.load_module(wall_kernels, device="cpu")
    opened = _warp_mesh(combined((drop_orifices(lumen, orifices), *solids)), winding=False)
    near = _near_surface((lumen, *solids), origin, shape, spacing)
    band = np.flatnonzero(near)
    unsigned = np.full(shape, np.inf, dtype=np.float32)
    unsigned.reshape(-1)[band] = _distance(opened, _positions(band, origin, shape, spacing), threads)
    # An edge of the grid that crosses the surface has an end within half a spacing of it. So the sign is one over each
    # connected component of the other nodes: only one of each, and those near the surface, need a winding number.
    cut = unsigned <= 0.51 * spacing
    for orifice in orifices:
        _mark_disc(cut, orifice, origin, spacing)
    free = np.zeros(shape, dtype=bool)
    lumen_mesh = _warp_mesh(lumen, winding=True)
    on_surface = np.flatnonzero(cut)
    free.reshape(-1)[on_surface] = _inside(lumen_mesh, _positions(on_surface, origin, shape, spacing), threads)
    components, count = ndimage.label(~cut)
    representatives = np.zeros(count + 1, dtype=np.int64)
    representatives[components.reshape(-1)] = np.arange(components.size)
    inside = _inside(lumen_mesh, _positions(representatives, origin, shape, spacing), threads)
    inside[0] = False  # 0 stands for the nodes that are cut, which have their sign already
    free |= inside[components]
    enclosed, found = _volume(lumen), float(np.count_nonzero(free)) * spacing**3
    if not 0.5 * enclosed < found < 1.5 * enclosed:
        # A lumen that is open, inside out, or whose dropped triangles reach beyond their orifice's disc.
        raise InputError(
            f"lumen: expected a closed surface with orifices as wide as their discs, "
            f"found {1e6 * found:.0f} ml inside it and {1e6 * enclosed:.0f} ml by its triangles"
        )
    for solid in solids:
        _carve(free, solid, origin, spacing)
    deep = np.flatnonzero(free & ~near)
    unsigned.reshape(-1)[deep] = _distance(opened, _positions(deep, origin, shape, spacing), threads)
    values = np.where(free, unsigned, -np.minimum(unsigned, BAND)).astype(np.float32)
    for orifice in orifices:
        _open(values, orifice, origin, spacing, opening)
    return values


def _volume(mesh: Mesh) -> float:
    """Return the volume that a closed surface encloses [m^3], by the divergence theorem."""
    a, b, c = (mesh.vertices[mesh.triangles[:, corner]].astype(np.float64) for corner in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def _near_surface(
    meshes: tuple[Mesh, ...], origin: NDArray[np.float64], shape: tuple[int, int, int], spacing: float
) -> NDArray[np.bool_]:
    """Mark the nodes within about BAND of any surface."""
    marked = np.zeros(shape, dtype=bool)
    for mesh in meshes:
        corners = mesh.vertices[mesh.triangles].astype(np.float64)
        longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(1)
        # Barycentric points, no farther apart than the spacing, on triangles of similar size together.
        pieces = np.ceil(longest / spacing).astype(int).clip(1)
        for n in np.unique(pieces):
            i, j = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
            u, v = (i[i + j <= n] / n), (j[i + j <= n] / n)
            weights = np.stack([1 - u - v, u, v], axis=1)
            points = (weights @ corners[pieces == n]).reshape(-1, 3)
            cells = np.rint((points - origin) / spacing).astype(int)
            inside = np.all((cells >= 0) & (cells < shape), axis=1)
            marked[tuple(cells[inside].T)] = True
    grown = ndimage.binary_dilation(marked, ndimage.generate_binary_structure(3, 3), round(BAND / spacing))
    return np.asarray(grown, dtype=bool)


def _positions(
    flat: NDArray[np.int64], origin: NDArray[np.float64], shape: tuple[int, int, int], spacing: float
) -> NDArray[np.float32]:
    nodes = np.stack(np.unravel_index(flat, shape), axis=1)
    return (nodes * spacing + origin).astype(np.float32)


def _warp_mesh(mesh: Mesh, *, winding: bool) -> wp.Mesh:
    return wp.Mesh(
        wp.array(np.ascontiguousarray(mesh.vertices, dtype=np.float32), dtype=wp.vec3f, device="cpu"),
        wp.array(np.ascontiguousarray(mesh.triangles.reshape(-1), dtype=np.int32), dtype=wp.int32, device="cpu"),
        support_winding_number=winding,
    )


def _inside(mesh: wp.Mesh, points: NDArray[np.float32], threads: int) -> NDArray[np.bool_]:
    inside = np.zeros(len(points), dtype=np.uint8)
    target = wp.array(inside, dtype=wp.uint8, device="cpu", copy=False)
    source = wp.array(points, dtype=wp.vec3f, device="cpu", copy=False)

    def launch(first: int, count: int) -> None:
        wp.launch(wall_kernels.mesh_inside, dim=count, inputs=[mesh.id, source, first], outputs=[target], device="cpu")

    _in_parts(launch, len(points), threads)
    return inside.astype(bool)


def _distance(mesh: wp.Mesh, points: NDArray[np.float32], threads: int) -> NDArray[np.float32]:
    distance = np.zeros(len(points), dtype=np.float32)
    target = wp.array(distance, dtype=wp.float32, device="cpu", copy=False)
    source = wp.array(points, dtype=wp.vec3f, device="cpu", copy=False)

    def launch(first: int, count: int) -> None:
        wp.launch(
            wall_kernels.mesh_distance, dim=count, inputs=[mesh.id, source, 1.0, first], outputs=[target], device="cpu"
        )

    _in_parts(launch, len(points), threads)
    return distance


def _in_parts(launch: Callable[[int, int], None], count: int, threads: int) -> None:
    """Call `launch(first, count)` for consecutive parts in `threads` threads; Warp releases the GIL."""
    bounds = np.linspace(0, count, 8 * threads + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: launch(int(part[0]), int(part[1] - part[0])), pairwise(bounds)))


def combined(meshes: tuple[Mesh, ...]) -> Mesh:
    """Return all triangles of the meshes as one mesh, in their order."""
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate(
            [mesh.triangles + np.int32(offset) for mesh, offset in zip(meshes, offsets, strict=True)]
        ).astype(np.int32),
    )


def _carve(free: NDArray[np.bool_], solid: Mesh, origin: NDArray[np.float64], spacing: float) -> None:
    """Take the nodes inside a solid out of the free ones."""
    low = np.floor((solid.vertices.min(0) - origin) / spacing).astype(int).clip(0)
    high = np.ceil((solid.vertices.max(0) - origin) / spacing).astype(int) + 1
    window = free[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    if window.size:
        nodes = _positions(np.arange(window.size), origin + low * spacing, window.shape, spacing)
        window &= ~_inside(_warp_mesh(solid, winding=True), nodes, 1).reshape(window.shape)


def _mark_disc(cut: NDArray[np.bool_], orifice: Orifice, origin: NDArray[np.float64], spacing: float) -> None:
    """Mark the nodes within a spacing of the disc of an orifice, whose triangles were dropped."""
    reach = orifice.radius + spacing
    low = np.floor((orifice.centre - reach - origin) / spacing).astype(int).clip(0)
    high = np.ceil((orifice.centre + reach - origin) / spacing).astype(int) + 1
    window = cut[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    offset = _positions(np.arange(window.size), origin + low * spacing, window.shape, spacing) - orifice.centre
    along = offset @ orifice.normal
    across = np.linalg.norm(offset - along[:, None] * orifice.normal, axis=1)
    window |= ((across <= reach) & (np.abs(along) <= orifice.radius / 4 + spacing)).reshape(window.shape)


def _open(
    values: NDArray[np.float32], orifice: Orifice, origin: NDArray[np.float64], spacing: float, opening: float
) -> None:
    """Unite the free space with a straight channel through the orifice."""
    radius = max(orifice.radius, opening)
    ends = orifice.centre + np.outer([-TUNNEL, TUNNEL_INSIDE], orifice.normal)
    low = np.floor((ends.min(0) - radius - origin) / spacing).astype(int).clip(0)
    high = np.ceil((ends.max(0) + radius - origin) / spacing).astype(int) + 1
    window = values[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    nodes = _positions(np.arange(window.size), origin + low * spacing, window.shape, spacing)
    offset = nodes - orifice.centre
    along = offset @ orifice.normal
    clearance = radius - np.linalg.norm(offset - along[:, None] * orifice.normal, axis=1)
    channel = np.where((along >= -TUNNEL) & (along <= TUNNEL_INSIDE), clearance, -BAND)
    np.maximum(window, channel.reshape(window.shape), out=window, casting="same_kind")
