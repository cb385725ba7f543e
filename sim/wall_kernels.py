"""Warp kernels of the wall distance: queries of the triangle mesh for building, trilinear sampling for use."""

import warp as wp


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
def sample_distance(grid: wp.array3d[wp.float32], spacing: wp.float32, local: wp.vec3f) -> wp.vec4f:
    """Interpolate trilinearly at `local`, the position relative to the grid's first node [m].

    Returns:
        The gradient (x, y, z; not normalised) and the distance [m] (w).
    """
    s = local / spacing
    i = wp.int32(wp.floor(s[0]))
    j = wp.int32(wp.floor(s[1]))
    k = wp.int32(wp.floor(s[2]))
    u = s[0] - wp.float32(i)
    v = s[1] - wp.float32(j)
    w = s[2] - wp.float32(k)
    c000 = corner(grid, i, j, k)
    c001 = corner(grid, i, j, k + 1)
    c010 = corner(grid, i, j + 1, k)
    c011 = corner(grid, i, j + 1, k + 1)
    c100 = corner(grid, i + 1, j, k)
    c101 = corner(grid, i + 1, j, k + 1)
    c110 = corner(grid, i + 1, j + 1, k)
    c111 = corner(grid, i + 1, j + 1, k + 1)
    c00 = c000 + (c001 - c000) * w
    c01 = c010 + (c011 - c010) * w
    c10 = c100 + (c101 - c100) * w
    c11 = c110 + (c111 - c110) * w
    c0 = c00 + (c01 - c00) * v
    c1 = c10 + (c11 - c10) * v
    along_y = (c01 - c00) + ((c11 - c10) - (c01 - c00)) * u
    z00 = c001 - c000
    z01 = c011 - c010
    z10 = c101 - c100
    z11 = c111 - c110
    z0 = z00 + (z01 - z00) * v
    z1 = z10 + (z11 - z10) * v
    return wp.vec4f((c1 - c0) / spacing, along_y / spacing, (z0 + (z1 - z0) * u) / spacing, c0 + (c1 - c0) * u)
