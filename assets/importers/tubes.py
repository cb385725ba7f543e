"""Give the tubular organs of a label map a centreline each, ordered by the anatomy, with the radius along it.

Colon and airways have rules of their own. Here are the organs that run from one end to another without branching much:
the line's first end is told by the neighbour that the organ comes from or goes to, where that is labelled, else by the
direction in which the organ runs (Gray's Anatomy, 41st edition, chapters on the named organs).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from assets.importers.hollow import OPENINGS, lumen_and_wall
from assets.importers.label_volume import LabelVolume
from assets.lumen.tube_axis import ABOUT, TubeAxis, tube_axis
from assets.mesh_check import winding_number
from assets.mesh_distance import distance_to
from assets.patient import Centreline, Organ, Patient
from assets.surface_nets.merging import merged
from assets.transforms import apply

LEAST_COVERED = 0.75
"""Share of an organ's voxels that must lie about its line; chosen: whole vessels have 0.85 to 1.0, loops of bowel that
touch 0.4."""
SLENDER = 4.0
"""A tube is at least so many of its median radii long; chosen: a ball is two long."""
MERGED = 0.0015
"""Voxels are merged to about this edge before the line is looked for [m], as they are for surfaces."""
SPARSE = 0.003
"""Voxels of neighbours are looked at about so far apart [m]."""

HEART = ("heart", "heart_atrium_right", "heart_ventricle_left", "heart_myocardium")
RIGHT, UP = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tube:
    """How an organ's line is ordered."""

    start: tuple[str, ...]
    """Labels beside the line's first end; the first that occurs is taken."""
    end: tuple[str, ...]
    """Labels beside its last end, where none of `start` occurs."""
    direction: Array
    """About the way from the first end to the last, where neither occurs; unit vector, RAS."""


TUBES: dict[str, Tube] = {
    "esophagus": Tube((), (), -UP),
    "duodenum": Tube(("stomach",), (), -RIGHT),
    "small_bowel": Tube(("duodenum",), ("colon",), -UP),
    "aorta": Tube(HEART, (), -UP),
    "brachiocephalic_trunk": Tube(("aorta",), (), UP),
    "common_carotid_artery_right": Tube(("brachiocephalic_trunk", "aorta"), (), UP),
    "common_carotid_artery_left": Tube(("aorta",), (), UP),
    "subclavian_artery_right": Tube(("brachiocephalic_trunk", "aorta"), (), RIGHT),
    "subclavian_artery_left": Tube(("aorta",), (), -RIGHT),
    "iliac_artery_right": Tube(("aorta",), (), -UP),
    "iliac_artery_left": Tube(("aorta",), (), -UP),
    "iliac_vena_right": Tube((), ("inferior_vena_cava",), UP),
    "iliac_vena_left": Tube((), ("inferior_vena_cava",), UP),
    "inferior_vena_cava": Tube((), HEART, UP),
    "superior_vena_cava": Tube((), HEART, -UP),
    "brachiocephalic_vein_right": Tube((), ("superior_vena_cava",), -UP),
    "brachiocephalic_vein_left": Tube((), ("superior_vena_cava",), RIGHT),
    "portal_vein_and_splenic_vein": Tube((), ("liver",), RIGHT),
}
"""By label: the gut from the mouth on, arteries from the heart, veins with the flow to the heart or the liver."""


@dataclass(frozen=True)
class _Boxes:
    """Where each id lies, so that the rest of a volume need not be looked through for every organ."""

    volume: LabelVolume
    boxes: tuple[dict[int, tuple[slice, ...]], ...]
    """By layer and id."""

    @staticmethod
    def of(volume: LabelVolume) -> "_Boxes":
        found = (enumerate(ndimage.find_objects(layer), start=1) for layer in volume.layers)
        return _Boxes(volume, tuple({n: box for n, box in layer if box is not None} for layer in found))

    def crop(self, names: Sequence[str]) -> LabelVolume | None:
        """Cut out the box about some structures; None where none of them occurs."""
        ids = {label for label, name in self.volume.names.items() if name in names}
        boxes = [box for layer in self.boxes for label, box in layer.items() if label in ids]
        if not boxes:
            return None
        low = [min(box[axis].start for box in boxes) for axis in range(3)]
        high = [max(box[axis].stop for box in boxes) for axis in range(3)]
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        T_world_index = self.volume.T_world_index.copy()
        T_world_index[:3, 3] += T_world_index[:3, :3] @ np.array(low, np.float64)
        layers = [layer[box] for layer in self.volume.layers]
        return replace(self.volume, data=layers[0], overlays=tuple(layers[1:]), T_world_index=T_world_index)


def with_tube_lines(patient: Patient, volume: LabelVolume, report: Callable[[str], None] | None = None) -> Patient:
    """Add the centrelines of the organs of `TUBES`, each named after its label.

    Args:
        patient: Made of the volume.
        volume: The label map.
        report: Called with each organ that gets none, and why.

    Returns:
        The patient; the attribute `tube` of each organ with a line tells its length [m], the share of the organ's
        voxels about it, and by what it was ordered. Organs that are no tubes get no line, and one of the provenance's
        `notes`.
    """
    say = report or (lambda _: None)
    lines, notes, told = [], [], dict[str, dict[str, object]]()
    present = [name for name in TUBES if any(organ.label in (name, f"{name}_wall") for organ in patient.organs)]
    boxes = _Boxes.of(volume) if present else None
    for name in present:
        assert boxes is not None
        mine = [organ for organ in patient.organs if organ.label in (name, f"{name}_wall")]
        organ = next((one for one in mine if one.kind == "lumen"), mine[0])
        found = _line(name, organ, boxes)
        if isinstance(found, str):
            notes.append(f"No centreline of {name}: {found}.")
            say(notes[-1])
            continue
        line, told[organ.name] = found
        lines.append(line)
    if not lines and not notes:
        return patient
    before = list(patient.provenance.get("notes", []))
    return replace(
        patient,
        organs=tuple(
            replace(organ, attributes=organ.attributes | {"tube": told[organ.name]}) if organ.name in told else organ
            for organ in patient.organs
        ),
        centrelines=(*patient.centrelines, *lines),
        provenance=patient.provenance | ({"notes": [*before, *notes]} if notes else {}),
    )


def _line(name: str, organ: Organ, boxes: _Boxes) -> tuple[Centreline, dict[str, object]] | str:
    """Return an organ's line and what is told of it, or why it has none."""
    crop = boxes.crop([name, f"{name}_wall"])
    if crop is None:
        return "it has no voxels of its own"
    parted = lumen_and_wall(name, crop) if organ.kind == "lumen" and name in OPENINGS else None
    mask, T_world_index = _coarse(parted[0] if parted else crop.mask(name), crop.T_world_index)
    axis = tube_axis(mask, T_world_index)
    if axis is None:
        return "it is too thin or too short"
    if axis.covered < LEAST_COVERED:
        count = int(ndimage.label(mask, ndimage.generate_binary_structure(3, 3))[1])
        why = f"it is in {count} pieces" if count > 1 else "loops of it touch, or it branches"
        return (
            f"{axis.covered:.0%} of its voxels lie within {ABOUT} radii of the longest way through it, of which "
            f"{LEAST_COVERED:.0%} were expected; {why}"
        )
    if axis.length < SLENDER * float(np.median(axis.radius)):
        return f"its {axis.length * 1e3:.0f} mm are less than twice its width"
    points = _within(axis, organ)
    if points is None:
        return "the longest way through it leaves its surface"
    points, rule = _ordered(points, TUBES[name], boxes)
    # The surface is smoothed: what is said of the radius holds for it.
    line = Centreline(name, points, distance_to(organ.surface, points)[0])
    return line, {"length": round(axis.length, 5), "covered": round(axis.covered, 4), "ordered_by": rule}


def _coarse(
    mask: Bool[np.ndarray, "i j k"], T_world_index: Float64[np.ndarray, "4 4"]
) -> tuple[NDArray[np.bool_], Array]:
    """Merge fine voxels by majority."""
    voxel = np.linalg.norm(T_world_index[:3, :3], axis=0)
    factor = np.maximum((MERGED / voxel + 1e-6).astype(int), 1)
    if factor.max() == 1:
        return mask, T_world_index
    T_fine_coarse = np.diag([*factor.astype(np.float64), 1.0])
    T_fine_coarse[:3, 3] = (factor - 1) / 2
    coarse = merged(mask.astype(np.uint16), (int(factor[0]), int(factor[1]), int(factor[2])))
    return coarse > 0, T_world_index @ T_fine_coarse


def _within(axis: TubeAxis, organ: Organ) -> Array | None:
    """Drop ends that stand out of the organ's surface, which is rounder than its voxels; None where more stands out."""
    inside = np.flatnonzero(winding_number(organ.surface, axis.points) > 0.5)
    if len(inside) < 2 or len(inside) != np.ptp(inside) + 1:
        return None
    return np.asarray(axis.points[inside[0] : inside[-1] + 1])


def _ordered(points: Array, tube: Tube, boxes: _Boxes) -> tuple[Array, str]:
    """Turn a line about where its rule wants it; and say which rule."""
    for labels, words, first in ((tube.start, "starts beside", True), (tube.end, "ends beside", False)):
        label = next((name for name in labels if name in boxes.volume.names.values()), None)
        crop = boxes.crop([label]) if label is not None else None
        if label is None or crop is None:
            continue
        gap = _neighbour(crop, label).query(points[[0, -1]])[0]
        return (points if (gap[0] <= gap[1]) == first else points[::-1]), f"{words} the {label}"
    along = "right" if tube.direction[0] > 0 else "left" if tube.direction[0] < 0 else ""
    along = along or ("up" if tube.direction[2] > 0 else "down")
    right_way = (points[-1] - points[0]) @ tube.direction >= 0
    return (points if right_way else points[::-1]), f"runs {along}"


def _neighbour(crop: LabelVolume, label: str) -> cKDTree:
    """Return voxels of a structure, thinned out, ready to be searched."""
    step = np.maximum((SPARSE / crop.spacing).astype(int), 1)
    indices = np.argwhere(crop.mask(label)[:: step[0], :: step[1], :: step[2]]) * step
    if len(indices) == 0:
        indices = np.argwhere(crop.mask(label))
    return cKDTree(apply(crop.T_world_index, indices.astype(np.float64)))
