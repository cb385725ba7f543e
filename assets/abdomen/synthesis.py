"""A whole synthetic patient from a seed: the abdomen under pneumoperitoneum, as laparoscopy finds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from assets.abdomen.biliary import Biliary, draw_biliary, draw_gallbladder
from assets.abdomen.body import Body, draw_body
from assets.abdomen.cavity import Cavity, draw_cavity
from assets.abdomen.fat import heights, mesentery, omentum
from assets.abdomen.gut import Gut, draw_gut
from assets.abdomen.lattice import SPACING, Array, Box
from assets.abdomen.ligament import draw_ligament
from assets.abdomen.liver import FISSURE, Liver, draw_liver
from assets.abdomen.neighbours import competed, surface, thinned
from assets.abdomen.ports import draw_ports, laparoscope
from assets.abdomen.small_bowel import Room, coil
from assets.abdomen.solids import FAR, Solid
from assets.abdomen.tumour import draw_tumour
from assets.abdomen.vessels import Vessels, draw_vessels, seen
from assets.couinaud import centres, segments_of, shares
from assets.errors import InputError
from assets.mesh import Mesh
from assets.mesh_check import check_mesh
from assets.patient import Centreline, Kind, Organ, Patient

LIFTS = (0.030, 0.075)
"""Least and most that the gas lifts the wall at the umbilicus [m]."""
NOMINAL = 0.045
"""Lift while the organs are laid out [m]."""
KEPT = {
    "abdominal_wall": 0.30,
    "small_bowel": 0.42,
    "mesentery": 0.30,
    "omentum": 0.55,
    "colon": 0.45,
    "gallbladder": 0.5,
    "portal_vein": 0.5,
    "falciform_ligament": 0.4,
}
"""Share of the triangles that is kept; 0.6 for all others."""


@dataclass(frozen=True)
class Anatomy:
    """All that one patient is meshed from."""

    body: Body
    cavity: Cavity
    liver: Liver
    gut: Gut
    biliary: Biliary
    vessels: Vessels
    bowel_length: float
    """Of the small bowel [m]."""
    solids: tuple[Solid, ...]
    """In the order in which they give way: each to all before it."""


def synthetic_abdomen(seed: int, *, tumour: bool = False) -> Patient:
    """Make a patient's abdomen, supine and insufflated as for laparoscopic cholecystectomy.

    Args:
        seed: The same seed gives the same patient.
        tumour: Also grow a tumour in the liver; the rest of the patient stays as it is.

    Returns:
        A patient with the lumen `abdominal_wall`, which encloses the gas and the organs in it, the organs, the trocar
        sites as orifices, the centreline `laparoscope` from the umbilical port towards the gallbladder, and the
        centrelines of the vessels in the liver, by which `assets.couinaud` parts it into its segments.

    Raises:
        InputError: The seed is negative.
    """
    if seed < 0:
        raise InputError(f"expected a seed of at least 0, found {seed}")
    anatomy = draw_anatomy(np.random.default_rng(seed), np.random.default_rng([seed, 1]) if tumour else None)
    surfaces = mesh_anatomy(anatomy)
    return patient_of(seed, anatomy, surfaces)


def draw_anatomy(rng: np.random.Generator, growth: np.random.Generator | None = None) -> Anatomy:
    """Draw body, organs and vessels; `growth` draws the tumour, if there is one."""
    body = draw_body(rng)
    cavity = draw_cavity(rng, body, NOMINAL)
    liver = draw_liver(rng, body, cavity)
    gut = draw_gut(rng, body, cavity, liver)
    gallbladder, marks = draw_gallbladder(rng, body, liver, cavity)
    liver_solid = Solid("liver", "liver", "liver", liver.function, *liver.corners)
    large: list[Solid] = [gallbladder.solid("gallbladder", "gallbladder"), liver_solid, *gut.solids()]
    room = _room(body, cavity, large)
    bowel = coil(rng, body, room)
    biliary = draw_biliary(rng, body, liver, gallbladder, marks, large)
    vessels = draw_vessels(rng, liver, cavity, biliary.portal_vein)
    solids = [biliary.early(), *large[1:], bowel.solid("small_bowel", "hollow_organ")]
    solids += vessels.solids(biliary.portal_vein)
    if growth is not None:
        solids.append(draw_tumour(growth, liver).solid())
    solids += biliary.late()
    solids += _fat(rng, body, solids)
    # a tumour changes nothing beyond the liver
    cavity = replace(cavity, lift=_lift(body, cavity, [solid for solid in solids if solid.name != "tumour"]))
    # the ligament hangs from the lifted wall, and the fat gives way to it
    solids.insert(len(solids) - 2, draw_ligament(rng, cavity, liver).solid(cavity))
    length = float(np.linalg.norm(np.diff(bowel.points, axis=0), axis=1).sum())
    return Anatomy(body, cavity, liver, gut, biliary, vessels, length, tuple(solids))


def _room(body: Body, cavity: Cavity, solids: Sequence[Solid]) -> Room:
    """Return where the small bowel may lie."""
    box = Box.around(*cavity.corners, spacing=2 * SPACING)
    field = cavity.function(box)
    for solid in solids:
        np.maximum(field, -np.minimum(solid.function(box), FAR), out=field)
    _, y, z = box.axes
    np.maximum(field, y - np.float32(0.010 * body.scale[1]), out=field)
    np.maximum(field, z - np.float32(0.034 * body.scale[2]), out=field)
    return Room(box, field)


def _fat(rng: np.random.Generator, body: Body, solids: Sequence[Solid]) -> list[Solid]:
    """Lay mesentery and omentum over the bowel."""
    names = ("stomach", "colon", "duodenum", "pancreas", "small_bowel")
    below = [solid for solid in solids if solid.name in names]
    box = Box.around(np.array([-0.138, -0.090, -0.185]) * body.scale, np.array([0.138, 0.060, 0.112]) * body.scale)
    bed = np.float64(-0.062 * body.scale[1])
    stomach = next(solid for solid in solids if solid.name == "stomach")
    under = mesentery(body, box, heights(box, [solid for solid in below if solid.name != "stomach"], bed), 0.008)
    apron = omentum(rng, body, box, heights(box, below, bed), heights(box, [stomach], bed))
    return [under.solid("mesentery", "mesentery"), apron.solid("omentum", "omentum")]


def _lift(body: Body, cavity: Cavity, solids: Sequence[Solid]) -> float:
    """Find how far the wall is lifted by the volume of gas that was drawn."""
    box = Box.around(*replace(cavity, lift=LIFTS[1]).corners, spacing=2 * SPACING)
    filled = np.zeros(box.shape, bool)
    for solid in solids:
        if solid.nodes is None:
            filled |= solid.function(box) < 0
            continue
        inner = solid.nodes
        i, j, k = np.nonzero(solid.function(inner) < 0)
        at = np.rint((np.stack([i, j, k], axis=1) + inner.low) * inner.spacing / box.spacing).astype(int) - box.low
        at = at[((at >= 0) & (at < box.shape)).all(axis=1)]
        filled[tuple(at.T)] = True
    low, high = LIFTS
    for _ in range(7):
        middle = (low + high) / 2
        free = (replace(cavity, lift=middle).function(box) < 0) & ~filled
        low, high = (middle, high) if free.sum() * box.spacing**3 < body.volumes["gas"] else (low, middle)
    return (low + high) / 2


def mesh_anatomy(anatomy: Anatomy) -> dict[str, Mesh]:
    """Mesh wall and organs; each gives way to all before it, those behind the peritoneum to the cavity."""
    wall = anatomy.cavity.solid()
    surfaces = {"abdominal_wall": surface(wall.box, wall.function(wall.box))}
    for index, solid in enumerate(anatomy.solids):
        field = competed(solid, anatomy.cavity.function, anatomy.solids[:index])
        surfaces[solid.name] = surface(solid.box, field)
    behind = anatomy.cavity.behind()
    for index, solid in enumerate(behind):
        surfaces[solid.name] = surface(solid.box, competed(solid, None, [wall, *behind[:index]]))
    return {name: thinned(mesh, KEPT.get(name, 0.6)) for name, mesh in surfaces.items()}


def patient_of(seed: int, anatomy: Anatomy, surfaces: Mapping[str, Mesh]) -> Patient:
    """Put ports, landmarks, centrelines and segments to the surfaces of an anatomy."""
    tumour = "tumour" in surfaces
    rng = np.random.default_rng([seed, 2])
    ports = draw_ports(rng, anatomy.body, surfaces["abdominal_wall"])
    marks = dict(anatomy.biliary.landmarks)
    marks["vena_cava"] = anatomy.vessels.veins[0].points[0].copy()
    marks["umbilical_fissure"] = anatomy.liver.place(FISSURE)[0]
    marks["umbilicus"] = ports[0].centre.copy()
    lines = [laparoscope(ports, marks, surfaces)]
    branches = [*anatomy.vessels.portal, *anatomy.vessels.fine]
    branches += [seen(vein, anatomy.cavity) for vein in anatomy.vessels.veins]
    lines += [Centreline(branch.name, branch.points, branch.radii) for branch in branches]
    solids = {solid.name: solid for solid in (anatomy.cavity.solid(), *anatomy.solids, *anatomy.cavity.behind())}
    volumes = {name: check_mesh(mesh).volume for name, mesh in surfaces.items()}
    patient = Patient(
        name=f"abdomen_{seed:04d}" + ("_tumour" if tumour else ""),
        source=f"synth:abdomen:{seed}",
        licence="Apache-2.0",
        organs=tuple(_organ(solids[name], mesh, volumes[name]) for name, mesh in surfaces.items()),
        centrelines=tuple(lines),
        landmarks=marks,
        orifices=ports,
        provenance={
            "anatomy": "abdomen",
            "seed": seed,
            "tumour": tumour,
            "sex": anatomy.body.sex,
            "scale": [float(s) for s in anatomy.body.scale],
            "lift": anatomy.cavity.lift,
            "small_bowel_length": anatomy.bowel_length,
        },
    )
    return _with_segments(patient, anatomy)


def _organ(solid: Solid, mesh: Mesh, volume: float) -> Organ:
    attributes = {"volume_ml": round(volume * 1e6, 2)} | ({"within": list(solid.within)} if solid.within else {})
    kind: Kind = "lumen" if solid.name == "abdominal_wall" else "solid"
    return Organ(solid.name, solid.label, kind, solid.material, mesh, attributes)


def _with_segments(patient: Patient, anatomy: Anatomy) -> Patient:
    """Write into the liver how it is parted, how large the segments are, and where their middles lie."""
    segments = segments_of(patient)
    box = Box.around(*anatomy.liver.corners, spacing=2 * SPACING)
    points: Array = box.points(np.maximum(anatomy.liver.function(box), anatomy.cavity.function(box)) < 0)
    share = {str(n): round(x, 4) for n, x in shares(segments, points).items()}
    marks = {f"liver_segment_{n}": point for n, point in centres(segments, points).items()}
    found = {"couinaud": {"method": segments.method, "approximate": segments.approximate, "shares": share}}
    organs = tuple(
        replace(organ, attributes=organ.attributes | found) if organ.name == "liver" else organ
        for organ in patient.organs
    )
    return replace(patient, organs=organs, landmarks=patient.landmarks | marks)
