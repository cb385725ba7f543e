"""The bronchi that have names, from the main bronchi to the segmental ones: who follows whom, where to, how wide."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NamedBronchus:
    """One row of the table."""

    name: str
    parent: str
    direction: tuple[float, float, float]
    """Where it runs in RAS axes, of any length."""
    length: float
    """From the division that it comes from to the one that it ends in, axis to axis [m]."""
    diameter: float
    """Of a man whose trachea is 17.7 mm wide [m]."""
    membrane: float = 0.0
    """How flat its posterior wall is: 1 as in the trachea, 0 round."""
    cartilage: float = 0.00010
    """How far its cartilages stand out [m]."""


# Who follows whom, and where to: Boyden, Segmental Anatomy of the Lungs, McGraw-Hill, 1955; Ugalde et al., Lobes,
# fissures, and bronchopulmonary segments, Thorac. Surg. Clin. 17, 2007; segments of Jackson and Huber, Dis. Chest 9,
# 1943, numbered B1 to B10. On the left B1 and B2 have a common stem, and so have B7 and B8.
# Lengths and diameters of single bronchi are chosen after these so that their means per generation are those of Weibel
# (Morphometry of the Human Lung, Springer, 1963: 12.2, 8.3, 5.6 and 4.5 mm in generations 1 to 4) and of ICRP
# Publication 66 (Ann. ICRP 24, 1994: 12.0, 8.5, 6.1 and 4.4 mm); `docs/anatomy.md` compares them. The upper lobe's
# bronchus leaves at about a right angle and is 1 to 2 cm long, the intermediate bronchus 2 cm (Gray's Anatomy, 41st
# edition, chapter 54). Cartilages are rings in trachea and main bronchi and irregular plates further out (ibid.).
NAMED = (
    NamedBronchus("right_upper_lobe", "right_main", (0.93, 0.05, 0.22), 0.0150, 0.0088, 0.0, 0.00024),
    NamedBronchus("B1_right", "right_upper_lobe", (0.42, -0.10, 0.90), 0.0120, 0.0060, 0.0, 0.00014),
    NamedBronchus("B2_right", "right_upper_lobe", (0.66, -0.72, 0.25), 0.0120, 0.0057, 0.0, 0.00014),
    NamedBronchus("B3_right", "right_upper_lobe", (0.62, 0.78, -0.06), 0.0120, 0.0061, 0.0, 0.00014),
    NamedBronchus("intermediate", "right_main", (0.36, -0.20, -0.91), 0.0240, 0.0108, 0.45, 0.00032),
    NamedBronchus("right_middle_lobe", "intermediate", (0.42, 0.72, -0.55), 0.0170, 0.0072, 0.0, 0.00020),
    NamedBronchus("B4_right", "right_middle_lobe", (0.92, 0.30, -0.26), 0.0110, 0.0053, 0.0, 0.00013),
    NamedBronchus("B5_right", "right_middle_lobe", (0.02, 0.82, -0.57), 0.0110, 0.0054, 0.0, 0.00013),
    NamedBronchus("right_lower_lobe", "intermediate", (0.28, -0.36, -0.89), 0.0095, 0.0092, 0.0, 0.00026),
    NamedBronchus("B6_right", "right_lower_lobe", (0.26, -0.92, -0.20), 0.0110, 0.0062, 0.0, 0.00015),
    NamedBronchus("right_basal", "right_lower_lobe", (0.34, -0.10, -0.93), 0.0140, 0.0085, 0.0, 0.00022),
    NamedBronchus("B7_right", "right_basal", (-0.42, 0.30, -0.86), 0.0120, 0.0050, 0.0, 0.00012),
    NamedBronchus("right_basal_8_10", "right_basal", (0.48, -0.14, -0.86), 0.0095, 0.0081, 0.0, 0.00020),
    NamedBronchus("B8_right", "right_basal_8_10", (0.50, 0.68, -0.54), 0.0120, 0.0058, 0.0, 0.00014),
    NamedBronchus("right_basal_9_10", "right_basal_8_10", (0.34, -0.40, -0.86), 0.0100, 0.0076, 0.0, 0.00018),
    NamedBronchus("B9_right", "right_basal_9_10", (0.80, -0.05, -0.58), 0.0120, 0.0056, 0.0, 0.00014),
    NamedBronchus("B10_right", "right_basal_9_10", (0.00, -0.66, -0.75), 0.0130, 0.0062, 0.0, 0.00015),
    NamedBronchus("left_upper_lobe", "left_main", (-0.84, 0.46, -0.02), 0.0125, 0.0090, 0.0, 0.00025),
    NamedBronchus("left_upper_division", "left_upper_lobe", (-0.48, 0.22, 0.85), 0.0115, 0.0079, 0.0, 0.00018),
    NamedBronchus("B1_2_left", "left_upper_division", (-0.20, -0.42, 0.88), 0.0120, 0.0062, 0.0, 0.00014),
    NamedBronchus("B3_left", "left_upper_division", (-0.52, 0.80, 0.30), 0.0120, 0.0060, 0.0, 0.00014),
    NamedBronchus("lingula", "left_upper_lobe", (-0.60, 0.55, -0.58), 0.0145, 0.0072, 0.0, 0.00018),
    NamedBronchus("B4_left", "lingula", (-0.93, 0.36, 0.00), 0.0110, 0.0052, 0.0, 0.00013),
    NamedBronchus("B5_left", "lingula", (-0.20, 0.76, -0.62), 0.0110, 0.0051, 0.0, 0.00013),
    NamedBronchus("left_lower_lobe", "left_main", (-0.38, -0.30, -0.87), 0.0110, 0.0094, 0.0, 0.00026),
    NamedBronchus("B6_left", "left_lower_lobe", (-0.34, -0.92, -0.16), 0.0110, 0.0062, 0.0, 0.00015),
    NamedBronchus("left_basal", "left_lower_lobe", (-0.40, -0.02, -0.92), 0.0150, 0.0081, 0.0, 0.00022),
    NamedBronchus("B7_8_left", "left_basal", (-0.36, 0.68, -0.64), 0.0120, 0.0061, 0.0, 0.00014),
    NamedBronchus("left_basal_9_10", "left_basal", (-0.38, -0.40, -0.84), 0.0105, 0.0076, 0.0, 0.00018),
    NamedBronchus("B9_left", "left_basal_9_10", (-0.84, 0.00, -0.54), 0.0120, 0.0055, 0.0, 0.00014),
    NamedBronchus("B10_left", "left_basal_9_10", (-0.02, -0.66, -0.75), 0.0130, 0.0062, 0.0, 0.00015),
)
"""Parents stand before their children; `right_main` and `left_main` follow from a patient's measures."""

SEGMENTAL = tuple(row.name for row in NAMED if row.name.startswith("B"))
"""The segmental bronchi."""
