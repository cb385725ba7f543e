"""The rotation in a deformation, safe for inverted elements, and the eigenvectors of a symmetric matrix.

The rotation nearest to F is the derivative by F of the largest sum s of signed singular values, and s is the largest
root of a quartic in invariants of F (Horn, J. Opt. Soc. Am. A 4(4), 1987, doi:10.1364/JOSAA.4.000629; Lin, Chitalu and
Komura, ACM Transactions on Graphics 41(6), 2022, doi:10.1145/3550454.3555507). The root is a proper rotation whether or
not F is inverted: then the smallest singular value counts as negative, and the element turns back the shortest way.
"""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, valid-type, var-annotated, misc"
# (Warp's stubs give generic vectors no operators.)

import warp as wp

from sim.soft.precision import Mat33, Real, Vec3


@wp.func
def cofactor(f: Mat33) -> Mat33:
    """Return the derivative of det(F) by F."""
    a = Vec3(f[0, 0], f[1, 0], f[2, 0])
    b = Vec3(f[0, 1], f[1, 1], f[2, 1])
    c = Vec3(f[0, 2], f[1, 2], f[2, 2])
    return wp.matrix_from_cols(wp.cross(b, c), wp.cross(c, a), wp.cross(a, b))


@wp.func
def try_rotation(f: Mat33) -> Mat33:
    """Return the rotation nearest to F, or zeros where F does not tell it (two singular values cancel)."""
    square = wp.ddot(f, f)
    co = cofactor(f)
    determinant = wp.determinant(f)
    constant = square * square - Real(4.0) * wp.ddot(co, co)
    s = wp.sqrt(Real(3.0) * square)  # never below the root, and equal to it where F is a scaled rotation
    for _ in range(60):
        value = ((s * s - Real(2.0) * square) * s - Real(8.0) * determinant) * s + constant
        slope = Real(4.0) * (s * s - square) * s - Real(8.0) * determinant
        if slope <= Real(0.0):
            break
        move = value / slope
        s = s - move
        if wp.abs(move) <= Real(1.0e-12) * s:  # it converges quadratically: the next move would be rounding
            break
    below = (s * s - square) * s - Real(2.0) * determinant
    result = Mat33()
    if below > Real(1.0e-6) * s * s * s:
        result = ((s * s + square) * f + Real(2.0) * s * co - Real(2.0) * f * wp.transpose(f) * f) / below
    return result


@wp.func
def rotation(f: Mat33) -> Mat33:
    """Return the rotation nearest to F; where several are equally near, one of them, always the same."""
    found = try_rotation(f)
    if wp.ddot(found, found) == Real(0.0):
        # A nudge without symmetry decides between equals; 1e-3 keeps the quartic's root apart from its neighbour.
        size = wp.sqrt(wp.ddot(f, f)) * Real(1.0e-3)
        nudge = Mat33(
            Real(3.0), Real(0.3), Real(-0.2), Real(-0.1), Real(2.0), Real(0.5), Real(0.4), Real(-0.6), Real(1.0)
        )
        found = try_rotation(f + size * nudge)
        if wp.ddot(found, found) == Real(0.0):
            found = wp.identity(n=3, dtype=Real)
    return found


@wp.func
def eigenvectors(symmetric: Mat33) -> Mat33:
    """Return the eigenvectors of a symmetric matrix as columns of a rotation, by Jacobi's method.

    Golub and Van Loan, Matrix Computations, 4th edition, section 8.5.
    """
    a = Mat33(symmetric)
    v = wp.identity(n=3, dtype=Real)
    for _sweep in range(8):
        off = a[0, 1] * a[0, 1] + a[0, 2] * a[0, 2] + a[1, 2] * a[1, 2]
        if off <= Real(1.0e-32) * wp.ddot(a, a):
            break
        for pair in range(3):
            p = wp.where(pair == 2, 1, 0)
            q = wp.where(pair == 0, 1, 2)
            if a[p, q] != Real(0.0):
                tau = (a[q, q] - a[p, p]) / (Real(2.0) * a[p, q])
                t = wp.where(tau >= Real(0.0), Real(1.0), Real(-1.0)) / (wp.abs(tau) + wp.sqrt(Real(1.0) + tau * tau))
                c = Real(1.0) / wp.sqrt(Real(1.0) + t * t)
                s = t * c
                turn = wp.identity(n=3, dtype=Real)
                turn[p, p] = c
                turn[q, q] = c
                turn[p, q] = s
                turn[q, p] = -s
                a = wp.transpose(turn) * a * turn
                v = v * turn
    return v
