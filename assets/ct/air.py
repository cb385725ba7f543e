"""Air within the body: airways, lungs and gas in the bowel, by intensity and connectivity."""

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from scipy import ndimage

from assets.ct.body import FACES, largest
from assets.ct.found import Found
from assets.ct.hounsfield import Scan

LUNG_SHARE = 40e-6
"""Least volume of a piece of lung [m^3]."""

LUNG_MEAN = (-950.0, -500.0)
"""Mean of a lung [HU]: parenchyma lies between air and tissue, gas in the bowel near -1000."""

LUNG_SPREAD = 0.4
"""Least share of a lung's voxels above -920 HU; gas has next to none beyond its rim."""

TRACHEA_AREA = (60e-6, 800e-6)
"""Cross-section of the trachea [m^2]: 10 to 27 mm across (Breatnach et al., AJR 142, 1984, doi:10.2214/ajr.142.5.903),
with room."""

TRACHEA_RUN = 20e-3
"""The round hole must go on for so long, downwards [m]."""

LEAK = 2.0
"""Growth of the airways' volume from one threshold to the next that is taken for a leak into the lung."""

MOST_AIRWAY = 200e-6
"""Airways of a CT hold less [m^3]."""

GAS = -700.0
"""Gas against the wall of the bowel [HU]; half-way between gas and tissue is -500, and noise wants room."""

LEAST_GAS = 1e-6
"""Bubbles below this are left out [m^3]."""

COLON = (300e-6, 0.15)
"""A connected gas of more than this volume [m^3] and height [m] is a colon filled on purpose; no stomach is so tall."""

HU = "Hu et al., IEEE Trans. Med. Imaging 20, 2001, doi:10.1109/42.929615"
AYKAC = "Aykac et al., IEEE Trans. Med. Imaging 22, 2003, doi:10.1109/TMI.2003.815905"
MORI = "Mori et al., Proc. ICPR, 1996, doi:10.1109/ICPR.1996.547626"


def optimal_threshold(scan: Scan, inside: Bool[np.ndarray, "i j k"]) -> float:
    """Return the threshold half-way between the means of what is below and above it [HU] (Hu et al., 2001)."""
    values = scan.hounsfield[inside]
    threshold = -500.0
    for _ in range(50):
        below, above = values[values < threshold], values[values >= threshold]
        if not len(below) or not len(above):
            break
        following = (float(below.mean()) + float(above.mean())) / 2
        if abs(following - threshold) < 0.5:
            break
        threshold = following
    return float(np.clip(threshold, -700.0, -350.0))


def air_structures(scan: Scan, inside: Bool[np.ndarray, "i j k"]) -> tuple[list[Found], list[str]]:
    """Return what was found, and what could not be told, in words."""
    threshold = optimal_threshold(scan, inside)
    dark = (scan.hounsfield < threshold) & inside
    refused: list[str] = []
    found: list[Found] = []
    airways = _airways(scan, dark)
    if airways is None:
        refused.append("airways: no trachea (a round, dark tube near the midline that ends in the lungs) in the scan")
    else:
        found.append(
            Found(
                "airways",
                airways,
                "medium",
                "trachea and large bronchi; branches thinner than some two voxels are missing",
                f"region growing from the trachea, with the highest threshold that does not leak ({AYKAC}; {MORI})",
            )
        )
    rest = dark if airways is None else dark & ~ndimage.binary_dilation(airways, FACES, 1)
    lungs, other = _lungs(scan, rest)
    if not lungs.any():
        refused.append("lungs: no large region between air and tissue in the scan")
    else:
        found += _sides(scan, lungs, inside, threshold)
    found += _gas(scan, other & ~(airways if airways is not None else np.zeros_like(other)))
    return found, refused


def _airways(scan: Scan, dark: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Return trachea and bronchi, None where there is no trachea."""
    seed = _trachea(scan, dark)
    if seed is None:
        return None
    grown, before = None, 0.0
    for threshold in np.arange(-975.0, -795.0, 15.0):
        pieces, _ = ndimage.label((scan.hounsfield < threshold) & dark, FACES)
        piece = int(pieces[seed])
        if piece == 0:
            continue
        region = pieces == piece
        volume = float(region.sum()) * scan.voxel
        if volume > MOST_AIRWAY or (grown is not None and before > 5e-6 and volume > LEAK * before):
            break
        grown, before = region, volume
    if grown is None or before < 5e-6:
        return None
    # The wall's partial volume belongs to the tube: one voxel more, where it is dark.
    return np.asarray(ndimage.binary_dilation(grown, FACES, 1) & (scan.hounsfield < -500) & dark)


def _trachea(scan: Scan, dark: NDArray[np.bool_]) -> tuple[int, int, int] | None:
    """Return a voxel inside the trachea: the first round hole, from the top, that goes on downwards."""
    across = float(scan.spacing[0] * scan.spacing[1])
    needed = max(2, int(np.ceil(TRACHEA_RUN / scan.spacing[2])))
    middle = scan.hounsfield.shape[0] / 2
    depth = scan.hounsfield.shape[2]
    for top in range(depth - 1, needed - 2, -1):
        pieces, count = ndimage.label(dark[:, :, top] & (scan.hounsfield[:, :, top] < -800))
        for piece in range(1, count + 1):
            hole = pieces == piece
            centre = _round(hole, across, middle, scan)
            if centre is None:
                continue
            place = centre
            for below in range(top - 1, top - needed, -1):
                lower, _ = ndimage.label(dark[:, :, below] & (scan.hounsfield[:, :, below] < -800))
                if lower[place] == 0:
                    break
                after = _round(lower == lower[place], across, middle, scan)
                if after is None:
                    break
                place = after
            else:
                return place[0], place[1], top - needed + 1
    return None


def _round(hole: NDArray[np.bool_], across: float, middle: float, scan: Scan) -> tuple[int, int] | None:
    """Return the centre of a hole that may be the trachea's cross-section."""
    area = float(hole.sum()) * across
    if not TRACHEA_AREA[0] <= area <= TRACHEA_AREA[1]:
        return None
    i, j = np.nonzero(hole)
    extent = np.array([np.ptp(i) + 1, np.ptp(j) + 1]) * scan.spacing[:2]
    if extent.max() > 3 * extent.min() or area < 0.45 * float(np.prod(extent)):
        return None
    if abs(float(i.mean()) - middle) * scan.spacing[0] > 0.06:
        return None
    centre = round(float(i.mean())), round(float(j.mean()))
    return centre if hole[centre] else None


def _lungs(scan: Scan, dark: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Part air into lungs and the rest."""
    pieces, count = ndimage.label(dark, FACES)
    index = np.arange(count + 1)
    size = np.bincount(pieces.ravel(), minlength=count + 1) * scan.voxel
    mean = np.asarray(ndimage.mean(scan.hounsfield, pieces, index)) if count else np.zeros(1)
    lighter = np.asarray(ndimage.mean(scan.hounsfield > -920, pieces, index)) if count else np.zeros(1)
    lung = (size > LUNG_SHARE) & (mean > LUNG_MEAN[0]) & (mean < LUNG_MEAN[1]) & (lighter > LUNG_SPREAD)
    lung[0] = False
    return np.asarray(lung[pieces]), np.asarray(dark & ~lung[pieces])


def _sides(scan: Scan, lungs: NDArray[np.bool_], inside: NDArray[np.bool_], threshold: float) -> list[Found]:
    """Part the lungs into right and left, and close the vessels in them."""
    middle = float(np.mean(np.nonzero(inside.any(axis=(1, 2)))[0]))
    steps = 0
    core = lungs
    # Where the lungs touch in front of the heart, erode until no piece lies on both sides (Hu et al., 2001).
    while steps < 4 and _astride(core, middle):
        steps += 1
        core = ndimage.binary_erosion(core, FACES)
    parted = not _astride(core, middle)
    pieces, count = ndimage.label(core, FACES)
    centre = np.array([where[0] for where in ndimage.center_of_mass(core, pieces, range(1, count + 1))])
    size = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    large = size >= 0.05 * size.max()
    side = np.zeros(count + 1, np.int8)
    side[1:][large & (centre > middle)] = 1
    side[1:][large & (centre <= middle)] = 2
    nearest = ndimage.distance_transform_edt(side[pieces] == 0, return_distances=False, return_indices=True)
    owner = np.where(lungs, side[pieces][tuple(nearest)], 0)
    touches_end = bool(lungs[:, :, [0, -1]].any())
    steps = max(1, round(4e-3 / float(np.median(scan.spacing))))
    result = []
    for number, name in ((1, "lung_right"), (2, "lung_left")):
        mask = owner == number
        if float(mask.sum()) * scan.voxel < LUNG_SHARE:
            continue
        closed = ndimage.binary_closing(np.pad(mask, steps), FACES, steps)[(slice(steps, -steps),) * 3]
        closed = (closed | mask) & (scan.hounsfield < 200) & ((owner == number) | (owner == 0)) & inside
        result.append(
            Found(
                name,
                np.asarray(ndimage.binary_fill_holes(closed)),
                "medium" if touches_end or not parted else "high",
                "the scan holds a part of it only"
                if touches_end
                else "whole"
                if parted
                else "fused with the other lung",
                f"air within the body below {threshold:.0f} HU, the optimal threshold, parted from airways and bowel "
                f"gas by intensity and connectivity, closed by 4 mm ({HU})",
            )
        )
    return result


def _astride(mask: NDArray[np.bool_], middle: float) -> bool:
    """Say whether the largest piece has a good part on both sides."""
    piece = largest(mask)
    share = float(piece[int(middle) + 1 :].sum()) / max(float(piece.sum()), 1.0)
    return 0.15 < share < 0.85


def _gas(scan: Scan, air: NDArray[np.bool_]) -> list[Found]:
    """Return gas in the bowel: in a colon filled on purpose, and elsewhere."""
    pieces, count = ndimage.label(air & (scan.hounsfield < GAS), FACES)
    boxes = ndimage.find_objects(pieces)
    size = np.bincount(pieces.ravel(), minlength=count + 1) * scan.voxel
    height = np.array([0.0] + [(box[2].stop - box[2].start) * scan.spacing[2] for box in boxes])
    keep = size >= LEAST_GAS
    keep[0] = False
    tall = keep & (size >= COLON[0]) & (height >= COLON[1])
    method = (
        f"air within the body below {GAS:g} HU that is connected to neither lungs nor outside, pieces of at least 1 ml "
        "(Wyatt et al., Comput. Biomed. Res. 33, 2000, doi:10.1006/cbmr.2000.1546)"
    )
    result = []
    for name, chosen, confidence, reason in (
        (
            "colon",
            tall,
            "medium",
            "so large and tall a gas is a colon; what lies behind fluid or a spasm is missing",
        ),
        ("bowel_gas", keep & ~tall, "low", "in stomach, small bowel or colon: intensity alone cannot tell which"),
    ):
        if chosen.any():
            # The wall's partial volume: gas up to half-way to tissue.
            mask = ndimage.binary_dilation(chosen[pieces], FACES, 1) & air
            result.append(Found(name, np.asarray(mask), confidence, reason, method))  # type: ignore[arg-type]
    return result
