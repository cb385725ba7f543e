"""From the name of a mesh file to a structure of `assets/labels.csv`."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from assets.errors import InputError
from assets.labels import load_labels
from assets.patient import Kind
from assets.patient_json import KINDS, NAME

MAX_TABLE_BYTES = 1 << 20

LEFT_OUT = "-"
"""Label of what a user's table leaves out on purpose."""

_DECORATION = {
    "mesh", "surface", "model", "segmentation", "seg", "smooth", "smoothed", "decimated", "decimation", "simplified",
    "visual", "volumetric", "volume", "tet", "tets", "tetra", "remeshed", "final", "closed", "hires", "lowres",
    "the", "of", "organ", "obj", "stl",
}  # fmt: skip
"""Words about the file, not about the structure."""

_WORDS = {
    "l": "left", "r": "right", "lt": "left", "rt": "right", "oesophagus": "esophagus", "coloncaecum": "colon",
    "caecum": "cecum", "urinarybladder": "bladder", "tumor": "tumour", "lesion": "tumour", "gland": "",
    "vertebra": "vertebrae", "clavicle": "clavicula", "vessel": "", "gut": "bowel", "intestine": "bowel",
}  # fmt: skip
"""Other spellings of words; what becomes empty says nothing."""

_ALIASES = {
    "bladder": "urinary_bladder",
    "ivc": "inferior_vena_cava",
    "vena_cava": "inferior_vena_cava",
    "svc": "superior_vena_cava",
    "portal_vein": "portal_vein_and_splenic_vein",
    "bowel_small": "small_bowel",
    "bowel_large": "colon",
    "large_bowel": "colon",
    "gall_bladder": "gallbladder",
    "rectum": "colon",
    "prostate_gland": "prostate",
    "thyroid": "thyroid_gland",
    "windpipe": "trachea",
    "airway": "trachea",
    "pelvis_left": "hip_left",
    "pelvis_right": "hip_right",
    "spinal_canal": "spinal_cord",
    "greater_omentum": "omentum",
    "common_bile_duct": "bile_duct",
    "breastbone": "sternum",
}
"""Other names of structures. The rectum is part of the colon, as TotalSegmentator labels it."""

_PAIRS = ("kidney", "adrenal_gland", "femur", "hip", "humerus", "scapula", "clavicula", "iliopsoas", "autochthon")
"""Structures of a left and a right: a file of both is split into its two bodies."""


@dataclass(frozen=True)
class Structure:
    """What a mesh shows."""

    name: str
    """Of the organ in the patient."""
    label: str
    """Of `assets/labels.csv`; with `{side}` in it where both sides are in one file."""
    kind: Kind

    @property
    def paired(self) -> bool:
        """Whether left and right are to be told apart by their place."""
        return "{side}" in self.label


def words_of(text: str) -> tuple[str, ...]:
    """Split a name into lower-case words without what says nothing of the structure."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1_\2", text)
    words = [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]
    known = [_WORDS.get(word, word) for word in words]
    return tuple(word for word in known if word and word not in _DECORATION)


def _key(words: tuple[str, ...]) -> tuple[str, ...]:
    """Order does not matter: `left_kidney` is `kidney_left`."""
    return tuple(sorted(words))


@cache
def _table() -> dict[tuple[str, ...], str]:
    table = {_key(words_of(name)): name for name, row in load_labels().items() if row.group != "instrument"}
    for alias, label in _ALIASES.items():
        table.setdefault(_key(words_of(alias)), label)
    for name in _PAIRS:
        for plural in (name, f"{name}s"):
            table.setdefault(_key(words_of(plural)), name + "_{side}")
    return table


def structure_of(text: str) -> Structure | None:
    """Tell a structure by the name of its file or object; None where it is not known.

    `lumen` and `wall` in the name say which surface of a hollow organ it is; a number behind it, as in `polyp_03`,
    makes it one of several.
    """
    words = words_of(text)
    table = _table()
    number = ""
    if words and _key(words) not in table and words[-1].isdigit():
        words, number = words[:-1], f"_{words[-1][:6]}"
    label = table.get(_key(words))
    if label is not None:
        kind: Kind = "wall" if label.endswith("_wall") and label != "abdominal_wall" else "solid"
        own = "_".join(words) if label == "colon" and words == ("rectum",) else label
        return Structure(f"{own}{number}", label, kind)
    if not words or not {"lumen", "wall"} & set(words):
        return None
    rest = tuple(word for word in words if word not in ("lumen", "wall"))
    base = table.get(_key(rest))
    if base is None or "{side}" in base:
        return None
    label = f"{base}_wall" if f"{base}_wall" in load_labels() else base
    own = "rectum" if rest == ("rectum",) else base
    if "lumen" in words:
        return Structure(f"{own}_lumen{number}", label, "lumen")
    return Structure(f"{own}_wall{number}", label, "wall")


def named(label: str, name: str, kind: str | None, where: str) -> Structure:
    """Return the structure that a user's table says.

    Raises:
        InputError: The label or the kind is not known.
    """
    if label not in load_labels():
        raise InputError(f"expected a label of assets/labels.csv or {LEFT_OUT!r}, found {label[:60]!r} in {where}")
    if kind is not None and kind not in KINDS:
        raise InputError(f"expected one of {', '.join(KINDS)}, found kind {kind[:40]!r} in {where}")
    own = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:64] or label
    assert NAME.fullmatch(own)
    if kind is None:
        kind = "wall" if label.endswith("_wall") and label != "abdominal_wall" else "solid"
    return Structure(own, label, kind)  # type: ignore[arg-type]


def read_mesh_names(path: Path) -> dict[str, Structure | None]:
    """Read a table of what files or objects show.

    Args:
        path: CSV with the columns `file,label` and perhaps `kind` (lumen, wall or solid). `file` is a file's name with
            or without its ending, or an object's name; `label` is one of `assets/labels.csv`, or `-` to leave it out.

    Returns:
        Structures by lower-case name; None for what is left out.

    Raises:
        InputError: The file is no such table.
    """
    found: dict[str, Structure | None] = {}
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise InputError(f"expected at most {MAX_TABLE_BYTES} bytes, found {path.stat().st_size} in {path}")
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise InputError(f"expected a table with the columns file,label[,kind], found {error} in {path}") from None
    for number, row in enumerate(rows, start=2):
        file, label = (row.get("file") or "").strip(), (row.get("label") or "").strip()
        if not file or not label:
            raise InputError(f"expected the columns file,label[,kind] with a name each, found {row} in {path}:{number}")
        if file.lower() in found:
            raise InputError(f"expected each file once, found {file!r} again in {path}:{number}")
        place = f"{path}:{number}"
        stem = re.sub(r"\.[A-Za-z]{3,4}$", "", file)
        kind = (row.get("kind") or "").strip() or None
        found[file.lower()] = None if label == LEFT_OUT else named(label, stem, kind, place)
    if not found:
        raise InputError(f"expected a table with the columns file,label[,kind], found no row in {path}")
    return found


UNKNOWN = (None, "no structure of assets/labels.csv has this name; give --names")
"""What `choose` returns of a name that says nothing."""


def choose(
    candidates: tuple[str, ...], given: Mapping[str, Structure | None], scheme: Mapping[int, str]
) -> tuple[Structure | None, str]:
    """Decide what a mesh shows.

    Args:
        candidates: The file's name, its stem, and the object's name, best first.
        given: The user's table, by lower-case name.
        scheme: Names by id, for files such as `label_5.stl` or `Segment_5.stl`.

    Returns:
        The structure, or None with the reason why not.
    """
    for candidate in candidates:
        if candidate.lower() in given:
            structure = given[candidate.lower()]
            return structure, "" if structure else "left out by --names"
    for candidate in candidates:
        structure = structure_of(candidate)
        if structure is not None:
            return structure, ""
        match = re.fullmatch(r"(?:label|segment|class|organ|id)?[ _-]*(\d{1,5})", candidate.lower())
        if match and int(match[1]) in scheme:
            name = scheme[int(match[1])]
            if name in load_labels():
                return named(name, name, None, "the scheme"), ""
    return UNKNOWN
