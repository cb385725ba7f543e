"""Read a mesh file of any format that is known, by its ending."""

from pathlib import Path

from assets.errors import InputError
from assets.mesh_files.gltf import parse_gltf
from assets.mesh_files.gmsh import parse_msh
from assets.mesh_files.obj import parse_obj
from assets.mesh_files.ply import parse_ply
from assets.mesh_files.raw import MAX_ITEMS, RawMesh, read_bytes
from assets.mesh_files.stl import parse_stl
from assets.mesh_files.vtk_legacy import parse_vtk
from assets.mesh_files.vtk_xml import parse_vtk_xml

ENDINGS = (".stl", ".ply", ".obj", ".glb", ".gltf", ".vtk", ".vtp", ".vtu", ".msh")


def read_mesh_file(path: Path) -> tuple[RawMesh, ...]:
    """Read the objects of a mesh file: at least one, each with triangles or tetrahedra.

    Raises:
        InputError: The file is missing, damaged, too large, of another format, or holds no triangle.
    """
    ending, where = path.suffix.lower(), str(path)
    if ending not in ENDINGS:
        raise InputError(f"expected a mesh file of {', '.join(ENDINGS)}, found {path.name[:80]!r} at {path}")
    data = read_bytes(path)
    match ending:
        case ".stl":
            found = parse_stl(data, where)
        case ".ply":
            found = parse_ply(data, where)
        case ".obj":
            found = parse_obj(data, where)
        case ".glb" | ".gltf":
            found = parse_gltf(data, where, path.parent)
        case ".vtk":
            found = parse_vtk(data, where)
        case ".vtp" | ".vtu":
            found = parse_vtk_xml(data, where)
        case _:
            found = parse_msh(data, where)
    found = tuple(mesh for mesh in found if len(mesh.triangles) or len(mesh.tetrahedra))
    if not found:
        raise InputError(f"expected triangles or tetrahedra, found none in {path}")
    most = max(len(mesh.triangles) + len(mesh.tetrahedra) for mesh in found)
    if most > MAX_ITEMS:
        raise InputError(f"expected at most {MAX_ITEMS} cells, found {most} in {path}")
    return found
