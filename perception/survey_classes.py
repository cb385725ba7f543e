"""What the masks of a liver survey tell apart."""

import numpy as np
from jaxtyping import Num, UInt8

from assets.labels import label_id, load_labels

SURVEY_CLASSES = ("background", "other", "instrument", "liver")
"""Names of the classes; the index is the id. Background: nothing is seen there; other: any other tissue."""

OTHER, INSTRUMENT, LIVER = 1, 2, 3


def survey_class_map(semantic: UInt8[np.ndarray, "h w"], depth: Num[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Sort pixels into SURVEY_CLASSES.

    Args:
        semantic: Label ids of `assets/labels.csv`.
        depth: z-depth [m]; 0 where nothing.
    """
    classes = np.where(depth > 0, OTHER, 0).astype(np.uint8)
    classes[semantic == label_id("liver")] = LIVER
    tools = [label.id for label in load_labels().values() if label.group == "instrument"]
    classes[np.isin(semantic, tools)] = INSTRUMENT
    return classes
