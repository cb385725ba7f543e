"""What the masks of a liver survey tell apart."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Num, UInt8

from assets.labels import load_labels

SURVEY_CLASSES = ("background", "other", "instrument", "liver")
"""Names of the classes; the index is the id. Background: nothing is seen there; other: any other tissue."""

OTHER, INSTRUMENT, LIVER = 1, 2, 3


def survey_class_map(
    semantic: UInt8[np.ndarray, "h w"], depth: Num[np.ndarray, "h w"], *, labels: Mapping[str, int] | None = None
) -> UInt8[np.ndarray, "h w"]:
    """Sort pixels into SURVEY_CLASSES.

    Args:
        semantic: Label ids.
        depth: z-depth [m]; 0 where nothing.
        labels: Ids by name, as the mask has them; None takes those of `assets/labels.csv`.

    Raises:
        KeyError: `labels` lacks liver.
    """
    ids = {label.name: label.id for label in load_labels().values()} if labels is None else labels
    classes = np.where(depth > 0, OTHER, 0).astype(np.uint8)
    classes[semantic == ids["liver"]] = LIVER
    tools = [ids[label.name] for label in load_labels().values() if label.group == "instrument" and label.name in ids]
    classes[np.isin(semantic, tools)] = INSTRUMENT
    return classes
