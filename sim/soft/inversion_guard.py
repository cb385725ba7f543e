"""A stiffening of crushed elements, so that a hard push does not turn them inside out.

Below half of its volume at rest an element resists with an energy of its own, quadratic in what is missing; above it
the guard does nothing, so that no result changes in which no element is crushed. It is finite for inverted elements too
and pushes them back. Half and the stiffness are chosen: a tool smaller than an element then crushes it to some 0.1 of its
volume instead of through itself.
"""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, valid-type, var-annotated, misc"
# (Warp's stubs give generic vectors no operators.)

import warp as wp

from sim.soft.precision import Real

CRUSHED = wp.constant(Real(0.5))
"""Volume ratio below which the guard acts."""
STIFFNESS = wp.constant(Real(80.0))
"""Second derivative of the energy by the volume ratio, over the shear modulus."""


@wp.func
def guard_energy(jacobian: Real, shear: Real) -> Real:
    """Return the energy a volume [Pa]."""
    missing = wp.max(CRUSHED - jacobian, Real(0.0))
    return Real(0.5) * STIFFNESS * shear * missing * missing


@wp.func
def guard_pressure(jacobian: Real, shear: Real) -> Real:
    """Return the derivative by the volume ratio [Pa], at most 0."""
    return -STIFFNESS * shear * wp.max(CRUSHED - jacobian, Real(0.0))


@wp.func
def guard_stiffness(jacobian: Real, shear: Real) -> Real:
    """Return the second derivative by the volume ratio [Pa]."""
    return wp.where(jacobian < CRUSHED, STIFFNESS * shear, Real(0.0))
