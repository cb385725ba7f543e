"""The body's surface, and the bones."""

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from scipy import ndimage

from assets.ct.found import Confidence, Found
from assets.ct.hounsfield import Scan
from assets.errors import InputError

SKIN = -300.0
"""Between air (-1000) and fat (-100) [HU]."""

BONE = 200.0
"""Global threshold for bone [HU], such as starts the segmentation of Kang et al., A new accurate and precise 3-D
segmentation method for skeletal structures in volumetric CT data, IEEE Trans. Med. Imaging 22(5), 2003,
doi:10.1109/TMI.2003.812265."""

METAL = 2000.0
"""Denser than cortical bone [HU]."""

SMALLEST_BONE = 1e-6
"""Bones, and pieces of calcium or contrast agent, below this are left out [m^3]."""

GAP = 9e-3
"""Of the shell of cortical bone: narrower ones are bridged before marrow is filled in [m]."""

MARROW = -100.0
"""Fat of the marrow [HU]."""

OPENING = 6e-3
"""What is thinner than this does not connect: the table's cloth to the back [m]."""

FACES = ndimage.generate_binary_structure(3, 1)


def body(scan: Scan) -> Found:
    """Return everything within the skin, air inside included.

    Raises:
        ValueError: There is none.
    """
    tissue = scan.hounsfield > SKIN
    steps = max(1, round(OPENING / 2 / float(np.median(scan.spacing))))
    core = largest(ndimage.binary_erosion(tissue, FACES, steps, border_value=1))
    if not core.any():
        raise InputError("expected a body, found nothing denser than air in the scan")
    solid = ndimage.binary_dilation(core, FACES, steps + 1) & tissue
    inside = np.empty_like(solid)
    for index in range(solid.shape[2]):  # lungs open to the scan's end, and are closed in each slice
        inside[:, :, index] = ndimage.binary_fill_holes(solid[:, :, index])
    inside = largest(inside)
    rim = np.concatenate([inside[[0, -1]].ravel(), inside[:, [0, -1]].ravel()]).mean()
    cut = rim > 0.02
    return Found(
        "body",
        inside,
        "medium" if cut else "high",
        "the field of view cuts the body's sides off" if cut else "skin against air; the scan's ends are flat",
        f"largest connected region above {SKIN:g} HU after an opening, filled slice by slice (Hu et al., IEEE Trans. "
        "Med. Imaging 20, 2001, doi:10.1109/42.929615)",
    )


def bones(scan: Scan, inside: Bool[np.ndarray, "i j k"]) -> Found | None:
    """Return the bones, None where there are none."""
    dense = (scan.hounsfield > BONE) & inside
    pieces, count = ndimage.label(dense, np.ones((3, 3, 3)))
    size = np.bincount(pieces.ravel(), minlength=count + 1)
    keep = size * scan.voxel >= SMALLEST_BONE
    keep[0] = False
    dense = keep[pieces]
    if not dense.any():
        return None
    steps = max(1, round(GAP / 2 / float(np.median(scan.spacing))))
    closed = ndimage.binary_closing(np.pad(dense, steps), FACES, steps)[(slice(steps, -steps),) * 3]
    for index in range(dense.shape[2]):
        closed[:, :, index] = ndimage.binary_fill_holes(closed[:, :, index])
    mask = np.asarray(dense | (closed & (scan.hounsfield > MARROW) & inside))
    metal = float((scan.hounsfield[mask] > METAL).mean())
    confidence: Confidence = "low" if metal > 0.02 else "medium"
    return Found(
        "bone",
        mask,
        confidence,
        "metal is taken for bone"
        if metal > 0.02
        else "vessels, kidneys or bowel filled with contrast agent would be too",
        f"connected regions above {BONE:g} HU within the body, of at least 1 ml (threshold as in Kang et al., IEEE "
        "Trans. Med. Imaging 22, 2003, doi:10.1109/TMI.2003.812265), closed by 9 mm, with the marrow that they "
        "enclose",
    )


def largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest region that is connected through faces; empty where the mask is."""
    pieces, count = ndimage.label(mask, FACES)
    if count == 0:
        return mask
    size = np.bincount(pieces.ravel())
    size[0] = 0
    return np.asarray(pieces == int(np.argmax(size)))
