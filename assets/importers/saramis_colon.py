"""Import a colon of the SARAMIS navigation release: textured mesh, centreline, and landmarks as vertex indices."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assets.errors import InputError
from assets.importers.landmark_file import read_landmarks
from assets.importers.mesh_names import Structure
from assets.importers.mesh_organs import Part, organ_of
from assets.importers.mesh_set import MeshOptions, MeshSet, find_frame, patient_of
from assets.importers.saramis_case import LICENCE
from assets.importers.saramis_variants import read_one
from assets.lumen.colon_landmarks import colon_landmarks
from assets.lumen.curves import SPACING, arc_lengths, place, resampled, tangents
from assets.mending.anal_canal import with_anal_canal
from assets.mending.mend import mend
from assets.mesh import Mesh
from assets.mesh_check import check_mesh, winding_number
from assets.mesh_files.raw import RawMesh, numbers, read_bytes
from assets.patient import Centreline, Orifice, Patient
from assets.transforms import apply

MESH = "interp_curve.ply"
CENTRELINES = ("interp_curve_transformed_centerline_final_space.txt", "interp_curve.txt")
"""The first is in the mesh's space; the second may be, or may hold the mesh's vertices."""
TARGETS = {"cecum": "caecum", "rectum": "rectum", "hepatic": "hepatic_flexure", "splenic": "splenic_flexure"}
"""SARAMIS's names and ours."""

LEAST_INSIDE = 0.8
"""Share of a centreline that must lie inside of the lumen; its ends may stick out."""

CLEARANCE = 0.004
"""Distance from the wall that the centreline must have where the rectum is cut [m]."""


def colon_folder(path: Path) -> Path | None:
    """Return the folder of the mesh: the case's `colon/colon`, or the path itself; None where there is none."""
    folders = (path, path / "colon", path / "colon" / "colon")
    return next((folder for folder in folders if (folder / MESH).is_file()), None)


def import_saramis_colon(
    path: Path, options: MeshOptions | None = None, *, report: Callable[[str], None] | None = None
) -> Patient:
    """Import a colon: lumen, centreline from anus to caecum, landmarks, and the anus as orifice.

    Args:
        path: `<case>`, or its `colon/colon`.
        options: How to take it; landmarks that are given override those of the release.
        report: Called with what is being done.

    Raises:
        InputError: A file is missing or damaged, or the parts do not fit each other.
    """
    options, say = options or MeshOptions(), report or (lambda _: None)
    folder = colon_folder(path)
    if folder is None:
        raise InputError(f"expected {MESH} in {path} or its colon/colon, found none")
    say("reading the colon")
    mesh = read_one(folder / MESH)
    targets = {ours: _target(folder / f"indices_final_mesh_int_{name}.txt", mesh) for name, ours in TARGETS.items()}
    file, line = _centreline(folder, len(mesh.vertices))
    found = MeshSet(parts=[Part(MESH, Structure("colon_lumen", "colon_wall", "lumen"), mesh)])
    found.digests = {item.name: hashlib.sha256(item.read_bytes()).hexdigest() for item in (folder / MESH, file)}
    turned = _distance(line[-1], targets["rectum"]) < _distance(line[0], targets["rectum"])
    line = line[::-1] if turned else line
    frame = find_frame(found.parts, options, {**targets, "anus": line[0]})
    T = frame.T_ras_file
    mended = mend(apply(T, mesh.vertices), mesh.triangles, MESH)
    dropped = len(mended.bodies) - 1
    points = resampled(apply(T, line), SPACING)
    say("opening the rectum")
    lumen, points, radius, share = _entered(mended.bodies[0], points)
    given = read_landmarks(options.landmarks) if options.landmarks is not None else {}
    stated = {name: apply(T, point[None])[0] for name, point in targets.items()} | given
    landmarks, notes = _landmarks(points, stated)
    _check_order(landmarks, points)
    organ = organ_of(found.parts[0].structure, lumen, found.parts[0], mended, dropped)
    reach = cKDTree(lumen.vertices[:-1]).query(points)[0]  # the last vertex is the middle of the anus, no wall
    if options.licence == MeshOptions().licence:
        options = replace(options, licence=LICENCE)
    patient = patient_of(
        path,
        [organ],
        found,
        frame,
        replace(options, landmarks=None),
        importer="saramis_colon",
        say=say,
        provenance={
            "centreline": {"file": file.name, "turned": turned, "inside_share": round(share, 4)},
            "landmarks_mm": {name: np.round(1e3 * point, 3).tolist() for name, point in stated.items()},
            "saramis": [
                "Texture coordinates and baked maps are not used; in SARAMIS their v runs from the top (v -> 1 - v).",
                "The anus is made up: the rectum is cut where the centreline enters, and an anal canal was added.",
                *notes,
            ],
        },
    )
    return replace(
        patient,
        centrelines=(Centreline("colon", points, np.asarray(reach, np.float64)),),
        landmarks=landmarks,
        orifices=(Orifice("anus", "colon_lumen", points[0], tangents(points)[0], radius),),
    )


def _read_columns(path: Path, columns: int) -> NDArray[np.float64]:
    """Read rows of numbers with commas or spaces between them."""
    data = read_bytes(path).replace(b",", b" ")
    values = numbers(data, "columns", str(path))
    ragged = any(len(line.split()) not in (0, columns) for line in data.splitlines())
    if len(values) == 0 or ragged or not np.isfinite(values).all():
        raise InputError(f"expected rows of {columns} finite numbers, found {len(values)} numbers in {path}")
    return values.reshape(-1, columns)


def _target(path: Path, mesh: RawMesh) -> NDArray[np.float64]:
    """Return the mean of the vertices that a file names [mm], shape (3,): indices from 0, written as floats."""
    values = _read_columns(path, 1)[:, 0]
    if (values != np.floor(values)).any() or values.min() < 0 or values.max() >= len(mesh.vertices):
        raise InputError(
            f"expected whole numbers from 0 to {len(mesh.vertices) - 1} as vertices, found {values.min():g} to "
            f"{values.max():g} in {path}"
        )
    return np.asarray(mesh.vertices[values.astype(np.int64)].mean(axis=0))


def _centreline(folder: Path, vertex_count: int) -> tuple[Path, NDArray[np.float64]]:
    """Read the centreline; a file with as many rows as the mesh has vertices holds those."""
    refused = []
    for name in CENTRELINES:
        path = folder / name
        if not path.is_file():
            refused.append(f"{name} is missing")
            continue
        rows = _read_columns(path, 3)
        if len(rows) == vertex_count:
            refused.append(f"{name} has {len(rows)} rows, as many as the mesh has vertices: it holds those")
        elif len(rows) < 3:
            refused.append(f"{name} has {len(rows)} rows")
        else:
            return path, rows
    raise InputError(f"expected a centreline, found none: {'; '.join(refused)} in {folder}")


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(a - b))


def _entered(lumen: Mesh, points: Float64[np.ndarray, "n 3"]) -> tuple[Mesh, NDArray[np.float64], float, float]:
    """Cut the rectum open where the centreline is well inside, add the anal canal, and lead the centreline through it.

    Returns:
        Lumen, centreline from the anus [m], the orifice's radius [m], and the share of the centreline that was inside.
    """
    inside = _inside(lumen, points)
    share = float(inside.mean())
    first, last = int(inside.argmax()), len(points) - 1 - int(inside[::-1].argmax())
    if share < LEAST_INSIDE or not inside[first : last + 1].all():
        bad = points[first : last + 1][~inside[first : last + 1]]
        raise InputError(
            f"expected the centreline inside of the lumen, found {100 * share:.0f} % of it there"
            + (f", and a way out at {place(bad[0])}" if len(bad) else "")
        )
    points = points[first : last + 1]
    reach = cKDTree(lumen.vertices).query(points)[0]
    clear = np.flatnonzero(reach >= CLEARANCE)
    if not len(clear) or clear[0] > len(points) // 4:
        raise InputError(
            f"expected a lumen wider than {2e3 * CLEARANCE:.0f} mm about the centreline, found it narrower"
        )
    start = int(clear[0])
    end = int(clear[-1])
    ahead = points[min(start + 5, end)] - points[start]
    inward = ahead / np.linalg.norm(ahead)
    opened, centre, radius = with_anal_canal(lumen, points[start], inward)
    problems = check_mesh(opened).problems
    if problems:
        raise InputError(f"{problems[0]} where the anal canal was added at {place(points[start])}")
    canal = np.linspace(0.0, 1.0, max(round(_distance(centre, points[start]) / SPACING), 2), endpoint=False)
    lead = centre + canal[:, None] * (points[start] - centre)
    return opened, resampled(np.concatenate([lead, points[start : end + 1]]), SPACING), radius, share


def _inside(lumen: Mesh, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which points of a curve lie inside: exactly near the wall, and at every fifth of the others."""
    near = cKDTree(lumen.vertices).query(points)[0] < 0.005
    tested = near | (np.arange(len(points)) % 5 == 0)
    inside = np.zeros(len(points), bool)
    inside[tested] = winding_number(lumen, points[tested]) > 0.5
    before = np.maximum.accumulate(np.where(tested, np.arange(len(points)), 0))
    return np.asarray(inside[before])


def _landmarks(
    points: NDArray[np.float64], stated: dict[str, NDArray[np.float64]]
) -> tuple[dict[str, NDArray[np.float64]], list[str]]:
    """Put landmarks upon the centreline, with those between them where the course tells them."""
    tree = cKDTree(points)
    on_line = {name: points[int(tree.query(point)[1])] for name, point in stated.items()} | {"anus": points[0]}
    middle = float(stated["rectum"][0])
    try:
        course = colon_landmarks(points, np.full(len(points), np.inf), middle, iliac_crest=None, given=on_line)
    except InputError as error:
        return on_line, [f"No landmarks besides those of the release: {error}"]
    # Without a calibre the rectosigmoid junction cannot be told from the course.
    extra = {"sigmoid_descending": points[course["sigmoid_descending"]]}
    return extra | on_line, []


def _check_order(landmarks: dict[str, NDArray[np.float64]], points: NDArray[np.float64]) -> None:
    arc = arc_lengths(points)
    order = ("rectum", "splenic_flexure", "hepatic_flexure", "caecum")
    places = [float(arc[int(np.linalg.norm(points - landmarks[name], axis=1).argmin())]) for name in order]
    if sorted(places) != places:
        told = ", ".join(f"{name} at {1e3 * at:.0f} mm" for name, at in zip(order, places, strict=True))
        raise InputError(
            f"expected rectum, splenic flexure, hepatic flexure and caecum along the centreline, found {told}"
        )
