"""The whole way from a label to a colon that a scope can pass: route, axis, straightening, distension, surface."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from assets.colon.course import SHARPEST
from assets.errors import InputError
from assets.lumen.colon_axis import colon_axis, recentred
from assets.lumen.colon_landmarks import SEGMENTS, colon_landmarks
from assets.lumen.colon_route import ORDER, find_route
from assets.lumen.curves import arc_lengths, bend_radii, place, tangents
from assets.lumen.distension import SEPTUM, Lumen, distend
from assets.lumen.flexure import flexure_dome, through_dome
from assets.lumen.grid import resample
from assets.lumen.relief import Relief
from assets.lumen.skeleton_graph import bridged, skeleton_graph
from assets.lumen.straightening import straightened
from assets.lumen.surface import closed_surface
from assets.lumen.transport import transported
from assets.mesh import Mesh
from assets.mesh_check import check_mesh

ROUTE_VOXEL = 2e-3
"""Voxel of the grid on which the way is sought [m]; a colon's least radius is some voxels."""

SPECK = 1e-6
"""Separate pieces of the label below this volume are dropped [m^3], 1 ml: stool or noise, not colon."""

SPARE = 0.6
"""How much wider than asked for the tube of the least calibre is grown, in voxels: half of one because a voxel counts
by its centre, and a little for what smoothing the surface takes."""

FLATTENED = 2.5e-3
"""How far the surface's end may lie from the anus's plane to be brought into it [m]: less than two voxels."""


@dataclass(frozen=True)
class ColonOptions:
    """How a labelled colon becomes a lumen."""

    min_calibre_mm: float = 24.0
    """Least diameter of the lumen after distension [mm]; at least 16. A colonoscope is 13 mm thick."""
    least_bend_mm: float = SHARPEST * 1e3
    """Least radius of a bend of the axis [mm], the same as in synthetic colons: a scope opens tighter bends of a soft
    colon, and cannot open those of a rigid one. At most 45; 0 leaves the axis as the scan has it."""
    wall_mm: float = 1.5
    """Taken off the label, which holds wall, stool and air [mm]; a distended colon's wall is 1 to 2 mm thick
    (Fernandes et al., Insights Imaging 5, 2014, doi:10.1007/s13244-013-0308-y)."""
    relief_mm: float = 5.0
    """Height of the made-up haustral folds, which voxels of 3 mm do not hold and a collapsed colon does not show [mm];
    0: none."""
    canal_mm: float = 20.0
    """Length of the anal canal added below the label, which ends above it [mm]; the canal is about 40 mm long, and
    its upper part is labelled as colon (Standring, ed., Gray's Anatomy, 41st edition, 2016)."""
    max_gap_mm: float = 60.0
    """Longest collapsed piece missing from the label that is bridged [mm]."""
    voxel_mm: float = 1.5
    """Voxel of the lumen [mm]; smaller is smoother, slower and takes more memory."""
    triangles: int = 100_000
    """Of the lumen's surface, about."""
    seed: int = 0
    """Places the made-up haustra."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("min_calibre_mm", 16.0, 60.0),
            ("least_bend_mm", 0.0, 45.0),
            ("wall_mm", 0.0, 5.0),
            ("relief_mm", 0.0, 10.0),
            ("canal_mm", 0.0, 60.0),
            ("max_gap_mm", 0.0, 200.0),
            ("voxel_mm", 0.8, 2.5),
            ("triangles", 5_000, 2_000_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"expected {name} from {low} to {high}, found {value}")


@dataclass(frozen=True)
class Colon:
    """A colon that a scope can pass."""

    surface: Mesh
    points: Float64[np.ndarray, "n 3"]
    """Centreline from the anus to the caecum, RAS [m]."""
    radius: Float64[np.ndarray, "n"]
    """Of the largest sphere inside [m]; the open anus does not count as wall."""
    landmarks: dict[str, int]
    """Index of the centreline's point, in the order of the colon."""
    orifice_radius: float
    """Of the disc at the first point [m]."""
    lumen: Lumen
    figures: dict[str, float | int | bool]
    """Length, calibre, genus and so on, in the units of their names."""


def build_colon(
    mask: Bool[np.ndarray, "i j k"],
    T_world_index: Float64[np.ndarray, "4 4"],
    *,
    middle: float,
    iliac_crest: float | None = None,
    bone: Float64[np.ndarray, "v 3"] | None = None,
    given: Mapping[str, Float64[np.ndarray, "3"]] | None = None,
    options: ColonOptions | None = None,
    report: Callable[[str], None] | None = None,
) -> Colon:
    """Turn a labelled colon into a lumen of genus 0 with its centreline.

    Args:
        mask: The colon's voxels.
        T_world_index: Maps voxel indices to RAS [m].
        middle: Mid-sagittal plane, x [m].
        iliac_crest: Height of the left iliac crest, z [m], where it is known.
        bone: Centres of voxels of bone [m], into which no bend is pushed.
        given: Landmarks [m] in the order of the colon.
        options: How.
        report: Called with what is being done.

    Raises:
        InputError: The label is no whole colon, or its way cannot be told; it names the place.
    """
    options, given, say = options or ColonOptions(), dict(given or {}), report or (lambda _: None)
    least = options.min_calibre_mm * 0.5e-3
    mask, specks = _without_specks(mask, T_world_index)

    say("finding the way through the colon")
    occupancy, grid = resample(mask, T_world_index, spacing=ROUTE_VOXEL, margin=2 * ROUTE_VOXEL)
    label = ndimage.binary_fill_holes(occupancy > 0.45)  # a little wide: thin places of the label stay whole
    distance = (ndimage.distance_transform_edt(label) * ROUTE_VOXEL).astype(np.float32)
    graph = bridged(skeleton_graph(label, distance, grid), options.max_gap_mm * 1e-3)
    route = find_route(graph, middle, given=given)
    way = route.points
    for flexure in (route.hepatic, route.splenic):
        dome = flexure_dome(graph, route.edges, route.points[flexure], middle)
        if dome is not None:
            way = through_dome(way, dome, label, distance, grid)
    axis = colon_axis(way, label, grid, canal=options.canal_mm * 1e-3, clearance=2 * least + SEPTUM)

    in_scan = axis.points
    if options.least_bend_mm > 0:
        say("straightening its bends")
        in_scan, axis = straightened(
            axis,
            least_bend=options.least_bend_mm * 1e-3,
            clearance=2 * least + SEPTUM,
            bone=bone,
        )

    say("distending the colon and parting its limbs")
    spacing = options.voxel_mm * 1e-3
    margin = least + options.relief_mm * 1e-3 + 5 * spacing
    scanned, grid = resample(
        mask, T_world_index, spacing=spacing, margin=margin, include=np.concatenate([in_scan, axis.points])
    )
    occupancy, fused = transported(scanned, grid, in_scan, axis.points, least=least)
    lumen = distend(
        occupancy,
        grid,
        axis,
        scanned=scanned > 0.5,
        fused=fused,
        radius=least + SPARE * spacing,
        wall=options.wall_mm * 1e-3,
        relief=Relief(options.relief_mm * 1e-3, options.seed),
    )
    depth = ndimage.distance_transform_edt(lumen.inside).astype(np.float32) * np.float32(spacing)
    points = recentred(axis.points, depth, grid)
    label_depth = ndimage.distance_transform_edt(occupancy > 0.5).astype(np.float32) * np.float32(spacing)
    landmarks = colon_landmarks(points, grid.sample(label_depth, points), middle, iliac_crest=iliac_crest, given=given)

    say("meshing the lumen")
    surface = _meshed(lumen, options.triangles)
    surface, wall = _flat_end(surface, points[0], tangents(points)[0], least)
    radius = _inscribed(points, surface, wall)
    narrow = int(np.argmin(radius))
    if radius[narrow] < least:
        raise InputError(
            f"expected a calibre of {options.min_calibre_mm:.0f} mm, found {radius[narrow] * 2e3:.1f} mm at "
            f"{place(points[narrow])}, where limbs leave no room; ask for a smaller minimum calibre"
        )
    found = check_mesh(surface)
    if found.problems or found.genus != 0 or found.body_count != 1:
        fault = found.problems[0] if found.problems else f"genus {found.genus}, {found.body_count} bodies"
        raise InputError(f"expected a closed lumen of genus 0, found: {fault}; try another voxel_mm")
    arc = arc_lengths(points)
    shift = np.linalg.norm(axis.points - in_scan, axis=1)
    marks = [arc[landmarks[name]] for name in ORDER]
    figures: dict[str, float | int | bool] = {
        "length_m": round(float(arc[-1]), 4),
        "least_calibre_mm": round(float(radius.min()) * 2e3, 2),
        "median_calibre_mm": round(float(np.median(radius)) * 2e3, 2),
        **{
            f"{name}_mm": round(float(b - a) * 1e3, 1)
            for name, a, b in zip(SEGMENTS, marks[:-1], marks[1:], strict=True)
        },
        "genus": found.genus,
        "triangles": found.triangle_count,
        "volume_ml": round(found.volume * 1e6, 3),
        "voxel_mm": options.voxel_mm,
        "label_voxels": int((scanned > 0.5).sum()),
        "lumen_voxels": int(lumen.inside.sum()),
        "dropped_specks": specks,
        "largest_shift_of_a_limb_mm": round(axis.moved * 1e3, 2),
        "least_bend_radius_mm": round(float(bend_radii(points).min()) * 1e3, 2),
        "mean_shift_by_straightening_mm": round(float(shift.mean()) * 1e3, 2),
        "largest_shift_by_straightening_mm": round(float(shift.max()) * 1e3, 2),
    }
    return Colon(surface, points, radius, landmarks, least, lumen, figures)


def _without_specks(mask: NDArray[np.bool_], T_world_index: NDArray[np.float64]) -> tuple[NDArray[np.bool_], int]:
    """Drop small separate pieces; return what is left, and the number of scan voxels dropped."""
    pieces, count = ndimage.label(mask, np.ones((3, 3, 3)))
    size = np.bincount(pieces.ravel(), minlength=count + 1)
    least = min(SPECK / abs(float(np.linalg.det(T_world_index[:3, :3]))), size[1:].max(initial=0))
    keep = size >= least
    keep[0] = False
    kept = keep[pieces]
    return kept, int(mask.sum() - kept.sum())


def _meshed(lumen: Lumen, triangles: int) -> Mesh:
    # The blurred field is the smoother one; where its values are far from even, a cube may be cut otherwise.
    for smoothing, iterations in ((1.0, 10), (0.0, 25)):
        T_world_index = lumen.grid.T_world_index
        surface = closed_surface(
            lumen.inside, T_world_index, smoothing=smoothing, iterations=iterations, triangles=triangles
        )
        if check_mesh(surface).genus == 0:
            break
    return surface


def _flat_end(
    mesh: Mesh, centre: NDArray[np.float64], inward: NDArray[np.float64], radius: float
) -> tuple[Mesh, NDArray[np.bool_]]:
    """Bring the end at the anus into one plane, so that the orifice's disc lies in it; say which triangles are wall."""
    points = mesh.vertices.astype(np.float64)
    offset = points - centre
    along = offset @ inward
    across = np.linalg.norm(offset - along[:, None] * inward, axis=1)
    end = (np.abs(along) < FLATTENED) & (across < radius)
    points[end] -= along[end, None] * inward
    rim = (np.abs(along) < 2 * FLATTENED) & (across < 2 * radius)  # rounded by the smoothing, so nearer than the wall
    return Mesh(points.astype(np.float32), mesh.triangles), ~rim[mesh.triangles].any(axis=1)


def _inscribed(points: NDArray[np.float64], mesh: Mesh, wall: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the distance of points to the wall [m]; the open end is no wall.

    Corners, edges' and triangles' centres stand for the surface: at edges of 2 mm and a radius of 12 mm that is
    0.03 mm too far at most.
    """
    corners = mesh.vertices[mesh.triangles[wall]].astype(np.float64)
    samples = [
        *corners.swapaxes(0, 1),
        corners.mean(axis=1),
        *((corners + np.roll(corners, 1, axis=1)) / 2).swapaxes(0, 1),
    ]
    return np.asarray(cKDTree(np.concatenate(samples)).query(points)[0])
