"""A thin elastic shell on an elastic foundation: how far each vertex of a wall gives way along its normal.

The wall moves along its normals alone, by u [m], outwards positive; along the wall it is held, as the mesentery and the
length of the bowel hold it. Its energy is quadratic in u:

    foundation  k u^2 / 2, Winkler's springs: fat and the neighbouring organs
    membrane    h e:C:e / 2, plane stress, e the strain of a triangle whose corners move by u times their normals
    tension     T |grad u|^2 / 2, what the pressure at rest, p R, stretches the wall with
    bending     D (lap u)^2 / 2, D = E h^3 / 12 (1 - nu^2)
    thickness   c (u_a + u_b)^2 / 2, between the two faces of a fold, which move together

The strain is that of the wall without its finer relief: bumps and grooves smaller than RELIEF unfold rather than
stretch, which a wall that moves along its own normals alone could not.

Gradient and Laplacian are those of linear triangles (cotangents; Pinkall and Polthier, Exp. Math. 2(1), 1993,
doi:10.1080/10586458.1993.10504266). The wall creeps (Kelvin and Voigt): eta du/dt + K u = load, by implicit Euler.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from assets.errors import InputError
from assets.mesh import Mesh

TOLERANCE = 1.0e-10
"""Of the residual, over the load's norm, at which conjugate gradients stop."""
RELIEF = 0.012
"""Length over which normals are averaged for the strain [m]; chosen, a third of a haustrum."""
_MOST_ITERATIONS = 2000
_CLAMP = 1.0e3  # stiffness of a held vertex over that of the stiffest of the foundation


@dataclass(frozen=True)
class ShellMechanics:
    """What a wall and its surroundings are made of."""

    modulus: float
    """Young's modulus of the wall [Pa]."""
    poisson_ratio: float
    thickness: float
    """[m]"""
    foundation: float
    """Stiffness of what lies behind it [Pa/m]."""
    tension: float
    """Of the wall at rest [N/m]."""
    viscosity: float
    """Of its creep, over an area [Pa s/m]."""
    across: float
    """Stiffness of the tissue between the two faces of a fold [Pa/m]."""

    def __post_init__(self) -> None:
        positive = (self.modulus, self.thickness, self.foundation, self.viscosity)
        others = (self.tension, self.across)
        if not (all(np.isfinite([*positive, *others])) and min(positive) > 0 and min(others) >= 0):
            raise InputError(
                f"shell: expected finite stiffnesses above 0 (tension and across: at least 0), found {self}"
            )
        if not 0 <= self.poisson_ratio < 1:
            raise InputError(f"shell: expected a Poisson's ratio within 0 and 1, found {self.poisson_ratio}")


class Shell:
    """The stiffness of a wall, factorised once, and its answer to loads."""

    def __init__(
        self,
        mesh: Mesh,
        mechanics: ShellMechanics,
        *,
        dt: float,
        held: Bool[np.ndarray, "v"] | None = None,
        partner: Int[np.ndarray, "v"] | None = None,
    ) -> None:
        """Assemble and factorise.

        Args:
            mesh: The wall at rest.
            mechanics: Of the wall.
            dt: Time step of `creep` [s].
            held: Vertices that do not move; None for none.
            partner: For each vertex the one on the other face of the fold it is in, or -1: such vertices have no
                foundation behind them; None for no folds.

        Raises:
            InputError: A triangle has no area.
        """
        self.normals = vertex_normals(mesh)
        """Unit vectors out of what the mesh encloses, shape (v, 3)."""
        count = len(mesh.vertices)
        gradients, area = _triangle_gradients(mesh)
        self.areas = np.asarray(
            np.bincount(mesh.triangles.ravel(), np.repeat(area / 3, 3), minlength=count), dtype=np.float64
        )
        """Of the wall that belongs to each vertex [m^2], shape (v,)."""
        free = np.ones(count, dtype=bool) if held is None else ~held
        behind = np.ones(count) if partner is None else (partner < 0).astype(float)
        spring = mechanics.foundation * behind * self.areas
        spring[~free] = _CLAMP * max(mechanics.foundation, mechanics.viscosity / dt) * self.areas[~free]
        bending_rigidity = mechanics.modulus * mechanics.thickness**3 / (12 * (1 - mechanics.poisson_ratio**2))
        stretch = np.einsum("tai,tbi,t->tab", gradients, gradients, area)
        laplacian = _assembled(stretch, mesh, count)
        lumped = sparse.diags_array(1 / np.maximum(self.areas, 1e-12))
        even = _smoothed(self.normals, laplacian, self.areas)
        membrane = _membrane(mesh, even, gradients, area, mechanics)
        stiffness = sparse.diags_array(spring) + _assembled(membrane, mesh, count)
        stiffness = stiffness + mechanics.tension * laplacian + bending_rigidity * (laplacian @ lumped @ laplacian)
        if partner is not None:
            stiffness = stiffness + _thickness(partner, self.areas * mechanics.across)
        stiffness = sparse.csr_array(stiffness)
        stiffness.sum_duplicates()  # in one order for good, or rounding depends on who asked before
        self.stiffness = stiffness
        """N/m, shape (v, v), symmetric and positive definite."""
        self._creep = mechanics.viscosity / dt * self.areas
        self._step = sparse.csr_array(self.stiffness + sparse.diags_array(self._creep))
        self._factor = splu(
            sparse.csc_matrix(self._step),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )

    def settle(self, load: Float[np.ndarray, "v"], start: Float[np.ndarray, "v"] | None = None) -> NDArray[np.float64]:
        """Return the displacement [m] that balances a load [N], outwards positive, once the wall has crept to rest."""
        return self._solve(self.stiffness, load, np.zeros(len(load)) if start is None else start)

    def creep(self, u: Float[np.ndarray, "v"], load: Float[np.ndarray, "v"]) -> NDArray[np.float64]:
        """Return the displacement [m] one time step after `u` under a load [N]."""
        return self._solve(self._step, load + self._creep * u, u)

    def _solve(
        self, matrix: sparse.csr_array, load: Float[np.ndarray, "v"], start: Float[np.ndarray, "v"]
    ) -> NDArray[np.float64]:
        """Conjugate gradients, preconditioned by the factorised step: one iteration where it is the matrix itself."""
        u = np.array(start, dtype=np.float64)
        residual = load - matrix @ u
        goal = TOLERANCE * float(np.linalg.norm(load))
        direction, before = np.zeros_like(u), 1.0
        for _ in range(_MOST_ITERATIONS):
            if float(np.linalg.norm(residual)) <= goal:
                return u
            better = self._factor.solve(residual)
            now = float(residual @ better)
            direction = better + now / before * direction
            onto = matrix @ direction
            share = now / float(direction @ onto)
            u += share * direction
            residual -= share * onto
            before = now
        left = float(np.linalg.norm(residual)) / max(goal / TOLERANCE, 1e-300)
        raise ArithmeticError(f"shell: expected a residual of {TOLERANCE} of the load, found {left:.1e}")


def vertex_normals(mesh: Mesh) -> NDArray[np.float64]:
    """Return the normals of a mesh's vertices, by the area of the triangles around, shape (v, 3)."""
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.stack(
        [
            np.bincount(mesh.triangles.ravel(), np.repeat(across[:, k], 3), minlength=len(mesh.vertices))
            for k in range(3)
        ],
        axis=1,
    )
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30))


def _smoothed(
    normals: NDArray[np.float64], laplacian: sparse.csr_array, areas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Average normals over RELIEF: one implicit step of diffusion."""
    mass = np.maximum(areas, 1e-12)
    matrix = sparse.csc_matrix(sparse.diags_array(mass) + RELIEF**2 * laplacian)
    factor = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    even = factor.solve(mass[:, None] * normals)
    return np.asarray(even / np.maximum(np.linalg.norm(even, axis=1, keepdims=True), 1e-12))


def _triangle_gradients(mesh: Mesh) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the gradients of the corners' hat functions [1/m], shape (t, 3, 3), and the areas [m^2], shape (t,)."""
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    square = np.einsum("ti,ti->t", normal, normal)
    if not (square > 0).all():
        raise InputError(f"shell: expected triangles with an area, found none in triangle {int(np.argmin(square))}")
    opposite = np.roll(corners, -2, axis=1) - np.roll(corners, -1, axis=1)
    # A quarter of a degree of a sliver's angle is kept: its cotangent would outweigh all others.
    longest = np.einsum("tai,tai->ta", opposite, opposite).max(1)
    square = np.maximum(square, (0.01 * longest) ** 2)
    return np.cross(normal[:, None], opposite) / square[:, None, None], np.sqrt(square) / 2


def _membrane(
    mesh: Mesh,
    normals: NDArray[np.float64],
    gradients: NDArray[np.float64],
    area: NDArray[np.float64],
    mechanics: ShellMechanics,
) -> NDArray[np.float64]:
    """Return each triangle's stiffness against the strain in its plane [N/m], shape (t, 3, 3)."""
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    first = corners[:, 1] - corners[:, 0]
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    normal = np.cross(first, corners[:, 2] - corners[:, 0])
    second = np.cross(normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30), first)
    moves = normals[mesh.triangles]
    n1, n2 = np.einsum("tai,ti->ta", moves, first), np.einsum("tai,ti->ta", moves, second)
    g1, g2 = np.einsum("tai,ti->ta", gradients, first), np.einsum("tai,ti->ta", gradients, second)
    strain = np.stack([n1 * g1, n2 * g2, n1 * g2 + n2 * g1], axis=1)
    nu = mechanics.poisson_ratio
    law = np.array([[1, nu, 0], [nu, 1, 0], [0, 0, (1 - nu) / 2]]) * mechanics.modulus / (1 - nu**2)
    return np.asarray(np.einsum("tia,ij,tjb,t->tab", strain, law, strain, area * mechanics.thickness))


def _assembled(blocks: NDArray[np.float64], mesh: Mesh, count: int) -> sparse.csr_array:
    rows, columns = np.repeat(mesh.triangles, 3, axis=1), np.tile(mesh.triangles, (1, 3))
    return sparse.csr_array(
        (blocks.reshape(len(blocks), 9).ravel(), (rows.ravel(), columns.ravel())), shape=(count, count)
    )


def _thickness(partner: Int[np.ndarray, "v"], spring: NDArray[np.float64]) -> sparse.csr_array:
    """Return the stiffness of the springs that keep the sum of two faces' displacements at zero [N/m]."""
    near = np.flatnonzero(partner >= 0)
    far, weight = partner[near], spring[near]
    rows = np.concatenate([near, near, far, far])
    columns = np.concatenate([near, far, near, far])
    return sparse.csr_array((np.tile(weight, 4), (rows, columns)), shape=(len(partner), len(partner)))
