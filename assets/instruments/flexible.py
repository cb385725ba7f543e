"""Flexible endoscopes: what they are and can do. Lengths in metres, angles in radians, forces in newtons."""

import math
from dataclasses import dataclass, fields

from assets.errors import InputError


@dataclass(frozen=True)
class ScopeDevice:
    """A flexible endoscope with a bending section; the sources of its figures stand beside them."""

    name: str
    length: float
    """Of the insertion tube [m]."""
    spacing: float
    """Of the nodes that stand for it [m]."""
    tube_radius: float
    """[m]"""
    tip_radius: float
    """[m]"""
    nose: float
    """From the first node to the end face with the lens [m]; with the first segment it makes up the rigid tip."""
    bending_length: float
    """Of the bending section, behind the rigid tip [m]."""
    shaft_rigidity: float
    """Flexural rigidity of the insertion tube [N m^2]."""
    passive_length: float
    """Of the softer part behind the bending section [m]."""
    passive_rigidity: float
    """Flexural rigidity of that part [N m^2]."""
    bending_rigidity: float
    """Of the bending section held by its wires [N m^2]."""
    limp_rigidity: float
    """Of the bending section with the wheels let go [N m^2]."""
    axial_rigidity: float
    """Force over axial strain [N]."""
    density: float
    """Mass per length [kg/m]."""
    max_advance: float
    """In a control step [m]."""
    max_bend_rate: float
    """In a control step, each angle [rad]."""
    max_bend_up: float
    """[rad]"""
    max_bend_down: float
    """[rad]"""
    max_bend_right: float
    """Right and left [rad]; both planes at once are limited by an ellipse. 0 for a scope that bends in one plane."""
    max_roll_rate: float
    """In a control step [rad]."""
    push_limit: float
    """[N] at which the hand slips."""
    pull_limit: float
    """[N]"""

    def __post_init__(self) -> None:
        numbers = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "name"}
        bad = [name for name, value in numbers.items() if not (math.isfinite(value) and value >= 0)]
        free = ("density", "max_bend_down", "max_bend_right", "passive_length")
        bad += [name for name, value in numbers.items() if value == 0 and name not in free]
        if bad:
            raise InputError(f"scope {self.name}: expected finite numbers above 0, found {bad[0]} {numbers[bad[0]]}")
        nodes = self.length / self.spacing
        rigid = self.bending_length + self.passive_length
        if not 20 <= nodes <= 2000 or not self.spacing <= self.bending_length or rigid > self.length / 2:
            raise InputError(
                f"scope {self.name}: expected 20 to 2000 nodes and a bending section of one of their spacings or more, "
                f"with the soft part within half of the length, found {nodes:.0f} nodes, "
                f"{self.bending_length} m and {rigid} m of {self.length} m"
            )

    def within(self, bend_up: float, bend_right: float) -> tuple[float, float]:
        """Return the two angles of the bending section, brought within what the device allows [rad]."""
        up = self.max_bend_up if bend_up >= 0 else self.max_bend_down
        if self.max_bend_right > 0 and up > 0:
            reach = max(1.0, math.hypot(bend_up / up, bend_right / self.max_bend_right))
            return bend_up / reach, bend_right / reach
        return max(-up, min(bend_up, up)), max(-self.max_bend_right, min(bend_right, self.max_bend_right))


COLONOSCOPE_FIELD = math.radians(140.0)
"""Angle that a video colonoscope sees across the width of its picture [rad]; makers state 140 to 170 degrees (Olympus
CF-HQ190: 170 degrees in normal focus, across the diagonal)."""

COLONOSCOPE = ScopeDevice(
    # Length, diameters and angulation of the Olympus CF-HQ190L (Olympus, EVIS EXERA III CF-HQ190 data sheet): tube
    # 12.8 mm, tip 13.2 mm, 180 degrees up and down, 160 right and left. The length is that of the longest instruments.
    name="colonoscope",
    length=2.0,
    spacing=0.01,
    tube_radius=0.0064,
    tip_radius=0.0066,
    nose=0.005,
    bending_length=0.09,
    # The soft end of the 160 to 300 N cm^2 measured by Wehrmeyer, Barthel, Roth and Saifuddin, Colonoscope flexural
    # rigidity measurement, Medical & Biological Engineering & Computing 36, 1998, since a rigid wall does not give way
    # as bowel does. A CF-140S has 260 to 400 (Flexural and torsional rigidity of colonoscopes at room and body
    # temperatures, 2009).
    shaft_rigidity=0.016,
    passive_length=0.10,
    passive_rigidity=0.008,  # less than the shaft's, as in Olympus' passive bending; how much less is chosen
    bending_rigidity=0.05,  # estimated: a tip force of 5 N yields some 35 degrees
    # Chosen, no measurement was found: rings on pivots, held by nothing but rubber and what runs through them, are half
    # as stiff as the soft part of the shaft.
    limp_rigidity=0.004,
    axial_rigidity=2.0e4,  # 0.2 % at 40 N, as good as inextensible
    density=0.25,  # estimated from the cross-section at twice the density of water
    max_advance=0.008,  # chosen: 8 cm/s, a brisk hand
    max_bend_rate=math.radians(15),  # chosen: full angulation takes 1.2 s
    max_bend_up=math.radians(180),
    max_bend_down=math.radians(180),
    max_bend_right=math.radians(160),
    max_roll_rate=math.radians(15),  # chosen
    # The peak of 21 colonoscopies was 4.4 kgf, or 43 N, pushing, and 1.8 kgf, or 18 N, pulling (Appleyard et al., The
    # measurement of forces exerted during colonoscopy, Gastrointest. Endosc. 52(2), 2000, doi:10.1067/mge.2000.107218).
    push_limit=40.0,
    pull_limit=30.0,
)
"""An adult video colonoscope."""

BRONCHOSCOPE = ScopeDevice(
    # Olympus BF-P160: 4.9 mm, 600 mm, 180 degrees up and 130 down in one plane (table of bronchoscopes in module 1 of
    # the University of Toronto's bronchoscopy course, pie.med.utoronto.ca/BI). What lies aside is reached by turning
    # the shaft, as the same page says.
    name="bronchoscope",
    length=0.6,
    spacing=0.005,
    tube_radius=0.00245,
    tip_radius=0.00245,
    nose=0.003,
    # Chosen: bent by 180 degrees it turns about a radius of 14 mm. Single-use scopes need 64 to 69 mm across at full
    # angulation, rigid tip and straight part included (Deasy et al., Single Use Flexible Bronchoscopy: An ex-vivo
    # comparison, Irish Thoracic Society), which bounds it from above.
    bending_length=0.045,
    # No measured rigidity was found. Rigidity goes with the fourth power of the diameter at a like build: of the
    # colonoscope's 160 to 300 N cm^2 at 12.8 mm this leaves 3.4 to 6.4 N cm^2 at 4.9 mm.
    shaft_rigidity=5.0e-4,
    passive_length=0.0,
    passive_rigidity=5.0e-4,
    bending_rigidity=1.0e-3,  # by the same rule from the colonoscope's
    limp_rigidity=2.5e-4,  # likewise
    axial_rigidity=5.0e3,
    density=0.04,  # of the cross-section at twice the density of water
    max_advance=0.004,  # chosen: 4 cm/s
    max_bend_rate=math.radians(20),  # chosen: the lever goes through its range in a second
    max_bend_up=math.radians(180),
    max_bend_down=math.radians(130),
    max_bend_right=0.0,
    max_roll_rate=math.radians(20),  # chosen: the wrist turns by a right angle in half a second
    push_limit=10.0,  # chosen: a thin shaft buckles outside the patient before the hand presses harder
    pull_limit=10.0,  # chosen
)
"""An adult video bronchoscope."""
