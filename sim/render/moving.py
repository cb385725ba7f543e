"""Kernels that pose and deform objects, and what shading needs to keep textures fast to the tissue."""

# mypy: disable-error-code="arg-type, index, operator"
# (Warp's stubs give vectors of these kinds no operators.)

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.struct
class Surface:
    """The vertices of a scene now and at rest, and which of its objects have left their place."""

    vertices: wp.array[wp.vec3]
    """World frame [m]."""
    rest: wp.array[wp.vec3]
    """In the object's own frame, as given [m]."""
    moved: wp.array[wp.int32]
    """For each object 1 if it was ever posed or deformed."""


@wp.kernel
def pose(
    first: int, rest: wp.array[wp.vec3], rotation: wp.mat33d, translation: wp.vec3d, vertices: wp.array[wp.vec3]
) -> None:
    """Move one vertex rigidly; in double precision, so that a posed mesh equals one that was moved before."""
    index = first + wp.tid()
    place = rest[index]
    p = wp.vec3d(wp.float64(place[0]), wp.float64(place[1]), wp.float64(place[2]))
    moved = rotation * p + translation
    vertices[index] = wp.vec3(wp.float32(moved[0]), wp.float32(moved[1]), wp.float32(moved[2]))


@wp.kernel
def count_damaged(vertices: wp.array[wp.vec3], farthest: float, count: wp.array[wp.int32]) -> None:
    """Count vertices that are not finite or too far away."""
    p = vertices[wp.tid()]
    if not (wp.abs(p[0]) <= farthest and wp.abs(p[1]) <= farthest and wp.abs(p[2]) <= farthest):
        wp.atomic_add(count, 0, 1)


@wp.kernel
def face(
    first: int,
    facing: float,
    vertices: wp.array[wp.vec3],
    corners: wp.array[wp.vec4i],
    areas: wp.array[wp.vec3],
    flat_normals: wp.array[wp.vec3],
) -> None:
    """Find the normal of one triangle on the side from which it is seen, and twice its area along it."""
    place = wp.tid()
    index = first + place
    corner = corners[index]
    a = vertices[corner[0]]
    b = vertices[corner[1]]
    c = vertices[corner[2]]
    # In double precision: the corners of a sliver differ in the last digits of their coordinates.
    ax = wp.float64(a[0])
    ay = wp.float64(a[1])
    az = wp.float64(a[2])
    ab = wp.vec3d(wp.float64(b[0]) - ax, wp.float64(b[1]) - ay, wp.float64(b[2]) - az)
    ac = wp.vec3d(wp.float64(c[0]) - ax, wp.float64(c[1]) - ay, wp.float64(c[2]) - az)
    area = wp.cross(ab, ac) * wp.float64(facing)
    normal = wp.normalize(area)
    areas[place] = wp.vec3(wp.float32(area[0]), wp.float32(area[1]), wp.float32(area[2]))
    flat_normals[index] = wp.vec3(wp.float32(normal[0]), wp.float32(normal[1]), wp.float32(normal[2]))


@wp.kernel
def smooth(
    first: int,
    around_start: wp.array[wp.int32],
    around: wp.array[wp.int32],
    areas: wp.array[wp.vec3],
    vertex_shape: wp.array[wp.vec4],
) -> None:
    """Average the normals of the triangles around one vertex, by area; its cavity stays as it was at rest."""
    place = wp.tid()
    total = wp.vec3(0.0, 0.0, 0.0)
    for at in range(around_start[place], around_start[place + 1]):
        total += areas[around[at]]
    normal = wp.normalize(total)
    index = first + place
    vertex_shape[index] = wp.vec4(normal[0], normal[1], normal[2], vertex_shape[index][3])


@wp.kernel
def enclose(
    first: int,
    cluster_vertex_start: wp.array[wp.int32],
    cluster_vertices: wp.array[wp.int32],
    vertices: wp.array[wp.vec3],
    spheres: wp.array[wp.vec4],
) -> None:
    """Put a sphere around one cluster."""
    cluster = first + wp.tid()
    low = wp.vec3(1.0e30, 1.0e30, 1.0e30)
    high = wp.vec3(-1.0e30, -1.0e30, -1.0e30)
    for at in range(cluster_vertex_start[cluster], cluster_vertex_start[cluster + 1]):
        p = vertices[cluster_vertices[at]]
        low = wp.min(low, p)
        high = wp.max(high, p)
    centre = 0.5 * (low + high)
    square = wp.float32(0.0)
    for at in range(cluster_vertex_start[cluster], cluster_vertex_start[cluster + 1]):
        square = wp.max(square, wp.length_sq(vertices[cluster_vertices[at]] - centre))
    # Wider by what single precision may lose.
    radius = wp.sqrt(square) * 1.0001 + 1.0e-7 + 1.0e-6 * wp.length(centre)
    spheres[cluster] = wp.vec4(centre[0], centre[1], centre[2], radius)


@wp.func
def at_rest(surface: Surface, corner: wp.vec4i, u: float, v: float) -> wp.vec3:
    """Return where the point of a triangle lies when its object is at rest, in the object's own frame [m]."""
    return u * surface.rest[corner[0]] + v * surface.rest[corner[1]] + (1.0 - u - v) * surface.rest[corner[2]]


@wp.func
def _carried(g: wp.vec3, a: wp.vec3, b: wp.vec3, c: wp.vec3, a1: wp.vec3, b1: wp.vec3, c1: wp.vec3) -> wp.vec3:
    """Carry a gradient from one shape of a triangle to another: its slopes along the edges, and along the normal, stay.

    The slopes s, t along the edges e, f give the gradient s (f x n) / n^2 + t (n x e) / n^2, n = e x f.
    """
    e = b - a
    f = c - a
    n = wp.cross(e, f)
    e1 = b1 - a1
    f1 = c1 - a1
    n1 = wp.cross(e1, f1)
    share = 1.0 / wp.max(wp.length_sq(n1), 1.0e-30)
    up = wp.dot(g, wp.normalize(n))
    tangential = (wp.dot(g, e) * wp.cross(f1, n1) + wp.dot(g, f) * wp.cross(n1, e1)) * share
    return tangential + up * wp.normalize(n1)


@wp.func
def from_rest(surface: Surface, corner: wp.vec4i, gradient: wp.vec3) -> wp.vec3:
    """Carry a gradient from the object at rest to the world."""
    return _carried(
        gradient,
        surface.rest[corner[0]],
        surface.rest[corner[1]],
        surface.rest[corner[2]],
        surface.vertices[corner[0]],
        surface.vertices[corner[1]],
        surface.vertices[corner[2]],
    )


@wp.func
def to_rest(surface: Surface, corner: wp.vec4i, gradient: wp.vec3) -> wp.vec3:
    """Carry a gradient from the world to the object at rest."""
    return _carried(
        gradient,
        surface.vertices[corner[0]],
        surface.vertices[corner[1]],
        surface.vertices[corner[2]],
        surface.rest[corner[0]],
        surface.rest[corner[1]],
        surface.rest[corner[2]],
    )
