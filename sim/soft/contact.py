"""Contact of the tissue's surface with rigid capsules and spheres, by a penalty on their signed distance.

The pressure on the surface is the penalty's stiffness times the depth, integrated at three points a triangle (exact for
quadratics: Strang and Fix, An Analysis of the Finite Element Method, 1973, section 4.3), so that a tool between the
nodes is felt too. Friction is Coulomb's, with the normal force of the step before, and smooth where it sticks (Li et
al., Incremental Potential Contact, ACM Transactions on Graphics 39(4), 2020, doi:10.1145/3386569.3392425).
"""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, valid-type, var-annotated, misc"
# (Warp's stubs give generic vectors no operators.)

from dataclasses import dataclass

import numpy as np
import warp as wp

from assets.errors import InputError
from sim.soft.node_forces import ENERGY
from sim.soft.precision import Mat33, Real, Vec3

POINTS = 3
"""In a triangle."""


@dataclass(frozen=True)
class Capsule:
    """A rigid tool: everything within `radius` of the line from `first` to `second`; a sphere where they are equal."""

    first: tuple[float, float, float]
    """[m], world frame."""
    second: tuple[float, float, float]
    """[m], world frame."""
    radius: float
    """[m]"""
    friction: float = 0.0
    """Coulomb's coefficient against the tissue."""

    def __post_init__(self) -> None:
        if not (np.isfinite([*self.first, *self.second]).all() and 0 < self.radius < np.inf and self.friction >= 0):
            raise InputError(f"tool: expected finite ends, a radius above 0 and friction of at least 0, found {self}")


@wp.struct
class Tools:
    """Ends of the capsules before and after the step [m]; radius, 0 for none [m]; friction; what the tissue does back.

    `wrench` is force [N] and moment about the first end [N m]; `pressed` the force away from the tool at each point of
    the surface in the step before [N]; `pierced` 1 + an element in which the tool's axis is, 0 where it is in none.
    """

    first_before: wp.array[Vec3]
    second_before: wp.array[Vec3]
    first: wp.array[Vec3]
    second: wp.array[Vec3]
    radius: wp.array[Real]
    friction: wp.array[Real]
    wrench: wp.array2d[Real]
    pressed: wp.array2d[Vec3]
    pierced: wp.array[wp.int32]


@wp.struct
class Surface:
    """Triangles, their areas at rest [m^2], the blocks of their corner pairs; stiffness [Pa/m], stick length [m]."""

    triangles: wp.array2d[wp.int32]
    area: wp.array[Real]
    blocks: wp.array2d[wp.int32]
    stiffness: Real
    stick: Real


@wp.struct
class Touch:
    """A point of the surface at one tool: depth [m], normal to the tissue, motion past the tool in this step [m]."""

    depth: Real
    normal: Vec3
    moved: Vec3


@wp.func
def weight(point: wp.int32, corner: wp.int32) -> Real:
    """Return the share of a corner in an integration point."""
    return wp.where(point == corner, Real(4.0), Real(1.0)) / Real(6.0)


@wp.func
def touch(tools: Tools, tool: wp.int32, position: Vec3, moved: Vec3) -> Touch:
    """Measure a point at `position` that moved by `moved` in this step [m]."""
    axis = tools.second[tool] - tools.first[tool]
    along = wp.clamp(
        wp.dot(position - tools.first[tool], axis) / wp.max(wp.dot(axis, axis), Real(1.0e-18)), Real(0.0), Real(1.0)
    )
    away = position - (tools.first[tool] + along * axis)
    distance = wp.length(away)
    result = Touch()
    result.depth = tools.radius[tool] - distance
    if distance > Real(0.0):
        result.normal = away / distance
    carried = (Real(1.0) - along) * (tools.first[tool] - tools.first_before[tool]) + along * (
        tools.second[tool] - tools.second_before[tool]
    )
    result.moved = moved - carried
    return result


@wp.func
def friction_rate(length: Real, stick: Real) -> Real:
    """Return the share of full friction over the slide's length [1/m]."""
    result = Real(1.0) / wp.max(length, stick)
    if length < stick:
        result = (Real(2.0) - length / stick) / stick
    return result


@wp.kernel(enable_backward=False)
def add_forces(
    surface: Surface,
    tools: Tools,
    start: wp.array[Vec3],
    x: wp.array[Vec3],
    gradient: wp.array[Vec3],
    sums: wp.array[Real],
) -> None:
    """Add the derivative of the contact's potential by the nodes [N], its energy, and what the tools feel."""
    t = wp.tid()
    for tool in range(tools.radius.shape[0]):
        if tools.radius[tool] > Real(0.0):
            for point in range(POINTS):
                position = Vec3()
                before = Vec3()
                for corner in range(3):
                    node = surface.triangles[t, corner]
                    position += weight(point, corner) * x[node]
                    before += weight(point, corner) * start[node]
                found = touch(tools, tool, position, position - before)
                if found.depth > Real(0.0):
                    share = surface.area[t] * surface.stiffness / Real(3.0)
                    push = -share * found.depth * found.normal
                    energy = Real(0.5) * share * found.depth * found.depth
                    pressed = tools.pressed[POINTS * t + point, tool]
                    held = tools.friction[tool] * wp.length(pressed)
                    if held > Real(0.0):
                        n = wp.normalize(pressed)
                        slide = found.moved - wp.dot(found.moved, n) * n
                        length = wp.length(slide)
                        push += held * friction_rate(length, surface.stick) * slide
                        if length < surface.stick:
                            ratio = length / surface.stick
                            energy += held * length * ratio * (Real(1.0) - ratio / Real(3.0))
                        else:
                            energy += held * (length - surface.stick / Real(3.0))
                    for corner in range(3):
                        wp.atomic_add(gradient, surface.triangles[t, corner], weight(point, corner) * push)
                    wp.atomic_add(sums, ENERGY, energy)
                    moment = wp.cross(position - tools.first[tool], push)
                    for axis in range(3):
                        wp.atomic_add(tools.wrench, tool, axis, push[axis])
                        wp.atomic_add(tools.wrench, tool, 3 + axis, moment[axis])


@wp.kernel(enable_backward=False)
def add_stiffness(
    surface: Surface,
    tools: Tools,
    start: wp.array[Vec3],
    x: wp.array[Vec3],
    projected: wp.array[wp.int32],
    blocks: wp.array[Mat33],
) -> None:
    """Add the second derivatives by the nodes [N/m]; without their negative part if `projected` is 1."""
    t = wp.tid()
    one = wp.identity(n=3, dtype=Real)
    for tool in range(tools.radius.shape[0]):
        if tools.radius[tool] > Real(0.0):
            for point in range(POINTS):
                position = Vec3()
                before = Vec3()
                for corner in range(3):
                    node = surface.triangles[t, corner]
                    position += weight(point, corner) * x[node]
                    before += weight(point, corner) * start[node]
                found = touch(tools, tool, position, position - before)
                if found.depth > Real(0.0):
                    share = surface.area[t] * surface.stiffness / Real(3.0)
                    across = wp.outer(found.normal, found.normal)
                    block = share * across
                    if projected[0] == 0:  # the push turns as the tissue slides round the tool
                        block -= share * found.depth / (tools.radius[tool] - found.depth) * (one - across)
                    pressed = tools.pressed[POINTS * t + point, tool]
                    held = tools.friction[tool] * wp.length(pressed)
                    if held > Real(0.0):
                        n = wp.normalize(pressed)
                        slide = found.moved - wp.dot(found.moved, n) * n
                        length = wp.length(slide)
                        along = wp.normalize(slide)
                        rate = friction_rate(length, surface.stick)
                        easing = wp.min(length, surface.stick) / (surface.stick * surface.stick)
                        if length > surface.stick:
                            easing = rate
                        block += held * (rate * (one - wp.outer(n, n)) - easing * wp.outer(along, along))
                    for i in range(3):
                        for j in range(3):
                            wp.atomic_add(
                                blocks, surface.blocks[t, 3 * i + j], weight(point, i) * weight(point, j) * block
                            )


@wp.kernel(enable_backward=False)
def note_pressed(surface: Surface, tools: Tools, x: wp.array[Vec3]) -> None:
    """Write the force away from the tool at each point [N], for the friction of the next step."""
    t = wp.tid()
    for tool in range(tools.radius.shape[0]):
        for point in range(POINTS):
            force = Vec3()
            if tools.radius[tool] > Real(0.0):
                position = Vec3()
                for corner in range(3):
                    position += weight(point, corner) * x[surface.triangles[t, corner]]
                found = touch(tools, tool, position, Vec3())
                share = surface.area[t] * surface.stiffness / Real(3.0)
                force = share * wp.max(found.depth, Real(0.0)) * found.normal
            tools.pressed[POINTS * t + point, tool] = force


@wp.kernel(enable_backward=False)
def find_pierced(x: wp.array[Vec3], tets: wp.array2d[wp.int32], tools: Tools) -> None:
    """Note the tools whose axis is in an element: there the surface has jumped over them."""
    e = wp.tid()
    zero = Real(0.0)
    origin = x[tets[e, 0]]
    a = x[tets[e, 1]] - origin
    b = x[tets[e, 2]] - origin
    c = x[tets[e, 3]] - origin
    reach = wp.max(wp.max(wp.length(a), wp.length(b)), wp.length(c))
    volume = wp.dot(a, wp.cross(b, c))
    for tool in range(tools.radius.shape[0]):
        radius = tools.radius[tool]
        if radius > zero and volume > zero:
            axis = tools.second[tool] - tools.first[tool]
            along = wp.dot(origin - tools.first[tool], axis) / wp.max(wp.dot(axis, axis), Real(1.0e-18))
            nearest = tools.first[tool] + wp.clamp(along, zero, Real(1.0)) * axis
            if wp.length(nearest - origin) <= reach:
                # Points on the axis half a radius apart, as far as the element reaches.
                count = wp.min(wp.int32(wp.ceil(Real(4.0) * reach / radius)), 64)
                spacing = Real(2.0) * reach / Real(wp.max(count, 1))
                length = wp.max(wp.length(axis), Real(1.0e-9))
                for k in range(count + 1):
                    share = wp.clamp(along + (Real(k) * spacing - reach) / length, zero, Real(1.0))
                    p = tools.first[tool] + share * axis - origin
                    u = wp.dot(p, wp.cross(b, c))
                    v = wp.dot(a, wp.cross(p, c))
                    w = wp.dot(a, wp.cross(b, p))
                    if u >= zero and v >= zero and w >= zero and u + v + w <= volume:
                        wp.atomic_max(tools.pierced, tool, e + 1)
