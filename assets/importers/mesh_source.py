"""Tell a source of meshes from others, and import it: SARAMIS folders, mesh files, and folders of them."""

from collections.abc import Callable
from pathlib import Path

from assets.errors import InputError
from assets.importers.mesh_set import MeshOptions, import_mesh_set
from assets.importers.saramis_case import case_folder, import_saramis_case
from assets.importers.saramis_colon import colon_folder, import_saramis_colon
from assets.mesh_files.read import ENDINGS
from assets.patient import Patient

_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm")
"""A folder with files of these is one of volumes, unless it is a SARAMIS case."""


def is_mesh_source(path: Path) -> bool:
    """Tell whether `import_mesh_source` takes a path: by names alone, nothing is read."""
    try:
        if path.is_file():
            return path.suffix.lower() in ENDINGS
        if not path.is_dir():
            return False
        if case_folder(path) is not None or colon_folder(path) is not None:
            return True
        names = [item.name.lower() for item in path.iterdir() if item.is_file()]
    except (OSError, ValueError):
        return False
    return any(name.endswith(ENDINGS) for name in names) and not any(name.endswith(_VOLUMES) for name in names)


def import_mesh_source(
    path: Path, options: MeshOptions | None = None, *, report: Callable[[str], None] | None = None
) -> Patient:
    """Import whatever meshes a path holds.

    Args:
        path: A SARAMIS case, a colon of its navigation release, a mesh file, or a folder of mesh files.
        options: How to take it.
        report: Called with what is being done.

    Raises:
        InputError: Nothing there can be used.
    """
    if not is_mesh_source(path):
        raise InputError(f"expected a SARAMIS folder, or files of {', '.join(ENDINGS)}, found none at {path}")
    if path.is_dir() and case_folder(path) is not None:
        return import_saramis_case(path, options, report=report)
    if path.is_dir() and colon_folder(path) is not None:
        return import_saramis_colon(path, options, report=report)
    return import_mesh_set(path, options, report=report)
