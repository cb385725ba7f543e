"""Stable Neo-Hookean elasticity, with its stiffness made positive element by element.

Smith, de Goes and Kim, Stable Neo-Hookean Flesh Simulation, ACM Transactions on Graphics 37(2), 2018,
doi:10.1145/3180491. Energy a volume: m / 2 (I - 3) + l / 2 (J - alpha)^2 - m / 2 log(I + 1), with I = |F|^2 and
J = det F; alpha makes the rest state free of stress. To give Lamé's mu and lambda in small strains, m is 4/3 mu and l is
lambda + 5/6 mu. The volumetric term is the same, but for a constant, as lambda / 2 (J - 1)^2 + 5/16 m (J - 2.2)^2. The
first of these acts on the mean of a domain (see `sim.soft.pattern`), as with the corotational law; the second stays with
the element, and keeps it from inverting where its domain is sound.

In the frame of the singular values the second derivative falls into one 3 x 3 and three 2 x 2 blocks whose eigenvalues
are known (Smith, de Goes and Kim, Analytic Eigensystems for Isotropic Distortion Energies, ACM Transactions on Graphics
38(1), 2019, doi:10.1145/3241041); negative ones are set to zero.
"""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, valid-type, var-annotated, misc"
# (Warp's stubs give generic vectors no operators.)

import warp as wp

from sim.soft.corotational import deformation, shape_gradient
from sim.soft.inversion_guard import guard_energy, guard_pressure, guard_stiffness
from sim.soft.precision import Mat33, Real, Vec3
from sim.soft.rotation import cofactor, eigenvectors, rotation

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
    quarter = j * volume[e] * Real(0.25)
    for i in range(4):
        d = domain[e, i]
        wp.atomic_add(dilatation, d, quarter / domain_volume[d])
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
    inverse = rest_inverse[e]
    f = deformation(x, tets, rest_inverse, e)
    p = Real(0.25) * (
        pressure[domain[e, 0]] + pressure[domain[e, 1]] + pressure[domain[e, 2]] + pressure[domain[e, 3]]
    )
    j = wp.determinant(f)
    p += BULK * shear[e] * (j - BULK_REST) + guard_pressure(j, shear[e])
    stiff = shear[e] * (Real(1.0) - Real(1.0) / (wp.ddot(f, f) + Real(1.0)))
    piola = volume[e] * (stiff * f + p * direction[e])
    for i in range(4):
        wp.atomic_add(gradient, tets[e, i], piola * shape_gradient(inverse, i))


@wp.func
def positive_part(symmetric: Mat33) -> Mat33:
    """Set the negative eigenvalues of a symmetric matrix to zero."""
    v = eigenvectors(symmetric)
    values = wp.transpose(v) * symmetric * v
    kept = wp.diag(
        Vec3(
            wp.max(values[0, 0], Real(0.0)), wp.max(values[1, 1], Real(0.0)), wp.max(values[2, 2], Real(0.0))
        )
    )
    return v * kept * wp.transpose(v)


@wp.kernel(enable_backward=False)
def stiffness(
    x: wp.array[Vec3],
    tets: wp.array2d[wp.int32],
    rest_inverse: wp.array[Mat33],
    volume: wp.array[Real],
    shear: wp.array[Real],
    domain: wp.array2d[wp.int32],
    pressure: wp.array[Real],
    element_blocks: wp.array2d[wp.int32],
    blocks: wp.array[Mat33],
) -> None:
    """Add the second derivative of the energy at fixed pressure, without its negative part.

    Args:
        x: Nodes [m].
        tets: Corners of the elements.
        rest_inverse: Inverse of the edges at rest [1/m].
        volume: Of the elements at rest [m^3].
        shear: m of the elements [Pa].
        domain: Of each quarter of an element.
        pressure: lambda (J - 1) of the domains [Pa].
        element_blocks: Block of each pair of an element's corners.
        blocks: Of the stiffness matrix [N/m]; added to.
    """
    e = wp.tid()
    zero = Real(0.0)
    inverse = rest_inverse[e]
    f = deformation(x, tets, rest_inverse, e)
    r = rotation(f)
    stretch = wp.transpose(r) * f
    right = eigenvectors(Real(0.5) * (stretch + wp.transpose(stretch)))
    left = r * right
    s = wp.get_diag(wp.transpose(left) * f * right)
    p = Real(0.25) * (
        pressure[domain[e, 0]] + pressure[domain[e, 1]] + pressure[domain[e, 2]] + pressure[domain[e, 3]]
    )
    above = wp.ddot(f, f) + Real(1.0)
    stiff = shear[e] * (Real(1.0) - Real(1.0) / above)
    curve = Real(2.0) * shear[e] / (above * above)
    areas = Vec3(s[1] * s[2], s[2] * s[0], s[0] * s[1])
    j = s[0] * areas[0]
    p += BULK * shear[e] * (j - BULK_REST) + guard_pressure(j, shear[e])
    scaling = curve * wp.outer(s, s) + stiff * wp.identity(n=3, dtype=Real)
    scaling += (BULK * shear[e] + guard_stiffness(j, shear[e])) * wp.outer(areas, areas)
    even = Mat33()
    odd = Mat33()
    for k in range(3):
        i = (k + 1) % 3
        o = (k + 2) % 3
        scaling[i, o] = scaling[i, o] + p * s[k]
        scaling[o, i] = scaling[o, i] + p * s[k]
        twist = wp.max(stiff + p * s[k], zero)
        flip = wp.max(stiff - p * s[k], zero)
        even[i, o] = Real(0.5) * (twist + flip)
        even[o, i] = even[i, o]
        odd[i, o] = Real(0.5) * (flip - twist)
        odd[o, i] = odd[i, o]
    scaling = positive_part(scaling)
    for corner in range(4):
        a = wp.transpose(right) * shape_gradient(inverse, corner)
        for other in range(4):
            b = wp.transpose(right) * shape_gradient(inverse, other)
            # The block for displacements along the left singular vectors.
            local = wp.cw_mul(scaling, wp.outer(a, b)) + wp.cw_mul(odd, wp.outer(b, a))
            for i in range(3):
                for j in range(3):
                    local[i, i] = local[i, i] + even[i, j] * a[j] * b[j]
            block = volume[e] * (left * local * wp.transpose(left))
            wp.atomic_add(blocks, element_blocks[e, 4 * corner + other], block)
