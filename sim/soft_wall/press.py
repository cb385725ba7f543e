"""What a rod presses the wall with, place by place."""

# mypy: disable-error-code="arg-type, call-overload, index, operator"
# (Warp's stubs give the double precision vectors no operators.)

import warp as wp

from sim.rod_forces import SAMPLE_STEP, SAMPLES, Rod, contact_force, wall


@wp.kernel(enable_backward=False)
def press_wall(
    rod: Rod,
    grid: wp.array3d[wp.float32],
    radius: wp.array[wp.float64],
    x: wp.array[wp.vec3d],
    drive: wp.array[wp.float64],
    place: wp.array[wp.vec3d],
    force: wp.array[wp.vec3d],
) -> None:
    """Write where each sample of the rod touches the wall [m], and its force on the wall [N]; 0 where it does not.

    Args:
        rod: Constants.
        grid: Signed distances to the wall [m].
        radius: Of the rod at each node [m].
        x: Nodes [m], tip first.
        drive: Index of the driven node at 3.
        place: Written, SAMPLES for each node.
        force: Written, SAMPLES for each node; without friction.
    """
    sample = wp.tid()
    i = sample // SAMPLES
    force[sample] = wp.vec3d()
    if i < wp.int32(drive[3]):
        rest = wp.float64(sample % SAMPLES) * SAMPLE_STEP
        point = (wp.float64(1.0) - rest) * x[i] + rest * x[i + 1]
        place[sample] = point
        if wp.dot(point - rod.entrance, rod.axis) > wp.float64(0.0):
            found = wall(rod, grid, point, radius[i] + rod.contact_margin)
            push = contact_force(rod, found[3] - radius[i])
            if push > wp.float64(0.0):
                away = wp.normalize(wp.vec3d(found[0], found[1], found[2]))
                place[sample] = point - radius[i] * away
                force[sample] = -push * away
