"""Patient folders: `patient.json`, `meshes/<name>.ply`, `tets/<name>.vtu` and `centrelines/<name>.csv`."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from assets.errors import InputError
from assets.mesh import Mesh
from assets.mesh_check import check_mesh
from assets.mesh_io import parse_ply, ply_bytes
from assets.patient import Centreline, Organ, Patient
from assets.patient_json import (
    SCHEMA,
    FileEntry,
    check_name,
    check_organ,
    member,
    read_files,
    read_landmarks,
    read_orifices,
    read_tetrahedra,
)
from assets.tetrahedra import Tetrahedra, check_tetrahedra
from assets.tetrahedra_io import parse_vtu, vtu_bytes

HEADER = "x_m,y_m,z_m,radius_m"
LIMITS = {".json": 1 << 26, ".ply": 1 << 31, ".csv": 1 << 28, ".vtu": 1 << 29}
"""Most bytes of a file that is read."""


def save_patient(patient: Patient, folder: Path) -> None:
    """Write a patient folder: first under a temporary name, then renamed; the same patient gives the same bytes.

    Args:
        patient: What to write.
        folder: A new folder, or one that holds a patient already, which is replaced.

    Raises:
        InputError: The folder holds something else, a name is not fit for a file, or writing fails.
    """
    if folder.exists() and not (folder / "patient.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"expected a new folder or one with a patient, found something else at {folder}")
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        fresh.mkdir(parents=True)
        _write(patient, fresh)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    except OSError as error:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise InputError(f"expected to write a patient, found {error.strerror} at {folder}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _write(patient: Patient, folder: Path) -> None:
    (folder / "meshes").mkdir()
    (folder / "centrelines").mkdir()
    organs, centrelines = [], []
    for organ in patient.organs:
        data = ply_bytes(organ.surface)
        (folder / "meshes" / f"{check_name(organ.name, 'the organs')}.ply").write_bytes(data)
        row: dict[str, Any] = {
            "name": organ.name,
            "label": organ.label,
            "kind": organ.kind,
            "material": organ.material,
            "triangles": len(organ.surface.triangles),
            "sha256": hashlib.sha256(data).hexdigest(),
            "attributes": organ.attributes,
        }
        if organ.tetrahedra is not None:
            (folder / "tets").mkdir(exist_ok=True)
            data = vtu_bytes(organ.tetrahedra)
            (folder / "tets" / f"{organ.name}.vtu").write_bytes(data)
            count = len(organ.tetrahedra.tetrahedra)
            row["tetrahedra"] = {"count": count, "sha256": hashlib.sha256(data).hexdigest()}
        organs.append(row)
    for line in patient.centrelines:
        rows = np.column_stack([line.points, line.radius]).tolist()
        text = "\n".join([HEADER, *(",".join(map(repr, row)) for row in rows)]) + "\n"
        (folder / "centrelines" / f"{check_name(line.name, 'the centrelines')}.csv").write_bytes(text.encode())
        digest = hashlib.sha256(text.encode()).hexdigest()
        centrelines.append({"name": line.name, "points": len(rows), "sha256": digest})
    table = {
        "schema": SCHEMA,
        "name": patient.name,
        "source": patient.source,
        "licence": patient.licence,
        "units": "m",
        "frame": "RAS",
        "organs": organs,
        "centrelines": centrelines,
        "landmarks": {name: point.tolist() for name, point in patient.landmarks.items()},
        "orifices": [
            {
                "name": orifice.name,
                "organ": orifice.organ,
                "centre": orifice.centre.tolist(),
                "normal": orifice.normal.tolist(),
                "radius": orifice.radius,
            }
            for orifice in patient.orifices
        ],
        "provenance": patient.provenance,
    }
    try:
        text = json.dumps(table, indent=1, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(f"expected attributes and provenance of finite JSON values, found {error}") from error
    (folder / "patient.json").write_bytes(text.encode())


def load_patient(folder: Path, *, surfaces: bool = True) -> Patient:
    """Read a patient folder and check all of it.

    Args:
        folder: What `save_patient` has written.
        surfaces: Also demand closed surfaces with their normals outwards, as all who use them take for granted.

    Raises:
        InputError: Something is missing, damaged, or not as the files say.
    """
    file = folder / "patient.json"
    where = str(file)
    try:
        table = json.loads(_read(file, folder))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(f"expected JSON, found {error} in {where}") from error
    schema = member(table, "schema", int, where)
    if schema != SCHEMA:
        raise InputError(f"expected schema {SCHEMA}, found {schema} in {where}")
    for key, value in (("units", "m"), ("frame", "RAS")):
        if member(table, key, str, where) != value:
            raise InputError(f"expected {key} {value!r}, found {table[key]!r} in {where}")
    organs = []
    for entry in read_files(table, "organs", "triangles", where):
        check_organ(entry, where)
        path = folder / "meshes" / f"{entry.name}.ply"
        mesh = parse_ply(_read(path, folder, entry.sha256), str(path))
        if len(mesh.triangles) != entry.count:
            raise InputError(f"expected {entry.count} triangles, found {len(mesh.triangles)} in {path}")
        problems = check_mesh(mesh).problems if surfaces else ()
        if problems:
            raise InputError(f"{problems[0]} in {path}")
        row = entry.fields
        tetrahedra = _tetrahedra(folder, entry, mesh, surfaces, where)
        organs.append(
            Organ(entry.name, row["label"], row["kind"], row["material"], mesh, row["attributes"], tetrahedra)
        )
    lines = []
    for entry in read_files(table, "centrelines", "points", where):
        path = folder / "centrelines" / f"{entry.name}.csv"
        lines.append(_centreline(entry.name, _read(path, folder, entry.sha256), entry.count, path))
    return Patient(
        name=check_name(member(table, "name", str, where), where),
        source=member(table, "source", str, where),
        licence=member(table, "licence", str, where),
        organs=tuple(organs),
        centrelines=tuple(lines),
        landmarks=read_landmarks(table, where),
        orifices=read_orifices(table, [organ.name for organ in organs], where),
        provenance=member(table, "provenance", dict, where),
    )


def _tetrahedra(folder: Path, entry: FileEntry, surface: Mesh, checked: bool, where: str) -> Tetrahedra | None:
    """Read the tetrahedra of an organ that has any; demand that they fit the surface if `checked`."""
    declared = read_tetrahedra(entry, where)
    if declared is None:
        return None
    path = folder / "tets" / f"{entry.name}.vtu"
    mesh = parse_vtu(_read(path, folder, declared.sha256), str(path))
    if len(mesh.tetrahedra) != declared.count:
        raise InputError(f"expected {declared.count} tetrahedra, found {len(mesh.tetrahedra)} in {path}")
    problems = check_tetrahedra(mesh, surface).problems if checked else ()
    if problems:
        raise InputError(f"{problems[0]} in {path}")
    return mesh


def _read(path: Path, folder: Path, sha256: str | None = None) -> bytes:
    """Read a file of a patient folder that lies in it, is not too large, and is the one that was written."""
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"expected a file within the patient's folder, found a link out of it at {path}")
        size = path.stat().st_size
        if size > LIMITS[path.suffix]:
            raise InputError(f"expected at most {LIMITS[path.suffix]} bytes, found {size} in {path}")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"expected a file of a patient, found {error.strerror} at {path}") from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise InputError(f"expected SHA-256 {sha256}, found {found}: changed or damaged: {path}")
    return data


def _centreline(name: str, data: bytes, count: int, path: Path) -> Centreline:
    lines = data.decode("ascii", errors="replace").splitlines()
    if not lines or lines[0] != HEADER:
        raise InputError(f"expected the header {HEADER}, found {lines[0][:60] if lines else 'nothing'!r} in {path}")
    rows: list[Any] = [line.split(",") for line in lines[1:]]
    bad = next((index for index, row in enumerate(rows) if len(row) != 4), None)
    if bad is not None:
        raise InputError(f"expected four numbers, found {lines[bad + 1][:60]!r} in {path}, line {bad + 2}")
    try:
        numbers = np.array(rows, dtype=np.float64).reshape(-1, 4)
    except ValueError as error:
        raise InputError(f"expected numbers, found {error} in {path}") from error
    if len(numbers) != count or count < 2:
        raise InputError(f"expected {max(count, 2)} points, found {len(numbers)} in {path}")
    if not np.isfinite(numbers).all() or (numbers[:, 3] < 0).any():
        raise InputError(f"expected finite positions and radii of at least 0, found others in {path}")
    return Centreline(name, numbers[:, :3].copy(), numbers[:, 3].copy())
