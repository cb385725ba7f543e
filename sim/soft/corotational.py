"""Corotational linear elasticity: Hooke's law in the frame that turns with each element.

Energy a volume: mu |F - R|^2 + lambda / 2 (tr(R^T F) - 3)^2, with R the rotation nearest to F; its gradient is exact
without the derivative of R (Müller and Gross, Interactive Virtual Materials, Graphics Interface 2004; McAdams et al.,
ACM Transactions on Graphics 30(4), 2011, doi:10.1145/2010324.1964932). The stiffness leaves out the turning of R, so
that it is never indefinite. The lambda term acts on the mean of a domain, see `sim.soft.pattern`.
"""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, valid-type, var-annotated, misc"
# (Warp's stubs give generic vectors no operators.)

import warp as wp

from sim.soft.inversion_guard import guard_energy, guard_pressure, guard_stiffness
from sim.soft.precision import Mat33, Real, Vec3
from sim.soft.rotation import cofactor, rotation


@wp.func
def deformation(x: wp.array[Vec3], tets: wp.array2d[wp.int32], rest_inverse: wp.array[Mat33], e: wp.int32) -> Mat33:
    """Return the deformation gradient F of an element."""
    x0 = x[tets[e, 0]]
    edges = wp.matrix_from_cols(x[tets[e, 1]] - x0, x[tets[e, 2]] - x0, x[tets[e, 3]] - x0)
    return edges * rest_inverse[e]


@wp.func
def shape_gradient(rest_inverse: Mat33, corner: wp.int32) -> Vec3:
    """Return the gradient of a corner's shape function at rest [1/m]."""
    result = -(rest_inverse[0] + rest_inverse[1] + rest_inverse[2])
    if corner > 0:
        result = rest_inverse[corner - 1]
    return result


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
    quarter = wp.ddot(r, f) * volume[e] * Real(0.25)
    for i in range(4):
        d = domain[e, i]
        wp.atomic_add(dilatation, d, quarter / domain_volume[d])
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
    inverse = rest_inverse[e]
    f = deformation(x, tets, rest_inverse, e)
    r = direction[e]
    p = Real(0.25) * (
        pressure[domain[e, 0]] + pressure[domain[e, 1]] + pressure[domain[e, 2]] + pressure[domain[e, 3]]
    )
    guard = guard_pressure(wp.determinant(f), shear[e])
    piola = volume[e] * (Real(2.0) * shear[e] * (f - r) + p * r + guard * cofactor(f))
    for i in range(4):
        wp.atomic_add(gradient, tets[e, i], piola * shape_gradient(inverse, i))


@wp.kernel(enable_backward=False)
def stiffness(
    x: wp.array[Vec3],
    tets: wp.array2d[wp.int32],
    rest_inverse: wp.array[Mat33],
    volume: wp.array[Real],
    shear: wp.array[Real],
    direction: wp.array[Mat33],
    element_blocks: wp.array2d[wp.int32],
    blocks: wp.array[Mat33],
) -> None:
    """Add the stiffness against shear: 2 mu |sym(R^T dF)|^2 a volume; and that of the guard.

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
def dilatation_rows(
    rest_inverse: wp.array[Mat33],
    volume: wp.array[Real],
    domain: wp.array2d[wp.int32],
    domain_volume: wp.array[Real],
    domain_lame: wp.array[Real],
    direction: wp.array[Mat33],
    element_b: wp.array2d[wp.int32],
    b: wp.array[Vec3],
) -> None:
    """Add the rows of B: the derivative of each domain's dilatation by the nodes, times sqrt(lambda volume).

    Args:
        rest_inverse: Inverse of the edges at rest [1/m].
        volume: Of the elements at rest [m^3].
        domain: Of each quarter of an element.
        domain_volume: [m^3]
        domain_lame: Lamé's first parameter [Pa].
        direction: Derivative of each element's dilatation by F.
        element_b: Entry of B for (quarter, corner) of each element.
        b: [sqrt(N/m)]; added to.
    """
    e = wp.tid()
    inverse = rest_inverse[e]
    g = direction[e]
    for j in range(4):
        towards = (Real(0.25) * volume[e]) * (g * shape_gradient(inverse, j))
        for i in range(4):
            d = domain[e, i]
            wp.atomic_add(b, element_b[e, 4 * i + j], wp.sqrt(domain_lame[d] / domain_volume[d]) * towards)


@wp.kernel(enable_backward=False)
def domain_pressure(
    dilatation: wp.array[Real],
    at_rest: wp.array[Real],
    domain_lame: wp.array[Real],
    domain_volume: wp.array[Real],
    pressure: wp.array[Real],
    energy: wp.array[Real],
) -> None:
    """Turn dilatation into pressure, and add its energy.

    Args:
        dilatation: Of the domains.
        at_rest: What it is where the volumetric energy is 0.
        domain_lame: Lamé's first parameter [Pa].
        domain_volume: [m^3]
        pressure: Positive in tension [Pa]; written.
        energy: [J]; added to.
    """
    d = wp.tid()
    change = dilatation[d] - at_rest[d]
    pressure[d] = domain_lame[d] * change
    wp.atomic_add(energy, 0, Real(0.5) * domain_volume[d] * domain_lame[d] * change * change)
