"""Fill a closed surface with tetrahedra, on demand, and keep what was made by its content."""

import hashlib
import os
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from assets.errors import InputError
from assets.mesh import Mesh
from assets.mesh_check import check_mesh
from assets.mesh_io import ply_bytes
from assets.tetrahedra import Tetrahedra, check_tetrahedra, volumes
from assets.tetrahedra_io import parse_vtu, vtu_bytes

MAX_TETRAHEDRA = 5_000_000
"""Most that are asked for; a soft body of a hundred thousand is large."""

ATTEMPTS = 3
"""How often fTetWild may try: it shuffles, so that a run in many misses a bound that the next one meets."""

TIME_LIMIT = 3600
"""How long fTetWild may take [s]; a liver of 30,000 triangles takes about 30 s of one core."""

_PROGRAM = """
import sys
import numpy as np
from pytetwild import tetrahedralize

points, cells = tetrahedralize(
    np.load("vertices.npy"),
    np.load("triangles.npy"),
    edge_length_abs=float(sys.argv[1]),
    num_threads=1,
    vtk_ordering=True,
    quiet=True,
)
np.save("points.npy", points)
np.save("cells.npy", cells)
"""


def tetrahedralise(surface: Mesh, *, edge: float | None = None, cache: Path | None = None) -> Tetrahedra:
    """Fill a surface with tetrahedra of good shape by fTetWild.

    Hu, Schneider, Wang, Zorin, Panozzo, Fast Tetrahedral Meshing in the Wild, ACM Trans. Graph. 39(4), 2020,
    doi:10.1145/3386569.3392385. It shuffles by `std::random_device`, so that two runs differ in their bytes, though not
    in the bounds that they meet: where the same bytes are wanted, keep them in the cache.

    Args:
        surface: Closed, normals outwards.
        edge: Wanted length of edges [m]; None for a twelfth of the bounding box's diagonal.
        cache: Folder in which tetrahedra are kept by the content of surface and options; None keeps none.

    Returns:
        Tetrahedra of positive volume and a radius ratio of at least `LEAST_QUALITY`, whose boundary keeps to the
        surface within the tolerance of `check_tetrahedra`.

    Raises:
        InputError: The surface is not closed, the edge is out of range, the extra `tet` is not installed, or the
            tetrahedra do not meet the bounds.
    """
    problems = check_mesh(surface).problems
    if problems:
        raise InputError(f"{problems[0]} in the surface to be filled with tetrahedra")
    diagonal = float(np.linalg.norm(np.ptp(surface.vertices.astype(np.float64), axis=0)))
    edge = diagonal / 12 if edge is None else float(edge)
    expected = check_mesh(surface).volume / (edge**3 / (6 * np.sqrt(2))) if edge > 0 else np.inf
    if not (edge <= diagonal and expected <= MAX_TETRAHEDRA):
        raise InputError(
            f"expected an edge of up to {1e3 * diagonal:.1f} mm that gives at most {MAX_TETRAHEDRA} tetrahedra, "
            f"found {1e3 * edge:.3g} mm"
        )
    key = hashlib.sha256(ply_bytes(surface) + f"{edge!r} {_version()}".encode()).hexdigest()
    path = cache / f"{key}.vtu" if cache is not None else None
    if path is not None and path.is_file():
        return _checked(parse_vtu(path.read_bytes(), str(path)), surface, str(path))
    found = _met(surface, edge)
    if path is not None:
        _keep(found, path)
    return found


def _version() -> str:
    try:
        return version("pytetwild")
    except PackageNotFoundError:
        raise InputError(
            "expected the package pytetwild for tetrahedra, found none: pip install 'trocar[tet]'"
        ) from None


def _filled(surface: Mesh, edge: float) -> Tetrahedra:
    """Call fTetWild in a process and a folder of its own: it writes a by-product where it runs, and may not end."""
    with tempfile.TemporaryDirectory(prefix="trocar-") as folder:
        np.save(Path(folder, "vertices.npy"), surface.vertices.astype(np.float64))
        np.save(Path(folder, "triangles.npy"), surface.triangles.astype(np.int32))
        command = [sys.executable, "-c", _PROGRAM, repr(edge)]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, timeout=TIME_LIMIT, check=False)
        except subprocess.TimeoutExpired:
            raise InputError(f"expected tetrahedra within {TIME_LIMIT} s, found fTetWild still at work") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
            raise InputError(f"expected tetrahedra of fTetWild, found {said[-1][:200]!r}")
        points, cells = (np.load(Path(folder, name), allow_pickle=False) for name in ("points.npy", "cells.npy"))
    found = Tetrahedra(points.astype(np.float32), cells.astype(np.int32))
    turned = volumes(found) < 0
    found.tetrahedra[turned] = found.tetrahedra[turned][:, [0, 1, 3, 2]]
    return found


def _met(surface: Mesh, edge: float) -> Tetrahedra:
    """Let fTetWild try until its tetrahedra meet the bounds."""
    for _ in range(ATTEMPTS - 1):
        found = _filled(surface, edge)
        if not check_tetrahedra(found, surface).problems:
            return found
    return _checked(_filled(surface, edge), surface, f"what fTetWild made, the last of {ATTEMPTS} times")


def _checked(mesh: Tetrahedra, surface: Mesh, where: str) -> Tetrahedra:
    problems = check_tetrahedra(mesh, surface).problems
    if problems:
        raise InputError(f"{problems[0]} in {where}; a finer or coarser edge may help")
    return mesh


def _keep(mesh: Tetrahedra, path: Path) -> None:
    """Write a file of the cache under a temporary name, then rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(vtu_bytes(mesh))
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"expected to keep tetrahedra, found {error.strerror} at {path}") from None
    finally:
        temporary.unlink(missing_ok=True)
