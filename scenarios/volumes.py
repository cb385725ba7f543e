"""`trocar volume`: make up label volumes with CT-like images of them, for networks that meet no real scan."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from jaxtyping import Float32, UInt8

from assets.errors import InputError
from assets.shapes.appearance import appearances
from assets.shapes.labels import check_size, random_label_volume
from scenarios.pictures import film_strip, id_colours, image_bytes
from scenarios.progress import progress
from sim.atomic import atomic_file

FILES = ("labels.nii.gz", "image_a.nii.gz", "image_b.nii.gz", "overview.png")
_LEAST_SPACING = 0.1  # mm
_MOST_SPACING = 10.0  # mm


@dataclass(frozen=True)
class SynthOptions:
    """Make up a label volume of random solids and two images of it; the same seed gives the same bytes."""

    out: Path
    """Folder for labels.nii.gz, image_a.nii.gz (with contrast medium), image_b.nii.gz (without) and overview.png."""
    seed: int = 0
    """Decides the volume."""
    size: int = 128
    """Voxels along each edge."""
    spacing_mm: float = 1.5
    """Edge of a voxel."""

    def __post_init__(self) -> None:
        check_size(self.size)
        if self.seed < 0:
            raise InputError(f"volume synth: expected a seed of at least 0, found {self.seed}")
        if not _LEAST_SPACING <= self.spacing_mm <= _MOST_SPACING:
            raise InputError(
                f"volume synth: expected a spacing from {_LEAST_SPACING} to {_MOST_SPACING} mm, found {self.spacing_mm}"
            )


def synth(options: SynthOptions) -> None:
    """Write a label volume, both images, and a picture of their middle slices.

    Raises:
        InputError: The folder holds something else.
        OSError: The folder cannot be written.
    """
    if options.out.exists() and (
        not options.out.is_dir() or any(entry.name not in FILES for entry in options.out.iterdir())
    ):
        raise InputError(f"{options.out}: expected a new folder or one with a volume, found something else")
    rng = np.random.default_rng(options.seed)
    with progress(f"making volume {options.seed}", 2) as advance:
        labels = random_label_volume(rng, options.size)
        advance(note="labels")
        images = appearances(labels, rng)
        advance(note="images")
    options.out.mkdir(parents=True, exist_ok=True)
    for name, volume in zip(FILES, (labels, *images), strict=False):
        with atomic_file(options.out / name) as stream:
            stream.write(nifti_bytes(volume, options.spacing_mm))
    with atomic_file(options.out / "overview.png") as stream:
        stream.write(overview(labels, images))
    print(f"{int(labels.max())} labels and two images of {options.size}^3 voxels are in {options.out}")


def nifti_bytes(volume: UInt8[np.ndarray, "i j k"] | Float32[np.ndarray, "i j k"], spacing_mm: float) -> bytes:
    """Encode a volume as NIfTI-1 with its middle at the origin of RAS, compressed, without a time stamp."""
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = -spacing_mm * (np.array(volume.shape) - 1) / 2
    image = nibabel.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), compresslevel=4, mtime=0)


def overview(
    labels: UInt8[np.ndarray, "i j k"], images: tuple[Float32[np.ndarray, "i j k"], Float32[np.ndarray, "i j k"]]
) -> bytes:
    """Draw the middle slices across the three axes, a row each: labels, with and without contrast medium; PNG."""
    pictures = []
    for axis in range(3):
        middle = labels.shape[axis] // 2
        pictures.append(id_colours(labels.take(middle, axis).astype(np.int64)))
        for image in images:
            grey = (255 * image.take(middle, axis)).astype(np.uint8)
            pictures.append(np.repeat(grey[..., None], 3, axis=-1))
    return image_bytes(film_strip(pictures, columns=3))
