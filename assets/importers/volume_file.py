"""Read a volume of any format; a new format is one new file, and one row here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from assets.errors import InputError
from assets.importers.dicom_files import is_dicom, read_dicom
from assets.importers.metaimage import is_metaimage, read_metaimage
from assets.importers.nifti import is_nifti, read_nifti
from assets.importers.nrrd import is_nrrd, read_nrrd
from assets.importers.raw_bytes import read_head
from assets.importers.volume import Volume

HEAD = 512
"""Bytes by which a format is recognised."""


@dataclass(frozen=True)
class VolumeFormat:
    """How to recognise and read one format."""

    name: str
    """With its usual extensions."""
    matches: Callable[[Path, bytes], bool]
    """Takes the path, and the first bytes of a file (none of a folder)."""
    read: Callable[[Path], Volume]


FORMATS = (
    VolumeFormat("NRRD (.nrrd, .nhdr, .seg.nrrd)", is_nrrd, read_nrrd),
    VolumeFormat("DICOM (a file, or a folder with one series)", is_dicom, read_dicom),
    VolumeFormat("NIfTI (.nii, .nii.gz, a folder of CLASS.nii.gz)", is_nifti, read_nifti),
    VolumeFormat("MetaImage (.mha, .mhd)", is_metaimage, read_metaimage),
)


def volume_format(path: Path) -> VolumeFormat | None:
    """Return the format of a file or folder, None where it is no volume.

    Raises:
        InputError: There is nothing, or it cannot be read.
    """
    if not path.exists():
        raise InputError(f"expected a file or folder to import, found nothing at {path}")
    head = b"" if path.is_dir() else read_head(path, HEAD)
    return next((one for one in FORMATS if one.matches(path, head)), None)


def read_volume(path: Path) -> Volume:
    """Read a volume in the order of its file.

    Raises:
        InputError: It is of no known format, damaged, or too large.
    """
    known = volume_format(path)
    if known is None:
        raise InputError(f"expected {'; '.join(one.name for one in FORMATS)}, found something else at {path}")
    return known.read(path)
