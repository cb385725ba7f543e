"""How well shaped the triangles of a mesh are."""

import numpy as np

from assets.mesh import Mesh


def mesh_quality(mesh: Mesh) -> dict[str, float]:
    """Return figures for `patient.json`; empty for a mesh without triangles.

    Returns:
        `edge_mm`: median edge [mm]. `least_angle_deg`: smallest angle of any triangle [degree]. `shape_median` and
        `shape_p05`: median and fifth percentile of 4 sqrt(3) area over the sum of squared edges, which is 1 for an
        equilateral triangle and 0 for a needle (Bhatia and Lawrence, Two-dimensional finite element mesh generation
        based on stripwise automatic triangulation, Comput. Struct. 36, 1990, doi:10.1016/0045-7949(90)90131-K).
    """
    if not len(mesh.triangles):
        return {}
    corners = mesh.vertices.astype(np.float64)[mesh.triangles]
    edges = np.stack([corners[:, (n + 1) % 3] - corners[:, n] for n in range(3)], axis=1)
    length = np.linalg.norm(edges, axis=2)
    double_area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    shape = 2 * np.sqrt(3) * double_area / np.maximum((length**2).sum(axis=1), 1e-30)
    # The smallest angle lies opposite the shortest edge, between the two others.
    order = np.sort(length, axis=1)
    sine = double_area / np.maximum(order[:, 1] * order[:, 2], 1e-30)
    return {
        "edge_mm": round(float(np.median(length)) * 1e3, 3),
        "least_angle_deg": round(float(np.degrees(np.arcsin(np.clip(sine.min(), 0.0, 1.0)))), 2),
        "shape_median": round(float(np.median(shape)), 3),
        "shape_p05": round(float(np.quantile(shape, 0.05)), 3),
    }
