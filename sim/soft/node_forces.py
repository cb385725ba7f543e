"""What acts on single nodes: inertia, gravity, drag, external forces, and springs to points outside of the tissue.

Each has a potential, so that a step of implicit Euler is the lowest point of their sum with the elastic energy
(Martin et al., ACM Transactions on Graphics 30(4), 2011, doi:10.1145/2010324.1964967).
"""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, valid-type, var-annotated, misc"
# (Warp's stubs give generic vectors no operators.)

import warp as wp

from sim.soft.precision import Mat33, Real, Vec3

ENERGY, RESIDUAL, SCALE, SLOPE, LONGEST = 0, 1, 2, 3, 4
"""Places in the array of sums: potential [J], squared norms of the residual and of the forces in it [N^2]; of a
direction, its slope [J] and the longest move of a node in it [m]."""

RATE, DRAG, GRAVITY = 0, 1, 2
"""Places in the array `step`: 1 / h [1/s], 0 for equilibrium; drag [1/s]; gravity [m/s^2], three numbers."""


@wp.struct
class Nodes:
    """Per node: mass [kg], state at the start of the step, loads, and two springs [N/m].

    `ground` is a spring without limit (a ligament, a foundation); `hold` is a grasper's, whose force never exceeds
    `hold_limit` [N]. `free` is 0 for components whose place is prescribed, else 1.
    """

    mass: wp.array[Real]
    start: wp.array[Vec3]
    velocity: wp.array[Vec3]
    load: wp.array[Vec3]
    ground: wp.array[Real]
    ground_anchor: wp.array[Vec3]
    hold: wp.array[Real]
    hold_limit: wp.array[Real]
    hold_anchor: wp.array[Vec3]
    free: wp.array[Vec3]


@wp.kernel(enable_backward=False)
def add_forces(
    step: wp.array[Real], nodes: Nodes, x: wp.array[Vec3], gradient: wp.array[Vec3], sums: wp.array[Real]
) -> None:
    """Add the derivative of the potentials [N], and take the norms; the elastic part must be there already.

    Args:
        step: See the constants of this module.
        nodes: Constants of the nodes.
        x: Where they are [m].
        gradient: [N]; added to.
        sums: See the constants of this module; added to.
    """
    i = wp.tid()
    half = Real(0.5)
    rate = step[RATE]
    gravity = Vec3(step[GRAVITY], step[GRAVITY + 1], step[GRAVITY + 2])
    elastic = gradient[i]
    moved = x[i] - nodes.start[i]
    ahead = moved * rate - nodes.velocity[i]
    weight = nodes.mass[i] * gravity
    pushed = nodes.mass[i] * rate * ahead
    total = elastic + pushed - weight - nodes.load[i] + nodes.mass[i] * step[DRAG] * rate * moved
    energy = half * nodes.mass[i] * (wp.dot(ahead, ahead) + step[DRAG] * rate * wp.dot(moved, moved))
    energy -= wp.dot(weight + nodes.load[i], x[i])
    if nodes.ground[i] > Real(0.0):
        away = x[i] - nodes.ground_anchor[i]
        total += nodes.ground[i] * away
        energy += half * nodes.ground[i] * wp.dot(away, away)
    if nodes.hold[i] > Real(0.0):
        away = x[i] - nodes.hold_anchor[i]
        length = wp.length(away)
        limit = nodes.hold_limit[i]
        if nodes.hold[i] * length <= limit:
            total += nodes.hold[i] * away
            energy += half * nodes.hold[i] * length * length
        else:
            total += (limit / length) * away
            energy += limit * (length - half * limit / nodes.hold[i])
    gradient[i] = total
    wp.atomic_add(sums, ENERGY, energy)
    inert = nodes.mass[i] * rate * nodes.velocity[i]
    load = nodes.load[i]
    scale = wp.cw_mul(elastic, elastic) + wp.cw_mul(weight, weight) + wp.cw_mul(inert, inert) + wp.cw_mul(load, load)
    wp.atomic_add(sums, SCALE, wp.dot(nodes.free[i], scale))


@wp.kernel(enable_backward=False)
def add_stiffness(
    step: wp.array[Real], nodes: Nodes, x: wp.array[Vec3], diagonal: wp.array[wp.int32], blocks: wp.array[Mat33]
) -> None:
    """Add the second derivatives [N/m] to the nodes' own blocks."""
    i = wp.tid()
    rate = step[RATE]
    one = wp.identity(n=3, dtype=Real)
    block = (nodes.mass[i] * (rate * (rate + step[DRAG])) + nodes.ground[i]) * one
    if nodes.hold[i] > Real(0.0):
        away = x[i] - nodes.hold_anchor[i]
        length = wp.length(away)
        if nodes.hold[i] * length <= nodes.hold_limit[i]:
            block += nodes.hold[i] * one
        else:
            n = away / length
            block += (nodes.hold_limit[i] / length) * (one - wp.outer(n, n))
    blocks[diagonal[i]] += block


@wp.kernel(enable_backward=False)
def measure_residual(nodes: Nodes, gradient: wp.array[Vec3], sums: wp.array[Real]) -> None:
    """Add the squared norm of the gradient where nodes may move [N^2]."""
    i = wp.tid()
    wp.atomic_add(sums, RESIDUAL, wp.dot(nodes.free[i], wp.cw_mul(gradient[i], gradient[i])))


@wp.kernel(enable_backward=False)
def move(before: wp.array[Vec3], towards: wp.array[Vec3], share: wp.array[Real], x: wp.array[Vec3]) -> None:
    """Set x = before + share towards."""
    i = wp.tid()
    x[i] = before[i] + share[0] * towards[i]


@wp.kernel(enable_backward=False)
def measure_slope(gradient: wp.array[Vec3], towards: wp.array[Vec3], sums: wp.array[Real]) -> None:
    """Add the change of the potential along a direction [J], and find its longest move; held nodes stay."""
    i = wp.tid()
    wp.atomic_max(sums, LONGEST, wp.length(towards[i]))
    wp.atomic_add(sums, SLOPE, wp.dot(gradient[i], towards[i]))


@wp.kernel(enable_backward=False)
def predict(step: wp.array[Real], nodes: Nodes, target: wp.array[Vec3], x: wp.array[Vec3]) -> None:
    """Begin a step: what is free goes on as it went, the rest to where it is told."""
    i = wp.tid()
    nodes.start[i] = x[i]
    ahead = x[i]
    if step[RATE] > Real(0.0):
        ahead += nodes.velocity[i] / step[RATE]
    x[i] = target[i] + wp.cw_mul(nodes.free[i], ahead - target[i])


@wp.kernel(enable_backward=False)
def finish(step: wp.array[Real], nodes: Nodes, x: wp.array[Vec3]) -> None:
    """End a step: the velocity is what it covered over its time."""
    i = wp.tid()
    nodes.velocity[i] = (x[i] - nodes.start[i]) * step[RATE]
