"""Names of structures as people write them, brought to those of the table of labels where that is beyond doubt."""

import re

from assets.labels import load_labels

_SIDES = {"left": "left", "right": "right", "l": "left", "r": "right"}
_VERTEBRAE = {"cervical": "C", "thoracic": "T", "lumbar": "L"}


def known_name(name: str) -> str | None:
    """Return the table's name of a structure, or None where there is none that is surely meant.

    Case, spaces, hyphens and underscores do not matter, nor where the side stands: `Right Kidney` is `kidney_right`.
    A vertebra may be called by its region, `Lumbar 4`, a rib `Rib 4 left`, and a muscle a muscle. Nothing is guessed
    from likeness.
    """
    table = load_labels()
    if name in table:
        return name
    folded = {one.lower(): one for one in table}
    words = [word for word in re.split(r"[\s_\-.,()]+", name.strip().lower()) if word]
    plain = "_".join(words)
    if plain in folded:
        return folded[plain]
    sides = {_SIDES[word] for word in words if word in _SIDES}
    rest = [word for word in words if word not in _SIDES and word != "muscle"]
    split = [part for word in rest for part in re.findall(r"[a-z]+|[0-9]+", word)]
    candidates = []
    if len(sides) == 1:
        side = sides.pop()
        candidates = ["_".join([*rest, side]), "_".join([split[0], side, *split[1:]]) if split else ""]
    elif not sides and len(split) == 2 and split[0] in _VERTEBRAE:
        candidates = [f"vertebrae_{_VERTEBRAE[split[0]]}{split[1]}".lower()]
    elif not sides and len(split) == 3 and split[0] in ("vertebra", "vertebrae"):
        candidates = [f"vertebrae_{split[1]}{split[2]}"]
    return next((folded[one] for one in candidates if one in folded), None)
