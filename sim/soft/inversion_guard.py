"""A stiffening of crushed elements, so that a hard push does not turn them inside out.

Below half of its volume at rest an element resists with a pressure of its own, a parabola over the volume ratio that is
0 at a half and at 0 and greatest between. Where no element is crushed the guard does nothing, so no result changes. It
ends at 0, since inverted elements that press outwards lock each other, and a scrambled mesh would not find its shape
again. Half and the height are chosen: a tool the size of an element then crushes it instead of passing through.
"""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, valid-type, var-annotated, misc"
# (Warp's stubs give generic vectors no operators.)

import warp as wp

from sim.soft.precision import Real

CRUSHED = wp.constant(Real(0.5))
"""Volume ratio below which the guard acts."""
HEIGHT = wp.constant(Real(20.0))
"""Greatest pressure, over the shear modulus."""


@wp.func
def guard_energy(jacobian: Real, shear: Real) -> Real:
    """Return the energy a volume [Pa], the integral of the pressure."""
    ratio = wp.clamp(jacobian / CRUSHED, Real(0.0), Real(1.0))
    shape = Real(2.0) - ratio * ratio * (Real(6.0) - Real(4.0) * ratio)
    return HEIGHT * shear * CRUSHED * shape / Real(3.0)


@wp.func
def guard_pressure(jacobian: Real, shear: Real) -> Real:
    """Return the derivative by the volume ratio [Pa], at most 0."""
    ratio = wp.clamp(jacobian / CRUSHED, Real(0.0), Real(1.0))
    return -Real(4.0) * HEIGHT * shear * ratio * (Real(1.0) - ratio)


@wp.func
def guard_stiffness(jacobian: Real, shear: Real) -> Real:
    """Return the second derivative by the volume ratio [Pa]; negative where the element has all but given way."""
    ratio = jacobian / CRUSHED
    inside = ratio > Real(0.0) and ratio < Real(1.0)
    return wp.where(inside, Real(4.0) * HEIGHT * shear * (Real(2.0) * ratio - Real(1.0)) / CRUSHED, Real(0.0))
