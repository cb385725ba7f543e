"""Find the two faces of a fold: what a ray from one face through the tissue meets on the other."""

# mypy: disable-error-code="arg-type, call-overload, index, operator"
# (Warp's stubs give its vectors no operators.)

import numpy as np
import warp as wp
from jaxtyping import Float
from numpy.typing import NDArray

from assets.mesh import Mesh
from sim.wall_kernels import quiet

_CLEAR = 1.0e-5  # m: the ray starts so far off its own face
_OPPOSED = -0.3  # cosine between ray and normal below which a face looks back at the ray's start


@wp.kernel(enable_backward=False)
def _look_through(
    mesh: wp.uint64,
    points: wp.array[wp.vec3f],
    directions: wp.array[wp.vec3f],
    reach: wp.float32,
    distance: wp.array[wp.float32],
    partner: wp.array[wp.int32],
) -> None:
    """Write how far the far face is, and its nearest vertex; -1 where nothing is in reach or it does not look back."""
    index = wp.tid()
    ray = directions[index]
    clear = wp.float32(_CLEAR)
    hit = wp.mesh_query_ray(mesh, points[index] + clear * ray, ray, reach)
    partner[index] = -1
    if hit.result and wp.dot(hit.normal, ray) < wp.float32(_OPPOSED):
        distance[index] = hit.t + clear
        corner = wp.int32(0)
        if hit.v > hit.u and hit.v > wp.float32(1.0) - hit.u - hit.v:
            corner = wp.int32(1)
        elif wp.float32(1.0) - hit.u - hit.v > hit.u:
            corner = wp.int32(2)
        partner[index] = wp.mesh_get_index(mesh, 3 * hit.face + corner)


def far_faces(
    mesh: Mesh, normals: Float[np.ndarray, "v 3"], thickest: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Look from every vertex along its normal through the tissue to the lumen beyond.

    Args:
        mesh: A lumen, whose normals point into the tissue.
        normals: Of its vertices.
        thickest: How far to look [m].

    Returns:
        The nearest vertex on the far face, shape (v,), -1 where there is none in reach; and how far it is [m], shape
        (v,), infinite where there is none.
    """
    quiet()
    count = len(mesh.vertices)
    surface = wp.Mesh(
        wp.array(np.ascontiguousarray(mesh.vertices, dtype=np.float32), dtype=wp.vec3f, device="cpu"),
        wp.array(np.ascontiguousarray(mesh.triangles.reshape(-1), dtype=np.int32), dtype=wp.int32, device="cpu"),
    )
    distance = np.full(count, np.inf, dtype=np.float32)
    partner = np.full(count, -1, dtype=np.int32)
    wp.launch(
        _look_through,
        dim=count,
        inputs=[
            surface.id,
            wp.array(np.ascontiguousarray(mesh.vertices, dtype=np.float32), dtype=wp.vec3f, device="cpu"),
            wp.array(np.ascontiguousarray(normals, dtype=np.float32), dtype=wp.vec3f, device="cpu"),
            thickest,
            wp.array(distance, dtype=wp.float32, device="cpu", copy=False),
            wp.array(partner, dtype=wp.int32, device="cpu", copy=False),
        ],
        device="cpu",
    )
    return partner.astype(np.int64), distance.astype(np.float64)
