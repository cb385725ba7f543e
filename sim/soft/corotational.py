"""Corotational linear elasticity: Hooke's law in the frame that turns with each element.

Energy a volume: mu |F - R|^2 + lambda / 2 (tr(R^T F) - 3)^2, with R the rotation nearest to F; its gradient is exact
without the derivative of R (Müller and Gross, Interactive Virtual Materials, Graphics Interface 2004; McAdams et al.,
ACM Transactions on Graphics 30(4), 2011, doi:10.1145/2010324.1964932). The stiffness leaves out the turning of R, so
that it is never indefinite. The lambda term acts on the mean of a domain, see `sim.soft.pattern`.
"""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, valid-type, var-annotated, misc"
# (Warp's stubs give generic vectors no operators.)

import warp as wp

from sim.soft.element import add_corner_forces, add_dilatation, deformation, domain_mean, shape_gradient
from sim.soft.inversion_guard import guard_energy, guard_pressure, guard_stiffness
from sim.soft.precision import Mat33, Real, Vec3
from sim.soft.rotation import cofactor, rotation
from sim.soft.singular_frame import add_blocks, singular_frame, volume_curvature


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
    """Turn the frames, and add up the dilatation of each domain and the energy of shear.

    Args:
        x: Nodes [m].
        tets: Corners of the elements.
        rest_inverse: Inverse of the edges at rest [1/m].
        volume: Of the elements at rest [m^3].
        shear: Modulus mu of the elements [Pa].
        domain: Of each quarter of an element.
        domain_volume: [m^3]
        direction: R of each element, the derivative of tr(R^T F) by F; written.
        dilatation: Mean of tr(R^T F) in each domain; added to.
        jacobian: det F; written.
        energy: [J]; added to.
    """
    e = wp.tid()
    f = deformation(x, tets, rest_inverse, e)
    r = rotation(f)
    direction[e] = r
    j = wp.determinant(f)
    jacobian[e] = j
    difference = f - r
    add_dilatation(wp.ddot(r, f), volume[e], domain, domain_volume, e, dilatation)
    density = shear[e] * wp.ddot(difference, difference) + guard_energy(j, shear[e])
    wp.atomic_add(energy, 0, volume[e] * density)


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
        shear: Modulus mu of the elements [Pa].
        domain: Of each quarter of an element.
        pressure: Of the domains, positive in tension [Pa].
        direction: R of each element.
        gradient: [N]; added to.
    """
    e = wp.tid()
    f = deformation(x, tets, rest_inverse, e)
    r = direction[e]
    p = domain_mean(pressure, domain, e)
    guard = guard_pressure(wp.determinant(f), shear[e])
    piola = volume[e] * (Real(2.0) * shear[e] * (f - r) + p * r + guard * cofactor(f))
    add_corner_forces(piola, rest_inverse[e], tets, e, gradient)


@wp.kernel(enable_backward=False)
def turning_stiffness(
    x: wp.array[Vec3],
    tets: wp.array2d[wp.int32],
    rest_inverse: wp.array[Mat33],
    volume: wp.array[Real],
    shear: wp.array[Real],
    direction: wp.array[Mat33],
    element_blocks: wp.array2d[wp.int32],
    blocks: wp.array[Mat33],
) -> None:
    """Add Hooke's stiffness in the frame R, 2 mu |sym(R^T dF)|^2 a volume, as if R stood still; and that of the guard.

    The best in small strains, quick, and never indefinite.

    Args:
        x: Nodes [m].
        tets: Corners of the elements.
        rest_inverse: Inverse of the edges at rest [1/m].
        volume: Of the elements at rest [m^3].
        shear: Modulus mu of the elements [Pa].
        direction: R of each element.
        element_blocks: Block of each pair of an element's corners.
        blocks: Of the stiffness matrix [N/m]; added to.
    """
    e = wp.tid()
    inverse = rest_inverse[e]
    r = direction[e]
    scale = volume[e] * shear[e]
    one = wp.identity(n=3, dtype=Real)
    f = deformation(x, tets, rest_inverse, e)
    guard = volume[e] * guard_stiffness(wp.determinant(f), shear[e])
    co = cofactor(f)
    for i in range(4):
        a = shape_gradient(inverse, i)
        turned_a = r * a
        for j in range(4):
            b = shape_gradient(inverse, j)
            block = scale * (wp.dot(a, b) * one + wp.outer(r * b, turned_a))
            if guard > Real(0.0):
                block += guard * wp.outer(co * a, co * b)
            wp.atomic_add(blocks, element_blocks[e, 4 * i + j], block)


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
    """Add the exact second derivative of the energy at fixed pressure.

    Args:
        x: Nodes [m].
        tets: Corners of the elements.
        rest_inverse: Inverse of the edges at rest [1/m].
        volume: Of the elements at rest [m^3].
        shear: Modulus mu of the elements [Pa].
        domain: Of each quarter of an element.
        pressure: Of the domains, positive in tension [Pa].
        projected: 1 to leave out the negative part.
        element_blocks: Block of each pair of an element's corners.
        blocks: Of the stiffness matrix [N/m]; added to.
    """
    e = wp.tid()
    frame = singular_frame(deformation(x, tets, rest_inverse, e))
    s = frame.stretch
    areas = Vec3(s[1] * s[2], s[2] * s[0], s[0] * s[1])
    j = s[0] * areas[0]
    crushed = guard_pressure(j, shear[e])
    hooke = Real(2.0) * shear[e]
    scaling = hooke * wp.identity(n=3, dtype=Real) + guard_stiffness(j, shear[e]) * wp.outer(areas, areas)
    scaling += volume_curvature(crushed, s)
    # A turn about an axis by w changes R by 2 w / (sum of the other two stretches), see Smith et al. 2019, section 5.
    sums = Vec3(s[1] + s[2], s[2] + s[0], s[0] + s[1])
    lift = Real(2.0) * (domain_mean(pressure, domain, e) - hooke)
    twist = crushed * s
    flip = -crushed * s
    for axis in range(3):
        twist[axis] = twist[axis] + hooke + lift / wp.max(sums[axis], Real(1.0e-3))
        flip[axis] = flip[axis] + hooke
    add_blocks(frame, scaling, twist, flip, projected[0] == 1, rest_inverse[e], volume[e], element_blocks, e, blocks)
