"""What every law of elasticity shares: the deformation of an element, and the mean dilatation of domains."""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, valid-type, var-annotated, misc"
# (Warp's stubs give generic vectors no operators.)

import warp as wp

from sim.soft.precision import Mat33, Real, Vec3


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


@wp.func
def domain_mean(pressure: wp.array[Real], domain: wp.array2d[wp.int32], e: wp.int32) -> Real:
    """Return an element's pressure: the mean over the domains of its quarters [Pa]."""
    total = pressure[domain[e, 0]] + pressure[domain[e, 1]] + pressure[domain[e, 2]] + pressure[domain[e, 3]]
    return Real(0.25) * total


@wp.func
def add_dilatation(
    whole: Real,
    volume: Real,
    domain: wp.array2d[wp.int32],
    domain_volume: wp.array[Real],
    e: wp.int32,
    dilatation: wp.array[Real],
) -> None:
    """Add an element's dilatation to the means of the domains of its quarters."""
    quarter = whole * volume * Real(0.25)
    for i in range(4):
        d = domain[e, i]
        wp.atomic_add(dilatation, d, quarter / domain_volume[d])


@wp.func
def add_corner_forces(
    piola: Mat33, rest_inverse: Mat33, tets: wp.array2d[wp.int32], e: wp.int32, gradient: wp.array[Vec3]
) -> None:
    """Add to an element's corners the derivative of its energy [N], from that by F, times the volume [J]."""
    for i in range(4):
        wp.atomic_add(gradient, tets[e, i], piola * shape_gradient(rest_inverse, i))


@wp.kernel(enable_backward=False)
def dilatation_rows(
    rest_inverse: wp.array[Mat33],
    volume: wp.array[Real],
    domain: wp.array2d[wp.int32],
    domain_scale: wp.array[Real],
    direction: wp.array[Mat33],
    element_b: wp.array2d[wp.int32],
    b: wp.array[Vec3],
) -> None:
    """Add the rows of B: the derivative of each domain's dilatation by the nodes, times sqrt(lambda volume).

    Args:
        rest_inverse: Inverse of the edges at rest [1/m].
        volume: Of the elements at rest [m^3].
        domain: Of each quarter of an element.
        domain_scale: Square root of Lamé's first parameter over volume [sqrt(Pa/m^3)].
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
            wp.atomic_add(b, element_b[e, 4 * i + j], domain_scale[d] * towards)


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
