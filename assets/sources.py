"""Patients by their names on the command line: folders, and `synth:ANATOMY:SEED` or a range of seeds."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from assets.abdomen.synthesis import synthetic_abdomen
from assets.bronchi.synthesis import synthetic_bronchi
from assets.colon.synthesis import synthetic_colon, synthetic_polyposis, synthetic_residue
from assets.errors import InputError
from assets.patient import Patient
from assets.patient_io import load_patient

ANATOMIES: dict[str, Callable[[int], Patient]] = {
    "colon": synthetic_colon,
    "polyposis": synthetic_polyposis,
    "residue": synthetic_residue,
    "bronchi": synthetic_bronchi,
    "abdomen": synthetic_abdomen,
}
"""What can be made from a seed."""
MOST_SEEDS = 100_000


def _seeds(text: str) -> tuple[str, range]:
    """Split `synth:ANATOMY:SEED` or `synth:ANATOMY:FIRST-LAST` into the anatomy and its seeds."""
    match = re.fullmatch(r"synth:([a-z]+):([0-9]{1,12})(?:-([0-9]{1,12}))?", text, re.ASCII)
    if not match:
        raise InputError(f"expected synth:ANATOMY:SEED or synth:ANATOMY:FIRST-LAST, found {text!r}")
    anatomy, first, last = match[1], int(match[2]), int(match[3] or match[2])
    if anatomy not in ANATOMIES:
        raise InputError(f"expected an anatomy of {', '.join(ANATOMIES)}, found {anatomy!r} in {text!r}")
    if not first <= last < first + MOST_SEEDS:
        raise InputError(f"expected up to {MOST_SEEDS} seeds in rising order, found {text!r}")
    return anatomy, range(first, last + 1)


def resolve_patients(texts: Sequence[str]) -> list[str]:
    """Expand ranges of seeds, and folders of patient folders, to one name a patient.

    Args:
        texts: Such as `synth:colon:0-15`, a patient folder, or a folder that holds patient folders.

    Returns:
        Names that `load_source` takes, in the order given, each once.

    Raises:
        InputError: A text is of no such form, or there is no patient there.
    """
    names: list[str] = []
    for text in texts:
        if text.startswith("synth:"):
            anatomy, seeds = _seeds(text)
            names += [f"synth:{anatomy}:{seed}" for seed in seeds]
            continue
        folder = Path(text)
        if (folder / "patient.json").is_file():
            names.append(text)
            continue
        found = sorted(str(file.parent) for file in folder.glob("*/patient.json")) if folder.is_dir() else []
        if not found:
            raise InputError(f"expected a patient folder, a folder of them, or synth:ANATOMY:SEED, found {text!r}")
        names += found
    return list(dict.fromkeys(names))


def load_source(text: str) -> Patient:
    """Return the patient of a folder, or make the one of `synth:ANATOMY:SEED`.

    Raises:
        InputError: There is no such patient, or it is damaged.
    """
    if text.startswith("synth:"):
        anatomy, seeds = _seeds(text)
        if len(seeds) != 1:
            raise InputError(f"expected one patient, found a range of {len(seeds)}: {text!r}")
        return ANATOMIES[anatomy](seeds[0])
    folder = Path(text)
    if not (folder / "patient.json").is_file():
        raise InputError(f"expected a patient folder or synth:ANATOMY:SEED, found {text!r}")
    return load_patient(folder)
