"""Stable Neo-Hookean elasticity, with its stiffness made positive element by element.

Smith, de Goes and Kim, Stable Neo-Hookean Flesh Simulation, ACM Transactions on Graphics 37(2), 2018,
doi:10.1145/3180491. Energy a volume: m / 2 (I - 3) + l / 2 (J - alpha)^2 - m / 2 log(I + 1), with I = |F|^2 and
J = det F; alpha makes the rest state free of stress. To give Lamé's mu and lambda in small strains, m is 4/3 mu and l
is lambda + 5/6 mu. The volumetric term is the same, but for a constant, as lambda / 2 (J - 1)^2 + 5/16 m (J - 2.2)^2.
The first of these acts on the mean of a domain (see `sim.soft.pattern`), as with the corotational law; the second stays
with the element, and keeps it from inverting where its domain is sound.
"""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, valid-type, var-annotated, misc"
# (Warp's stubs give generic vectors no operators.)

import warp as wp

from sim.soft.element import add_corner_forces, add_dilatation, deformation, domain_mean
from sim.soft.inversion_guard import guard_energy, guard_pressure, guard_stiffness
from sim.soft.precision import Mat33, Real, Vec3
from sim.soft.rotation import cofactor
from sim.soft.singular_frame import add_blocks, singular_frame, volume_curvature

BULK = wp.constant(Real(5.0 / 8.0))
"""The element's part of the volumetric stiffness, over m."""
BULK_REST = wp.constant(Real(2.2))
"""J at which its energy is 0; its pressure at rest, -3/4 m, balances that of the other terms."""


@wp.kernel(enable_backward=False)
def strain(
    x: wp.array[Vec3],
    tets: wp.array2d[wp.int32],
    rest_inverse: wp.array[Mat33],
    volume: wp.array[Real],
    shear: wp.array[Real],
    domain: wp.array2d[wp.int32],
    domain_volume: wp.array[Real],
    direction: wp.array[Mat33],
    dilatation: wp.array[Real],
    jacobian: wp.array[Real],
    energy: wp.array[Real],
) -> None:
    """Add up the mean of J in each domain and the energy of shear, 0 at rest.

    Args:
        x: Nodes [m].
        tets: Corners of the elements.
        rest_inverse: Inverse of the edges at rest [1/m].
        volume: Of the elements at rest [m^3].
        shear: m of the elements [Pa].
        domain: Of each quarter of an element.
        domain_volume: [m^3]
        direction: Derivative of J by F of each element; written.
        dilatation: Mean of J in each domain; added to.
        jacobian: J; written.
        energy: [J]; added to.
    """
    e = wp.tid()
    f = deformation(x, tets, rest_inverse, e)
    direction[e] = cofactor(f)
    j = wp.determinant(f)
    jacobian[e] = j
    add_dilatation(j, volume[e], domain, domain_volume, e, dilatation)
    square = wp.ddot(f, f)
    density = square - Real(3.0) - wp.log((square + Real(1.0)) / Real(4.0))
    density += BULK * ((j - BULK_REST) * (j - BULK_REST) - (Real(1.0) - BULK_REST) * (Real(1.0) - BULK_REST))
    wp.atomic_add(energy, 0, volume[e] * (Real(0.5) * shear[e] * density + guard_energy(j, shear[e])))


@wp.kernel(enable_backward=False)
def stress(
    x: wp.array[Vec3],
    tets: wp.array2d[wp.int32],
    rest_inverse: wp.array[Mat33],
    volume: wp.array[Real],
    shear: wp.array[Real],
    domain: wp.array2d[wp.int32],
    pressure: wp.array[Real],
    direction: wp.array[Mat33],
    gradient: wp.array[Vec3],
) -> None:
    """Add the derivative of the elastic energy by the nodes [N].

    Args:
        x: Nodes [m].
        tets: Corners of the elements.
        rest_inverse: Inverse of the edges at rest [1/m].
        volume: Of the elements at rest [m^3].
        shear: m of the elements [Pa].
        domain: Of each quarter of an element.
        pressure: lambda (J - 1) of the domains [Pa].
        direction: Derivative of J by F of each element.
        gradient: [N]; added to.
    """
    e = wp.tid()
    f = deformation(x, tets, rest_inverse, e)
    p = domain_mean(pressure, domain, e)
    j = wp.determinant(f)
    p += BULK * shear[e] * (j - BULK_REST) + guard_pressure(j, shear[e])
    stiff = shear[e] * (Real(1.0) - Real(1.0) / (wp.ddot(f, f) + Real(1.0)))
    piola = volume[e] * (stiff * f + p * direction[e])
    add_corner_forces(piola, rest_inverse[e], tets, e, gradient)


@wp.kernel(enable_backward=False)
def stiffness(
    x: wp.array[Vec3],
    tets: wp.array2d[wp.int32],
    rest_inverse: wp.array[Mat33],
    volume: wp.array[Real],
    shear: wp.array[Real],
    domain: wp.array2d[wp.int32],
    pressure: wp.array[Real],
    projected: wp.array[wp.int32],
    element_blocks: wp.array2d[wp.int32],
    blocks: wp.array[Mat33],
) -> None:
    """Add the second derivative of the energy at fixed pressure.

    Args:
        x: Nodes [m].
        tets: Corners of the elements.
        rest_inverse: Inverse of the edges at rest [1/m].
        volume: Of the elements at rest [m^3].
        shear: m of the elements [Pa].
        domain: Of each quarter of an element.
        pressure: lambda (J - 1) of the domains [Pa].
        projected: 1 to leave out the negative part.
        element_blocks: Block of each pair of an element's corners.
        blocks: Of the stiffness matrix [N/m]; added to.
    """
    e = wp.tid()
    f = deformation(x, tets, rest_inverse, e)
    frame = singular_frame(f)
    s = frame.stretch
    areas = Vec3(s[1] * s[2], s[2] * s[0], s[0] * s[1])
    j = s[0] * areas[0]
    p = domain_mean(pressure, domain, e) + BULK * shear[e] * (j - BULK_REST) + guard_pressure(j, shear[e])
    above = wp.ddot(f, f) + Real(1.0)
    stiff = shear[e] * (Real(1.0) - Real(1.0) / above)
    scaling = Real(2.0) * shear[e] / (above * above) * wp.outer(s, s)
    scaling += (BULK * shear[e] + guard_stiffness(j, shear[e])) * wp.outer(areas, areas)
    scaling += volume_curvature(p, s) + stiff * wp.identity(n=3, dtype=Real)
    same = Vec3(stiff, stiff, stiff)
    add_blocks(
        frame,
        scaling,
        same + p * s,
        same - p * s,
        projected[0] == 1,
        rest_inverse[e],
        volume[e],
        element_blocks,
        e,
        blocks,
    )
