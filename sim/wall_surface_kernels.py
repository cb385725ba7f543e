"""Warp kernels of the wall's surface: what the grid says, and near the wall what the triangles say."""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, attr-defined"
# (Warp's stubs give its vectors no operators.)

import warp as wp

FAR = wp.constant(wp.float32(1.0))
"""Farther than anything in a patient [m]."""


STEEP = wp.constant(wp.float32(0.9))
"""Least gradient of what was interpolated beside one smooth wall; chosen."""


@wp.struct
class Wall:
    """Where a wall's triangles are, in the frame of the grid's first node.

    The triangles are asked up to the interpolated distance `near` [m]; up to `error` [m], by which it can be wrong,
    where it does not rise as beside one smooth wall; and no farther than that beyond it. `closed` is the lumen's mesh,
    `normals` its pseudonormals, `opened` the same without its orifices, `solids` all that stands in it, with winding
    numbers, `boxes` the lowest and the highest corner of each. A row of `discs` is an orifice: its centre, its normal
    into the lumen, the radius of the channel through it, which goes `tunnel` outwards and `tunnel_inside` inwards [m];
    this near to its centre and `beyond` [m] more the triangles are always asked. Deeper than `band` [m] in the wall
    nothing is known.
    """

    spacing: wp.float32
    band: wp.float32
    near: wp.float32
    error: wp.float32
    closed: wp.uint64
    normals: wp.array2d[wp.vec3f]
    opened: wp.uint64
    solids: wp.uint64
    boxes: wp.array2d[wp.vec3f]
    discs: wp.array2d[wp.float32]
    beyond: wp.float32
    tunnel: wp.float32
    tunnel_inside: wp.float32


@wp.func
def vouches(value: wp.float32, squared: wp.float32, spacing: wp.float32) -> wp.float32:
    """Return a node's sign if a place, so many squared spacings away, is nearer to it than the wall is; else 0."""
    if squared * spacing * spacing < wp.float32(0.998) * value * value:
        return wp.sign(value)
    return wp.float32(0.0)


@wp.func
def interpolate(grid: wp.array3d[wp.float32], spacing: wp.float32, local: wp.vec3f) -> tuple[wp.vec4f, wp.bool]:
    """Interpolate between the eight nodes about a place; off the grid as on its border.

    Returns:
        The gradient (x, y, z) and the distance [m] (w); and whether a node vouches for its sign.
    """
    s = local / spacing
    i = wp.clamp(wp.int32(wp.floor(s[0])), 0, grid.shape[0] - 2)
    j = wp.clamp(wp.int32(wp.floor(s[1])), 0, grid.shape[1] - 2)
    k = wp.clamp(wp.int32(wp.floor(s[2])), 0, grid.shape[2] - 2)
    one = wp.float32(1.0)
    u = wp.clamp(s[0] - wp.float32(i), wp.float32(0.0), one)
    v = wp.clamp(s[1] - wp.float32(j), wp.float32(0.0), one)
    w = wp.clamp(s[2] - wp.float32(k), wp.float32(0.0), one)
    near_z = w * w
    far_z = (one - w) * (one - w)
    found = wp.vec4f()
    signs = wp.float32(0.0)
    for a in range(2):
        at_x = wp.abs(wp.float32(1 - a) - u)
        for b in range(2):
            at_y = wp.abs(wp.float32(1 - b) - v)
            low = grid[i + a, j + b, k]
            high = grid[i + a, j + b, k + 1]
            value = low + w * (high - low)
            along_x = wp.float32(2 * a - 1)
            along_y = wp.float32(2 * b - 1)
            found += wp.vec4f(
                along_x * at_y * value, at_x * along_y * value, at_x * at_y * (high - low), at_x * at_y * value
            )
            across = (one - at_x) * (one - at_x) + (one - at_y) * (one - at_y)
            signs += vouches(low, across + near_z, spacing) + vouches(high, across + far_z, spacing)
    sure = signs * found[3] > wp.float32(0.0)
    return wp.vec4f(found[0] / spacing, found[1] / spacing, found[2] / spacing, found[3]), sure


@wp.func
def from_nearest(mesh: wp.uint64, place: wp.vec3f, face: wp.int32, point: wp.vec3f, side: wp.float32) -> wp.vec4f:
    """Return the unit vector (x, y, z) from the nearest place of a mesh to a point, and their distance [m] (w).

    Within a micrometre, where the way is lost in rounding, it is the triangle's normal, to the `side` 1 or -1.
    """
    way = point - place
    distance = wp.length(way)
    if distance < wp.float32(1.0e-6):
        way = side * wp.mesh_eval_face_normal(mesh, face)
        return wp.vec4f(way[0], way[1], way[2], distance)
    way = way / distance
    return wp.vec4f(way[0], way[1], way[2], distance)


@wp.func
def place_in_triangle(u: wp.float32, v: wp.float32) -> wp.int32:
    """Return which pseudonormal is that of a place: 0 to 2 at corners, 3 to 5 on the edges opposite to them, else 6."""
    edge = wp.float32(1.0e-5)  # rounding leaves less
    first = u < edge
    second = v < edge
    third = wp.float32(1.0) - u - v < edge
    place = wp.int32(6)
    if first:
        place = 3
    if second:
        place = 4
    if third:
        place = 5
    if second and third:
        place = 0
    if first and third:
        place = 1
    if first and second:
        place = 2
    return place


@wp.func
def in_a_box(wall: Wall, point: wp.vec3f, reach: wp.float32) -> wp.bool:
    """Tell whether a solid's box is within reach [m] of a point."""
    found = wp.bool(False)
    for index in range(wall.boxes.shape[0]):
        low = wall.boxes[index, 0]
        high = wall.boxes[index, 1]
        gap = wp.max(wp.max(low - point, point - high), wp.vec3f())
        found = found or wp.length(gap) < reach
    return found


@wp.func
def channel(wall: Wall, disc: wp.int32, point: wp.vec3f) -> wp.vec4f:
    """Return the gradient and the distance [m] to the side of the channel through an orifice; -`band` outside it."""
    discs = wall.discs
    axis = wp.vec3f(discs[disc, 3], discs[disc, 4], discs[disc, 5])
    offset = point - wp.vec3f(discs[disc, 0], discs[disc, 1], discs[disc, 2])
    along = wp.dot(offset, axis)
    across = offset - along * axis
    if along < -wall.tunnel or along > wall.tunnel_inside:
        return wp.vec4f(wp.float32(0.0), wp.float32(0.0), wp.float32(0.0), -wall.band)
    inward = -wp.normalize(across)
    return wp.vec4f(inward[0], inward[1], inward[2], discs[disc, 6] - wp.length(across))


@wp.func
def ask(wall: Wall, point: wp.vec3f, reach: wp.float32, at_orifice: wp.bool) -> wp.vec4f:
    """Return the gradient and the signed distance [m] by the triangles within `reach` [m].

    The sign is that of the lumen's pseudonormal, and of solids, which may overlap each other, the winding number.
    """
    found = wp.vec4f(wp.float32(0.0), wp.float32(0.0), wp.float32(0.0), wall.band)
    at_solid = in_a_box(wall, point, reach)
    within = reach
    if at_solid:  # the lumen may be farther than what is nearest
        within = FAR
    outside = wp.float32(1.0)
    lumen = wp.mesh_query_point_no_sign(wall.closed, point, within)
    if lumen.result:
        place = wp.mesh_eval_position(wall.closed, lumen.face, lumen.u, lumen.v)
        normal = wall.normals[lumen.face, place_in_triangle(lumen.u, lumen.v)]
        outside = wp.sign(wp.dot(point - place, normal))
        found = from_nearest(wall.closed, place, lumen.face, point, outside)
    free = outside < wp.float32(0.0)
    if at_orifice:
        rim = wp.mesh_query_point_no_sign(wall.opened, point, reach)
        place = wp.mesh_eval_position(wall.opened, rim.face, rim.u, rim.v)
        found = from_nearest(wall.opened, place, rim.face, point, outside)
    if at_solid:
        solid = wp.mesh_query_point_sign_winding_number(wall.solids, point, FAR)
        free = free and solid.sign > wp.float32(0.0)
        place = wp.mesh_eval_position(wall.solids, solid.face, solid.u, solid.v)
        other = from_nearest(wall.solids, place, solid.face, point, solid.sign)
        if other[3] < found[3]:
            found = other
    if not free:
        found = wp.vec4f(-found[0], -found[1], -found[2], -wp.min(found[3], wall.band))
    return found


@wp.kernel(enable_backward=False)
def query_wall(wall: Wall, grid: wp.array3d[wp.float32], points: wp.array[wp.vec3f], found: wp.array[wp.vec4f]) -> None:
    """Write the gradient (x, y, z) and the signed distance [m] (w) at each point, relative to the first node [m]."""
    index = wp.tid()
    point = points[index]
    value, sure = interpolate(grid, wall.spacing, point)
    reach = wp.abs(value[3]) + wall.error
    at_orifice = wp.bool(False)
    for disc in range(wall.discs.shape[0]):
        offset = point - wp.vec3f(wall.discs[disc, 0], wall.discs[disc, 1], wall.discs[disc, 2])
        if wp.length(offset) < wall.discs[disc, 6] + wall.beyond:
            at_orifice = wp.bool(True)
            reach = FAR
    far = wall.near
    if wp.length(wp.vec3f(value[0], value[1], value[2])) < STEEP:  # a leaf or an edge that the nodes do not show
        far = wall.error
    if at_orifice or not sure or wp.abs(value[3]) < far:
        value = ask(wall, point, reach, at_orifice)
        for disc in range(wall.discs.shape[0]):
            way_in = channel(wall, disc, point)
            if way_in[3] > value[3]:
                value = way_in
    found[index] = value
