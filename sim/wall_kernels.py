"""Warp kernels of the wall distance: queries of the triangle mesh for building, trilinear sampling for use."""

# mypy: disable-error-code="arg-type, call-overload, index, operator"
# (Warp's stubs give its vectors no operators.)

import warp as wp


def quiet() -> None:
    """Keep Warp from reporting its devices and modules on the console."""
    wp.config.log_level = max(wp.config.log_level, wp.LOG_ERROR)


@wp.kernel(enable_backward=False)
def mesh_distance(
    mesh: wp.uint64, points: wp.array[wp.vec3f], reach: wp.float32, first: wp.int32, distance: wp.array[wp.float32]
) -> None:
    """Write the unsigned distance [m] from each point to the mesh, `reach` where nothing is nearer."""
    index = first + wp.tid()
    point = points[index]
    query = wp.mesh_query_point_no_sign(mesh, point, reach)
    distance[index] = reach
    if query.result:
        nearest = wp.mesh_eval_position(mesh, query.face, query.u, query.v)
        distance[index] = wp.length(point - nearest)


@wp.kernel(enable_backward=False)
def mesh_inside(mesh: wp.uint64, points: wp.array[wp.vec3f], first: wp.int32, inside: wp.array[wp.uint8]) -> None:
    """Write 1 for points whose winding number about the mesh exceeds one half, else 0."""
    index = first + wp.tid()
    query = wp.mesh_query_point_sign_winding_number(mesh, points[index], wp.float32(1.0e3), 2.0, 0.5)
    inside[index] = wp.uint8(0)
    if query.result and query.sign < wp.float32(0.0):
        inside[index] = wp.uint8(1)


@wp.func
def corner(grid: wp.array3d[wp.float32], i: wp.int32, j: wp.int32, k: wp.int32) -> wp.float32:
    """Read a node of the grid, clamped to its border."""
    return grid[wp.clamp(i, 0, grid.shape[0] - 1), wp.clamp(j, 0, grid.shape[1] - 1), wp.clamp(k, 0, grid.shape[2] - 1)]


@wp.func
def spline(t: wp.float32) -> wp.vec4f:
    """Return the weights of the four nodes about a place, `t` of a cell past the second, by the cubic B-spline."""
    one = wp.float32(1.0)
    r = one - t
    six = wp.float32(6.0)
    return wp.vec4f(
        r * r * r / six,
        (wp.float32(4.0) - six * t * t + wp.float32(3.0) * t * t * t) / six,
        (wp.float32(4.0) - six * r * r + wp.float32(3.0) * r * r * r) / six,
        t * t * t / six,
    )


@wp.func
def spline_slope(t: wp.float32) -> wp.vec4f:
    """Return the derivatives of `spline`."""
    r = wp.float32(1.0) - t
    half = wp.float32(0.5)
    return wp.vec4f(
        -half * r * r,
        wp.float32(1.5) * t * t - wp.float32(2.0) * t,
        wp.float32(2.0) * r - wp.float32(1.5) * r * r,
        half * t * t,
    )


@wp.func
def smooth_distance(grid: wp.array3d[wp.float32], spacing: wp.float32, local: wp.vec3f) -> wp.vec4f:
    """Sample the distance at `local`, the position relative to the grid's first node [m], by cubic B-splines.

    It is smooth up to its second derivative, as Newton's method needs, and some tenths of a millimetre rounder than
    the trilinear value at the edge of a fold.

    Returns:
        The gradient (x, y, z) and the distance [m] (w).
    """
    s = local / spacing
    i = wp.int32(wp.floor(s[0]))
    j = wp.int32(wp.floor(s[1]))
    k = wp.int32(wp.floor(s[2]))
    u = s[0] - wp.float32(i)
    v = s[1] - wp.float32(j)
    w = s[2] - wp.float32(k)
    wx = spline(u)
    wy = spline(v)
    wz = spline(w)
    dx = spline_slope(u)
    dy = spline_slope(v)
    dz = spline_slope(w)
    found = wp.vec4f()
    for a in range(4):
        for b in range(4):
            line = wp.vec4f(
                corner(grid, i + a - 1, j + b - 1, k - 1),
                corner(grid, i + a - 1, j + b - 1, k),
                corner(grid, i + a - 1, j + b - 1, k + 1),
                corner(grid, i + a - 1, j + b - 1, k + 2),
            )
            value = wp.dot(line, wz)
            found = found + wp.vec4f(
                dx[a] * wy[b] * value, wx[a] * dy[b] * value, wx[a] * wy[b] * wp.dot(line, dz), wx[a] * wy[b] * value
            )
    return wp.vec4f(found[0] / spacing, found[1] / spacing, found[2] / spacing, found[3])


@wp.func
def rough_distance(grid: wp.array3d[wp.float32], spacing: wp.float32, local: wp.vec3f) -> wp.float32:
    """Return the distance [m] at the nearest node of the grid: within one and a half spacings of the true one."""
    s = local / spacing
    return corner(grid, wp.int32(wp.rint(s[0])), wp.int32(wp.rint(s[1])), wp.int32(wp.rint(s[2])))


@wp.func
def trilinear_distance(grid: wp.array3d[wp.float32], spacing: wp.float32, local: wp.vec3f) -> wp.float32:
    """Interpolate the distance [m] between the eight nodes about a place."""
    s = local / spacing
    i = wp.int32(wp.floor(s[0]))
    j = wp.int32(wp.floor(s[1]))
    k = wp.int32(wp.floor(s[2]))
    u = s[0] - wp.float32(i)
    v = s[1] - wp.float32(j)
    w = s[2] - wp.float32(k)
    value = wp.float32(0.0)
    for a in range(2):
        for b in range(2):
            share = wp.abs(wp.float32(1 - a) - u) * wp.abs(wp.float32(1 - b) - v)
            near = corner(grid, i + a, j + b, k)
            far = corner(grid, i + a, j + b, k + 1)
            value = value + share * (near + w * (far - near))
    return value
