"""Real frames with masks of one class: folders `images` and `masks` with files of the same names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from assets.errors import InputError

KINDS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
MOST_BYTES = 64 << 20
"""Of a file; a larger one is taken for a mistake."""
MOST_PIXELS = 50_000_000
MASK_LEVEL = 127
"""A mask's pixel is set where it is brighter: masks are often stored as JPEG, with soft edges."""


@dataclass(frozen=True)
class RealFrame:
    """A frame and what is marked in it."""

    name: str
    """Of the file."""
    rgb: UInt8[np.ndarray, "h w 3"]
    mask: Bool[np.ndarray, "h w"]


def real_frame_paths(folder: Path) -> list[tuple[Path, Path]]:
    """Pair the images of a folder with their masks, by name.

    Raises:
        InputError: A folder is missing or empty, or an image has no mask.
    """
    for part in ("images", "masks"):
        if not (folder / part).is_dir():
            raise InputError(f"{folder}: expected the folders images and masks, found no {part}")
    images = sorted(path for path in (folder / "images").iterdir() if path.suffix.lower() in KINDS)
    masks = {path.stem: path for path in sorted((folder / "masks").iterdir()) if path.suffix.lower() in KINDS}
    if not images:
        raise InputError(f"{folder / 'images'}: expected images ({', '.join(KINDS)}), found none")
    for image in images:
        if image.stem not in masks:
            raise InputError(f"{folder / 'masks'}: expected a mask named {image.stem}, found none")
    return [(image, masks[image.stem]) for image in images]


def read_real_frame(image: Path, mask: Path) -> RealFrame:
    """Read a frame and its mask.

    Raises:
        InputError: A file is damaged or huge, or both differ in size.
    """
    rgb, grey = _read(image, cv2.IMREAD_COLOR_RGB), _read(mask, cv2.IMREAD_GRAYSCALE)
    if rgb.shape[:2] != grey.shape:
        raise InputError(
            f"{mask}: expected a mask of {rgb.shape[1]} x {rgb.shape[0]} px as its image, "
            f"found {grey.shape[1]} x {grey.shape[0]}"
        )
    return RealFrame(image.name, rgb, grey > MASK_LEVEL)


def mean_mask(frames: Sequence[RealFrame], shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Return where at least half as many frames as anywhere have the mask, all scaled to one shape (h, w)."""
    scaled = [cv2.resize(frame.mask.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA) for frame in frames]
    mean = np.mean(scaled, axis=0)
    return np.asarray(mean >= 0.5 * mean.max())


def centred_disc(shape: tuple[int, int], share: float) -> Bool[np.ndarray, "h w"]:
    """Return an ellipse in the middle that covers a share of a picture of a shape (h, w), as wide as the picture is."""
    height, width = shape
    v, u = np.mgrid[0:height, 0:width]
    x, y = (u - (width - 1) / 2) / width, (v - (height - 1) / 2) / height
    return np.asarray(np.hypot(x, y) <= np.sqrt(share / np.pi))


def _read(path: Path, kind: int) -> UInt8[np.ndarray, "..."]:
    if path.stat().st_size > MOST_BYTES:
        raise InputError(
            f"{path}: expected a picture of up to {MOST_BYTES >> 20} MiB, found {path.stat().st_size} bytes"
        )
    data = np.frombuffer(path.read_bytes(), np.uint8)
    try:
        picture = cv2.imdecode(data, kind) if len(data) else None
    except cv2.error as error:
        raise InputError(f"{path}: expected a picture, found {str(error).splitlines()[0]}") from None
    if picture is None or picture.dtype != np.uint8:
        raise InputError(f"{path}: expected a picture of 8 bits a channel, found something else")
    if picture.shape[0] * picture.shape[1] > MOST_PIXELS:
        raise InputError(
            f"{path}: expected at most {MOST_PIXELS} pixels, found {picture.shape[1]} x {picture.shape[0]}"
        )
    return picture
