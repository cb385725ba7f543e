"""The second derivative of an isotropic energy in the frame of the singular values of F.

There it falls into one 3 x 3 block (scaling) and, for each pair of axes, a twist and a flip with known eigenvalues
(Smith, de Goes and Kim, Analytic Eigensystems for Isotropic Distortion Energies, ACM Transactions on Graphics 38(1),
2019, doi:10.1145/3241041), so that negative ones are found, and set to zero where that is wanted.
"""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, valid-type, var-annotated, misc"
# (Warp's stubs give generic vectors no operators.)

import warp as wp

from sim.soft.element import shape_gradient
from sim.soft.precision import Mat33, Real, Vec3
from sim.soft.rotation import eigenvectors, rotation


@wp.struct
class Frame:
    """F = left diag(stretch) right^T with two rotations; the smallest stretch is negative where F is inverted."""

    left: Mat33
    right: Mat33
    stretch: Vec3


@wp.func
def singular_frame(f: Mat33) -> Frame:
    """Return the frame of F."""
    result = Frame()
    r = rotation(f)
    symmetric = wp.transpose(r) * f
    result.right = eigenvectors(Real(0.5) * (symmetric + wp.transpose(symmetric)))
    result.left = r * result.right
    result.stretch = wp.get_diag(wp.transpose(result.left) * f * result.right)
    return result


@wp.func
def volume_curvature(pressure: Real, stretch: Vec3) -> Mat33:
    """Return a pressure times the second derivatives of the volume ratio by the stretches."""
    s = pressure * stretch
    zero = Real(0.0)
    return Mat33(zero, s[2], s[1], s[2], zero, s[0], s[1], s[0], zero)


@wp.func
def positive_part(symmetric: Mat33) -> Mat33:
    """Set the negative eigenvalues of a symmetric matrix to zero."""
    v = eigenvectors(symmetric)
    values = wp.get_diag(wp.transpose(v) * symmetric * v)
    return v * wp.diag(wp.max(values, Vec3())) * wp.transpose(v)


@wp.func
def add_blocks(
    frame: Frame,
    scaling: Mat33,
    twist: Vec3,
    flip: Vec3,
    positive: wp.bool,
    rest_inverse: Mat33,
    volume: Real,
    element_blocks: wp.array2d[wp.int32],
    e: wp.int32,
    blocks: wp.array[Mat33],
) -> None:
    """Add an element's stiffness.

    Args:
        frame: Of its F.
        scaling: Second derivatives by the stretches [Pa].
        twist: Eigenvalue for the rotation about each axis [Pa].
        flip: Eigenvalue for the shear about each axis [Pa].
        positive: Set negative eigenvalues to zero.
        rest_inverse: Inverse of the edges at rest [1/m].
        volume: At rest [m^3].
        element_blocks: Block of each pair of the element's corners.
        e: The element.
        blocks: Of the stiffness matrix [N/m]; added to.
    """
    if positive:
        twist = wp.max(twist, Vec3())
        flip = wp.max(flip, Vec3())
        scaling = positive_part(scaling)
    even = Real(0.5) * (twist + flip)
    odd = Real(0.5) * (flip - twist)
    # For displacements along the left vectors, the block of corners with gradients a and b along the right ones has
    # scaling[p, q] a[p] b[q] + odd[axis of p, q] b[p] a[q], and on the diagonal even[axis of p, r] a[r] b[r].
    mixed = Mat33(Real(0.0), odd[2], odd[1], odd[2], Real(0.0), odd[0], odd[1], odd[0], Real(0.0))
    for i in range(4):
        a = wp.transpose(frame.right) * shape_gradient(rest_inverse, i)
        for j in range(i + 1):
            b = wp.transpose(frame.right) * shape_gradient(rest_inverse, j)
            c = wp.cw_mul(a, b)
            local = wp.cw_mul(scaling, wp.outer(a, b)) + wp.cw_mul(mixed, wp.outer(b, a))
            local += wp.diag(
                Vec3(even[2] * c[1] + even[1] * c[2], even[2] * c[0] + even[0] * c[2], even[1] * c[0] + even[0] * c[1])
            )
            block = volume * (frame.left * local * wp.transpose(frame.left))
            wp.atomic_add(blocks, element_blocks[e, 4 * i + j], block)
            if i != j:
                wp.atomic_add(blocks, element_blocks[e, 4 * j + i], wp.transpose(block))
