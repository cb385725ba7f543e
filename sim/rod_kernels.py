"""The elastic rod of a flexible scope, solved by Newton's method in one single-threaded Warp kernel a control step.

A chain of nodes, tip first. Its energies: stretch and bending of a discrete elastic rod (Bergou et al., Discrete
Elastic Rods, ACM Transactions on Graphics 27(3), 2008), whose torsionally stiff material frame is carried from base to
tip by parallel transport; contact with a signed distance field as a smoothed penalty; and lagged Coulomb friction (Li
et al., Incremental Potential Contact, ACM Transactions on Graphics 39(4), 2020). Time is quasi-static with viscous
drag, stepped by implicit Euler, so that a step may be long and stiff. Each Newton step solves the block pentadiagonal
system directly and is checked by a line search: a push at the base reaches the tip at once, and the force in the rod
is right.
"""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, attr-defined, var-annotated"
# (Warp's stubs give the double precision vectors no operators.)

import warp as wp

from sim.rod_forces import (
    SAMPLE_STEP,
    SAMPLES,
    Rod,
    add_bending,
    add_contact,
    add_drag,
    add_drive,
    add_stretch,
    carry_frame,
    contact_energy,
    is_bent,
    rest_rotation,
    wall,
)


@wp.func
def energy(
    rod: Rod,
    driven: wp.int32,
    bend_up: wp.float64,
    bend_right: wp.float64,
    hand: wp.float64,
    grid: wp.array3d[wp.float32],
    radius: wp.array[wp.float64],
    stiffness: wp.array[wp.float64],
    start: wp.array[wp.vec3d],
    frame: wp.array[wp.vec3d],
    pressed: wp.array[wp.vec4d],
    x: wp.array[wp.vec3d],
) -> wp.float64:
    """Return what a Newton step must lower: the potential of all forces, with friction and drag over the substep."""
    half = wp.float64(0.5)
    one = wp.float64(1.0)
    offset = x[driven] - rod.entrance
    along = wp.dot(offset, rod.axis)
    aside = offset - rod.axis * along
    stretch = hand - (rod.nose + wp.float64(driven) * rod.spacing + along)
    free = wp.clamp(stretch, -rod.pull_limit / rod.hand_stiffness, rod.push_limit / rod.hand_stiffness)
    total = rod.hand_stiffness * (half * free * free + free * (stretch - free))
    total = total + half * rod.stretch_stiffness * wp.dot(aside, aside)
    behind = rod.axis
    for step in range(driven):
        i = driven - step
        edge = x[i - 1] - x[i]
        length = wp.length(edge)
        ahead = edge / length
        total = total + half * rod.stretch_stiffness * (length - rod.spacing) * (length - rod.spacing)
        rest = behind
        if is_bent(rod, i, bend_up, bend_right):
            rest = rest_rotation(rod, i, bend_up, bend_right, start, frame, behind) * behind
        # |a - b|^2 / 2 = 1 - a.b keeps the digits where the two are nearly equal.
        gap = ahead - rest
        total = total + half * stiffness[i] / rod.spacing * wp.dot(gap, gap)
        behind = ahead
    for i in range(driven + 1):
        axis = rod.axis
        if i < driven:
            axis = wp.normalize(start[i] - start[i + 1])
        moved = x[i] - start[i]
        forward = wp.dot(moved, axis)
        total = total + half * rod.drag_across * wp.dot(moved, moved)
        total = total + half * (rod.drag_along - rod.drag_across) * forward * forward - wp.dot(rod.weight, moved)
    for sample in range(SAMPLES * driven):
        i = sample // SAMPLES
        share = one - wp.float64(sample % SAMPLES) * SAMPLE_STEP
        point = share * x[i] + (one - share) * x[i + 1]
        if wp.dot(point - rod.entrance, rod.axis) > wp.float64(0.0):
            found = wall(rod, grid, point, radius[i] + rod.contact_margin)
            total = total + contact_energy(rod, found[3] - radius[i])
            hold = pressed[sample]
            if hold[3] > wp.float64(0.0):
                normal = wp.vec3d(hold[0], hold[1], hold[2])
                moved = point - (share * start[i] + (one - share) * start[i + 1])
                slide = wp.length(moved - normal * wp.dot(moved, normal))
                stick = rod.stick_length
                work = slide - stick / wp.float64(3.0)
                if slide < stick:
                    work = slide * slide / stick - slide * slide * slide / (wp.float64(3.0) * stick * stick)
                total = total + hold[3] * work
    return total


@wp.func
def solve(
    driven: wp.int32,
    diagonal: wp.array[wp.mat33d],
    upper: wp.array[wp.mat33d],
    second: wp.array[wp.mat33d],
    force: wp.array[wp.vec3d],
) -> None:
    """Solve the symmetric block pentadiagonal system in place; the solution replaces `force`.

    Elimination goes from the held base to the free tip, and each pivot is made symmetric: the other way round the
    stiffness of a free beam cancels, and rounding errors grow about twofold a node.
    """
    half = wp.float64(0.5)
    for step in range(driven + 1):
        i = driven - step
        inverse = wp.inverse(half * (diagonal[i] + wp.transpose(diagonal[i])))
        b = force[i]
        if i > 0:
            u = upper[i - 1]
            u_scaled = inverse * wp.transpose(u)
            diagonal[i - 1] = diagonal[i - 1] - u * u_scaled
            force[i - 1] = force[i - 1] - wp.transpose(u_scaled) * b
            if i > 1:
                s = second[i - 2]
                s_scaled = inverse * wp.transpose(s)
                upper[i - 2] = upper[i - 2] - s * u_scaled
                diagonal[i - 2] = diagonal[i - 2] - s * s_scaled
                force[i - 2] = force[i - 2] - wp.transpose(s_scaled) * b
                second[i - 2] = s_scaled
            upper[i - 1] = u_scaled
        force[i] = inverse * b
    for i in range(1, driven + 1):
        solved = force[i] - upper[i - 1] * force[i - 1]
        if i > 1:
            solved = solved - second[i - 2] * force[i - 2]
        force[i] = solved


@wp.func
def shift_driven(rod: Rod, driven: wp.int32, count: wp.int32, x: wp.array[wp.vec3d]) -> wp.int32:
    """Keep the driven node the first one outside the entrance, as nodes pass it inwards or outwards."""
    node = wp.int32(driven)
    if wp.dot(x[node] - rod.entrance, rod.axis) > wp.float64(0.0) and node + 2 < count:
        length = wp.length(x[node - 1] - x[node])  # the new segment takes the strain of its neighbour
        x[node + 1] = x[node] - rod.axis * length
        node = node + 1
    elif wp.dot(x[node - 1] - rod.entrance, rod.axis) < wp.float64(0.0) and node > 3:
        node = node - 1
    for i in range(node + 1, count):
        x[i] = x[node] - rod.axis * (rod.spacing * wp.float64(i - node))
    return node


@wp.kernel(enable_backward=False)
def advance_rod(
    rod: Rod,
    grid: wp.array3d[wp.float32],
    stiffness: wp.array[wp.float64],
    radius: wp.array[wp.float64],
    command: wp.array[wp.float64],
    x: wp.array[wp.vec3d],
    start: wp.array[wp.vec3d],
    diagonal: wp.array[wp.mat33d],
    upper: wp.array[wp.mat33d],
    second: wp.array[wp.mat33d],
    force: wp.array[wp.vec3d],
    gradient: wp.array[wp.vec3d],
    before: wp.array[wp.vec3d],
    pressed: wp.array[wp.vec4d],
    drive: wp.array[wp.float64],
    gap: wp.array[wp.float64],
    frame: wp.array[wp.vec3d],
) -> None:
    """Move the rod through one control step.

    Args:
        rod: Constants.
        grid: Signed distances to the wall [m].
        stiffness: Flexural rigidity at each node [N m^2].
        radius: Of the rod at each node [m].
        command: Advance [m], then bend up, bend right and roll [rad] before and after the step.
        x: Nodes [m], tip first; moved.
        start: Work space.
        diagonal: Work space.
        upper: Work space.
        second: Work space.
        force: Work space.
        gradient: Work space.
        before: Work space.
        pressed: Work space, SAMPLES for each node.
        drive: Hand [m], insertion [m], axial push at the entrance [N], index of the driven node, Newton iterations.
        gap: Distance of each node's surface to the wall [m], negative in it; written.
        frame: x of the material frame of the segment behind each node, and at 0 of the tip; written.
    """
    count = x.shape[0]
    driven = wp.int32(drive[3])
    hand = drive[0]
    push = wp.float64(0.0)
    total = wp.int32(0)
    for substep in range(rod.substeps):
        driven = shift_driven(rod, driven, count, x)
        share = wp.float64(substep + 1) / wp.float64(rod.substeps)
        hand = hand + command[0] / wp.float64(rod.substeps)
        bend_up = command[1] + share * (command[2] - command[1])
        bend_right = command[3] + share * (command[4] - command[3])
        roll = command[5] + share * (command[6] - command[5])
        for i in range(driven + 1):
            start[i] = x[i]
        carry_frame(rod, driven, roll, x, frame)
        moved = wp.float64(1.0)
        most_push = rod.push_limit
        for _iteration in range(rod.iterations):
            if moved > rod.tolerance:
                total = total + 1
                add_drag(rod, driven, start, x, diagonal, upper, second, force)
                add_bending(
                    rod, driven, bend_up, bend_right, start, frame, x, stiffness, diagonal, upper, second, force
                )
                add_stretch(rod, driven, most_push, x, diagonal, upper, force)
                add_contact(rod, driven, grid, radius, start, pressed, x, diagonal, upper, force)
                add_drive(rod, driven, hand, x, diagonal, force)
                slope = wp.float64(0.0)
                for i in range(driven + 1):
                    before[i] = x[i]
                    gradient[i] = force[i]
                solve(driven, diagonal, upper, second, force)
                longest = wp.float64(0.0)
                for i in range(driven + 1):
                    slope = slope + wp.dot(gradient[i], force[i])
                    longest = wp.max(longest, wp.length(force[i]))
                scale = wp.min(wp.float64(1.0), rod.longest_move / wp.max(longest, wp.float64(1.0e-12)))
                moved = scale * longest
                if slope <= wp.float64(0.0):
                    most_push = wp.float64(0.0)  # not downhill: drop the negative part of the matrix and try again
                elif moved > rod.tolerance:
                    now = energy(
                        rod, driven, bend_up, bend_right, hand, grid, radius, stiffness, start, frame, pressed, x
                    )
                    lower = wp.bool(False)
                    for _halving in range(5):
                        if not lower:
                            for i in range(driven + 1):
                                x[i] = before[i] + scale * force[i]
                            then = energy(
                                rod,
                                driven,
                                bend_up,
                                bend_right,
                                hand,
                                grid,
                                radius,
                                stiffness,
                                start,
                                frame,
                                pressed,
                                x,
                            )
                            lower = then <= now - wp.float64(1.0e-4) * scale * slope
                            if not lower:
                                scale = scale * wp.float64(0.5)
                                most_push = wp.float64(0.0)
                    moved = scale * longest
                else:
                    for i in range(driven + 1):
                        x[i] = before[i] + scale * force[i]
        reached = rod.nose + wp.float64(driven) * rod.spacing + wp.dot(x[driven] - rod.entrance, rod.axis)
        # Beyond the limit of its force the hand slips on the shaft.
        hand = wp.clamp(
            hand, reached - rod.pull_limit / rod.hand_stiffness, reached + rod.push_limit / rod.hand_stiffness
        )
        push = rod.hand_stiffness * (hand - reached)
        drive[1] = reached
    driven = shift_driven(rod, driven, count, x)
    drive[0] = hand
    drive[2] = push
    drive[3] = wp.float64(driven)
    drive[4] = wp.float64(total)
    carry_frame(rod, driven, command[6], x, frame)
    for i in range(count):
        gap[i] = wp.float64(1.0)
        if wp.dot(x[i] - rod.entrance, rod.axis) > wp.float64(0.0):
            gap[i] = wall(rod, grid, x[i], radius[i] + rod.contact_margin)[3] - radius[i]
