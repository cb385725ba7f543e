"""The forces of the elastic rod and their stiffness: bending, stretch, drag, wall contact with friction, the hand.

Each adds to the right-hand side `force` and to the blocks of a symmetric block pentadiagonal matrix: `diagonal`, and
`upper` and `second` for the coupling with the next node and the one after.
"""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, attr-defined, var-annotated"
# (Warp's stubs give the double precision vectors no operators.)

import warp as wp

from sim.wall_kernels import rough_distance, smooth_distance

SAMPLES = 4
"""Places on each segment, its first node among them, at which the wall is felt. A row of balls is no smooth shaft: the
edge of a fold catches between two of them. With two places on 10 mm the notch is 0.5 mm deep and its flank stands at 21
degrees, as if friction were 0.4 more; with four it is 0.1 mm, less than the depth over which contact sets in."""

SAMPLE_STEP = wp.constant(wp.float64(1.0 / SAMPLES))


@wp.struct
class Rod:
    """Constants of a rod and of its drive.

    `stick_length` [m] is the slide within a substep from which friction acts in full; `nose` [m] is the length ahead of
    the first node; `entrance`, `axis` and `across` are the orifice's centre, the unit vector inwards, and x of the
    material frame there when the roll is 0; drags are in N/m over a substep; the wires bend nodes `bend_first` to
    `bend_last`; a Newton step moves no node farther than `longest_move` [m], and below `tolerance` [m] it was the last.
    """

    spacing: wp.float64
    stretch_stiffness: wp.float64
    contact_stiffness: wp.float64
    contact_margin: wp.float64
    contact_ramp: wp.float64
    friction: wp.float64
    stick_length: wp.float64
    drag_along: wp.float64
    drag_across: wp.float64
    weight: wp.vec3d
    nose: wp.float64
    entrance: wp.vec3d
    axis: wp.vec3d
    across: wp.vec3d
    hand_stiffness: wp.float64
    push_limit: wp.float64
    pull_limit: wp.float64
    bend_first: wp.int32
    bend_last: wp.int32
    substeps: wp.int32
    iterations: wp.int32
    tolerance: wp.float64
    longest_move: wp.float64
    grid_origin: wp.vec3d
    grid_spacing: wp.float32


@wp.func
def identity(scale: wp.float64) -> wp.mat33d:
    """Return `scale` times the identity."""
    z = wp.float64(0.0)
    return wp.mat33d(scale, z, z, z, scale, z, z, z, scale)


@wp.func
def rotation(axis: wp.vec3d, angle: wp.float64) -> wp.mat33d:
    """Rodrigues' formula."""
    k = wp.skew(axis)
    return identity(wp.float64(1.0)) + wp.sin(angle) * k + (wp.float64(1.0) - wp.cos(angle)) * (k * k)


@wp.func
def transport(x: wp.vec3d, a: wp.vec3d, b: wp.vec3d) -> wp.vec3d:
    """Carry a vector across the tangent `a` to the tangent `b` by the smallest rotation."""
    carried = x - (a + b) * (wp.dot(x, b) / wp.max(wp.float64(1.0) + wp.dot(a, b), wp.float64(0.05)))
    return wp.normalize(carried - b * wp.dot(carried, b))


@wp.func
def wall(rod: Rod, grid: wp.array3d[wp.float32], point: wp.vec3d, near: wp.float64) -> wp.vec4d:
    """Return the gradient of the distance to the wall (x, y, z) and the distance (w), exact below `near`."""
    local = point - rod.grid_origin
    p = wp.vec3f(wp.float32(local[0]), wp.float32(local[1]), wp.float32(local[2]))
    rough = wp.float64(rough_distance(grid, rod.grid_spacing, p))
    zero = wp.float64(0.0)
    found = wp.vec4d(zero, zero, zero, rough)
    if rough < near + wp.float64(2.0) * wp.float64(rod.grid_spacing):
        smooth = smooth_distance(grid, rod.grid_spacing, p)
        found = wp.vec4d(wp.float64(smooth[0]), wp.float64(smooth[1]), wp.float64(smooth[2]), wp.float64(smooth[3]))
    return found


@wp.func
def contact_force(rod: Rod, gap: wp.float64) -> wp.float64:
    """Force of the wall on one sample: zero beyond the margin, quadratic over the ramp, then linear."""
    depth = rod.contact_margin - gap
    if depth <= wp.float64(0.0):
        return wp.float64(0.0)
    if depth < rod.contact_ramp:
        return rod.contact_stiffness * depth * depth / (wp.float64(2.0) * rod.contact_ramp)
    return rod.contact_stiffness * (depth - rod.contact_ramp / wp.float64(2.0))


@wp.func
def contact_energy(rod: Rod, gap: wp.float64) -> wp.float64:
    """Return the energy that belongs to `contact_force`."""
    depth = wp.max(rod.contact_margin - gap, wp.float64(0.0))
    ramp = rod.contact_ramp
    energy = depth * depth * depth / (wp.float64(6.0) * ramp)
    if depth > ramp:
        energy = (depth * depth - depth * ramp + ramp * ramp / wp.float64(3.0)) / wp.float64(2.0)
    return rod.contact_stiffness * energy


@wp.func
def contact_slope(rod: Rod, gap: wp.float64) -> wp.float64:
    """Return the stiffness that belongs to `contact_force`."""
    return rod.contact_stiffness * wp.clamp(
        (rod.contact_margin - gap) / rod.contact_ramp, wp.float64(0.0), wp.float64(1.0)
    )


@wp.func
def carry_frame(rod: Rod, driven: wp.int32, roll: wp.float64, x: wp.array[wp.vec3d], frame: wp.array[wp.vec3d]) -> None:
    """Carry x of the material frame from the hand to the tip; `frame[i]` is that of the segment behind node i."""
    behind = rod.axis
    frame_x = rotation(rod.axis, roll) * rod.across
    for step in range(driven):
        i = driven - step
        frame[i] = frame_x
        ahead = wp.normalize(x[i - 1] - x[i])
        frame_x = transport(frame_x, behind, ahead)
        behind = ahead
    frame[0] = frame_x


@wp.func
def rest_rotation(
    rod: Rod,
    i: wp.int32,
    bend_up: wp.float64,
    bend_right: wp.float64,
    start: wp.array[wp.vec3d],
    frame: wp.array[wp.vec3d],
    behind: wp.vec3d,
) -> wp.mat33d:
    """Return the rotation that the wires ask for at a node of the bending section.

    The material frame is that of the start of the substep, carried along with the segment behind.
    """
    joints = wp.float64(rod.bend_last - rod.bend_first + 1)
    bend = wp.sqrt(bend_up * bend_up + bend_right * bend_right)
    frame_x = transport(frame[i], wp.normalize(start[i] - start[i + 1]), behind)
    frame_y = wp.cross(behind, frame_x)
    # Right is +x and up is -y of the frame, which has the camera's axes.
    toward = (bend_right * frame_x - bend_up * frame_y) / bend
    return rotation(wp.cross(behind, toward), bend / joints)


@wp.func
def is_bent(rod: Rod, i: wp.int32, bend_up: wp.float64, bend_right: wp.float64) -> wp.bool:
    """Say whether the wires bend the rod at this node."""
    bend = bend_up * bend_up + bend_right * bend_right
    return i >= rod.bend_first and i <= rod.bend_last and bend > wp.float64(1.0e-12)


@wp.func
def add_bending(
    rod: Rod,
    driven: wp.int32,
    bend_up: wp.float64,
    bend_right: wp.float64,
    start: wp.array[wp.vec3d],
    frame: wp.array[wp.vec3d],
    x: wp.array[wp.vec3d],
    stiffness: wp.array[wp.float64],
    diagonal: wp.array[wp.mat33d],
    upper: wp.array[wp.mat33d],
    second: wp.array[wp.mat33d],
    force: wp.array[wp.vec3d],
) -> None:
    """Add the bending forces and their Gauss-Newton matrix."""
    one = wp.float64(1.0)
    behind = rod.axis
    for step in range(driven):
        i = driven - step  # from the base to the tip
        ahead_length = wp.length(x[i - 1] - x[i])
        ahead = (x[i - 1] - x[i]) / ahead_length
        k = stiffness[i] / rod.spacing
        h = k / (rod.spacing * rod.spacing)
        rest = behind
        if is_bent(rod, i, bend_up, bend_right):
            turn = rest_rotation(rod, i, bend_up, bend_right, start, frame, behind)
            rest = turn * behind
            both = identity(one) + turn
            diagonal[i - 1] = diagonal[i - 1] + identity(h)
            diagonal[i] = diagonal[i] + h * (wp.transpose(both) * both)
            upper[i - 1] = upper[i - 1] - h * both
            if i < driven:
                diagonal[i + 1] = diagonal[i + 1] + identity(h)
                upper[i] = upper[i] - h * both
                second[i - 1] = second[i - 1] + h * turn
        else:
            two = wp.float64(2.0)
            diagonal[i - 1] = diagonal[i - 1] + identity(h)
            upper[i - 1] = upper[i - 1] - identity(two * h)
            if i < driven:
                diagonal[i] = diagonal[i] + identity(two * two * h)
                diagonal[i + 1] = diagonal[i + 1] + identity(h)
                upper[i] = upper[i] - identity(two * h)
                second[i - 1] = second[i - 1] + identity(h)
            else:
                diagonal[i] = diagonal[i] + identity(h)
                upper[i - 1] = upper[i - 1] + identity(h)
        # The couple turns the segment behind towards its rest direction, and the segment ahead the other way.
        couple = k * wp.cross(rest, ahead)
        pair = wp.cross(couple, ahead) / ahead_length
        force[i - 1] = force[i - 1] - pair
        force[i] = force[i] + pair
        if i < driven:
            behind_length = wp.length(x[i] - x[i + 1])
            pair = wp.cross(couple, behind) / behind_length
            force[i] = force[i] + pair
            force[i + 1] = force[i + 1] - pair
        behind = ahead


@wp.func
def add_drag(
    rod: Rod,
    driven: wp.int32,
    start: wp.array[wp.vec3d],
    x: wp.array[wp.vec3d],
    diagonal: wp.array[wp.mat33d],
    upper: wp.array[wp.mat33d],
    second: wp.array[wp.mat33d],
    force: wp.array[wp.vec3d],
) -> None:
    """Start the system with the weight and with the viscous drag over the substep."""
    for i in range(driven + 1):
        along = rod.axis
        if i < driven:
            along = wp.normalize(start[i] - start[i + 1])
        drag = identity(rod.drag_across) + (rod.drag_along - rod.drag_across) * wp.outer(along, along)
        diagonal[i] = drag
        upper[i] = wp.mat33d()
        second[i] = wp.mat33d()
        force[i] = rod.weight - drag * (x[i] - start[i])


@wp.func
def add_stretch(
    rod: Rod,
    driven: wp.int32,
    most_push: wp.float64,
    x: wp.array[wp.vec3d],
    diagonal: wp.array[wp.mat33d],
    upper: wp.array[wp.mat33d],
    force: wp.array[wp.vec3d],
) -> None:
    """Add the tension of each segment and its positive definite stiffness."""
    for i in range(driven):
        edge = x[i] - x[i + 1]
        length = wp.length(edge)
        along = edge / length
        tension = rod.stretch_stiffness * (length - rod.spacing)
        k = wp.outer(along, along)
        # The tension's own stiffness across; negative under a push, as far as the drag keeps the sum positive.
        across = wp.max(tension, -most_push) / length
        h = rod.stretch_stiffness * k + across * (identity(wp.float64(1.0)) - k)
        force[i] = force[i] - tension * along
        force[i + 1] = force[i + 1] + tension * along
        diagonal[i] = diagonal[i] + h
        diagonal[i + 1] = diagonal[i + 1] + h
        upper[i] = upper[i] - h


@wp.func
def add_contact(
    rod: Rod,
    driven: wp.int32,
    grid: wp.array3d[wp.float32],
    radius: wp.array[wp.float64],
    start: wp.array[wp.vec3d],
    pressed: wp.array[wp.vec4d],
    x: wp.array[wp.vec3d],
    diagonal: wp.array[wp.mat33d],
    upper: wp.array[wp.mat33d],
    force: wp.array[wp.vec3d],
) -> None:
    """Add wall contact and friction at every node and in between, inside the patient.

    Writes for each sample the normal (x, y, z) and the limit of friction (w) into `pressed`.
    """
    for sample in range(SAMPLES * driven):
        i = sample // SAMPLES
        rest = wp.float64(sample % SAMPLES) * SAMPLE_STEP
        share = wp.float64(1.0) - rest  # of node i in the sample's position
        point = share * x[i] + rest * x[i + 1]
        pressed[sample] = wp.vec4d()
        if wp.dot(point - rod.entrance, rod.axis) > wp.float64(0.0):
            found = wall(rod, grid, point, radius[i] + rod.contact_margin)
            gap = found[3] - radius[i]
            push = contact_force(rod, gap)
            if push > wp.float64(0.0):
                gradient = wp.vec3d(found[0], found[1], found[2])
                normal = wp.normalize(gradient)
                moved = point - (share * start[i] + rest * start[i + 1])
                slide = moved - normal * wp.dot(moved, normal)
                length = wp.length(slide)
                # Smoothed at rest: the full friction acts after a slide of `stick_length` within the substep.
                grip = rod.friction * push / wp.max(length, rod.stick_length)
                if length < rod.stick_length:
                    grip = grip * (wp.float64(2.0) - length / rod.stick_length)
                nn = wp.outer(normal, normal)
                pressed[sample] = wp.vec4d(normal[0], normal[1], normal[2], rod.friction * push)
                f = push * gradient - grip * slide
                h = contact_slope(rod, gap) * wp.outer(gradient, gradient) + grip * (identity(wp.float64(1.0)) - nn)
                force[i] = force[i] + share * f
                diagonal[i] = diagonal[i] + (share * share) * h
                if sample % SAMPLES > 0:
                    force[i + 1] = force[i + 1] + rest * f
                    diagonal[i + 1] = diagonal[i + 1] + (rest * rest) * h
                    upper[i] = upper[i] + (share * rest) * h


@wp.func
def add_drive(
    rod: Rod,
    driven: wp.int32,
    hand: wp.float64,
    x: wp.array[wp.vec3d],
    diagonal: wp.array[wp.mat33d],
    force: wp.array[wp.vec3d],
) -> None:
    """Hold the driven node on the entrance's axis and push it by a hand whose force is limited."""
    offset = x[driven] - rod.entrance
    along = wp.dot(offset, rod.axis)
    aside = offset - rod.axis * along
    nn = wp.outer(rod.axis, rod.axis)
    reached = rod.nose + wp.float64(driven) * rod.spacing + along
    push = rod.hand_stiffness * (hand - reached)
    k = rod.hand_stiffness
    if push > rod.push_limit or push < -rod.pull_limit:
        k = wp.float64(0.0)
    push = wp.clamp(push, -rod.pull_limit, rod.push_limit)
    force[driven] = force[driven] + push * rod.axis - rod.stretch_stiffness * aside
    diagonal[driven] = diagonal[driven] + k * nn + rod.stretch_stiffness * (identity(wp.float64(1.0)) - nn)
