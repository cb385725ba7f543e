"""Preconditioned conjugate gradients on K + B^T B, stopped on the residual.

Two ways through the same rows: on the CPU one kernel runs the whole iteration, so that a step costs no launches; on
CUDA every iteration is four launches that do nothing once the residual, kept on the device, is small enough. The
preconditioner is the inverse of each node's own 3 x 3 block (Saad, Iterative Methods for Sparse Linear Systems, 2nd
edition, algorithm 9.1 and section 10.2).
"""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, valid-type, var-annotated, misc"
# (Warp's stubs give generic vectors no operators.)

from dataclasses import dataclass

import numpy as np
import warp as wp

from sim.soft.pattern import Pattern
from sim.soft.precision import HOST, Mat33, Real, Vec3


@wp.struct
class System:
    """The matrix in compressed rows, as in `sim.soft.pattern`, and B once more by columns.

    `free` is 0 for components of nodes that do not move.
    """

    start: wp.array[wp.int32]
    column: wp.array[wp.int32]
    diagonal: wp.array[wp.int32]
    blocks: wp.array[Mat33]
    b_start: wp.array[wp.int32]
    b_column: wp.array[wp.int32]
    b: wp.array[Vec3]
    bt_start: wp.array[wp.int32]
    bt_entry: wp.array[wp.int32]
    bt_row: wp.array[wp.int32]
    bt: wp.array[Vec3]
    free: wp.array[Vec3]
    inverse: wp.array[Mat33]


@wp.struct
class Work:
    """Vectors of the iteration: solution, residual, preconditioned residual, direction, its product, B times it."""

    solution: wp.array[Vec3]
    residual: wp.array[Vec3]
    scaled: wp.array[Vec3]
    direction: wp.array[Vec3]
    product: wp.array[Vec3]
    dilatation: wp.array[Real]


@wp.func
def dilatation_row(system: System, vector: wp.array[Vec3], d: wp.int32) -> Real:
    """Return row d of B times a vector."""
    total = Real(0.0)
    for k in range(system.b_start[d], system.b_start[d + 1]):
        total += wp.dot(system.b[k], vector[system.b_column[k]])
    return total


@wp.func
def stiffness_row(system: System, vector: wp.array[Vec3], dilatation: wp.array[Real], i: wp.int32) -> Vec3:
    """Return row i of K times a vector plus row i of B^T times its dilatation; zero where it is held."""
    total = Vec3()
    for k in range(system.start[i], system.start[i + 1]):
        total += system.blocks[k] * vector[system.column[k]]
    for k in range(system.bt_start[i], system.bt_start[i + 1]):
        total += dilatation[system.bt_row[k]] * system.bt[k]
    return wp.cw_mul(system.free[i], total)


@wp.kernel(enable_backward=False)
def prepare(system: System) -> None:
    """Write the inverse of each node's own block of K + B^T B, and B by columns."""
    i = wp.tid()
    own = system.blocks[system.diagonal[i]]
    for k in range(system.bt_start[i], system.bt_start[i + 1]):
        b = system.b[system.bt_entry[k]]
        system.bt[k] = b
        own += wp.outer(b, b)
    system.inverse[i] = wp.inverse(own)


@wp.kernel(enable_backward=False)
def solve_serially(
    system: System, work: Work, gradient: wp.array[Vec3], limits: wp.array[Real], result: wp.array[Real]
) -> None:
    """Run the whole iteration in one thread.

    Args:
        system: The matrix.
        work: `solution` is written.
        gradient: Minus the right-hand side [N].
        limits: Norm of the residual at which to stop [N], most iterations.
        result: Iterations, norm of the residual at the start and at the end [N], 1 where it stopped because the matrix
            bends down along a direction; written.
    """
    count = gradient.shape[0]
    rz = Real(0.0)
    rr = Real(0.0)
    for i in range(count):
        r = -wp.cw_mul(system.free[i], gradient[i])
        z = wp.cw_mul(system.free[i], system.inverse[i] * r)
        work.solution[i] = Vec3()
        work.residual[i] = r
        work.direction[i] = z
        rz += wp.dot(r, z)
        rr += wp.dot(r, r)
    result[1] = wp.sqrt(rr)
    result[3] = Real(0.0)
    iterations = wp.int32(0)
    enough = limits[0] * limits[0]
    while rr > enough and iterations < wp.int32(limits[1]):
        for d in range(work.dilatation.shape[0]):
            work.dilatation[d] = dilatation_row(system, work.direction, d)
        pq = Real(0.0)
        for i in range(count):
            q = stiffness_row(system, work.direction, work.dilatation, i)
            work.product[i] = q
            pq += wp.dot(work.direction[i], q)
        if pq <= Real(0.0) or rz <= Real(0.0):
            if iterations == 0:
                for i in range(count):
                    work.solution[i] = work.direction[i]
            result[3] = Real(1.0)
            break
        step = rz / pq
        before = rz
        rz = Real(0.0)
        rr = Real(0.0)
        for i in range(count):
            work.solution[i] += step * work.direction[i]
            r = work.residual[i] - step * work.product[i]
            z = wp.cw_mul(system.free[i], system.inverse[i] * r)
            work.residual[i] = r
            work.scaled[i] = z
            rz += wp.dot(r, z)
            rr += wp.dot(r, r)
        turn = rz / before
        for i in range(count):
            work.direction[i] = work.scaled[i] + turn * work.direction[i]
        iterations += 1
    result[0] = Real(iterations)
    result[2] = wp.sqrt(rr)


@wp.func
def is_done(sums: wp.array2d[Real], limits: wp.array[Real], iteration: wp.int32) -> wp.bool:
    """Tell whether the residual before this iteration was small enough."""
    return sums[iteration, 2] <= limits[0] * limits[0]


@wp.kernel(enable_backward=False)
def begin(system: System, work: Work, gradient: wp.array[Vec3], sums: wp.array2d[Real]) -> None:
    """Start from zero; row 0 of `sums` gets r.z and r.r in its last two columns."""
    i = wp.tid()
    r = -wp.cw_mul(system.free[i], gradient[i])
    z = wp.cw_mul(system.free[i], system.inverse[i] * r)
    work.solution[i] = Vec3()
    work.residual[i] = r
    work.direction[i] = z
    wp.atomic_add(sums, 0, 1, wp.dot(r, z))
    wp.atomic_add(sums, 0, 2, wp.dot(r, r))


@wp.kernel(enable_backward=False)
def measure_dilatation(
    system: System, work: Work, limits: wp.array[Real], sums: wp.array2d[Real], iteration: wp.int32
) -> None:
    """Write B times the direction."""
    if not is_done(sums, limits, iteration):
        d = wp.tid()
        work.dilatation[d] = dilatation_row(system, work.direction, d)


@wp.kernel(enable_backward=False)
def multiply(system: System, work: Work, limits: wp.array[Real], sums: wp.array2d[Real], iteration: wp.int32) -> None:
    """Write the matrix times the direction, and add up their scalar product."""
    if not is_done(sums, limits, iteration):
        i = wp.tid()
        q = stiffness_row(system, work.direction, work.dilatation, i)
        work.product[i] = q
        wp.atomic_add(sums, iteration, 0, wp.dot(work.direction[i], q))


@wp.kernel(enable_backward=False)
def advance(system: System, work: Work, limits: wp.array[Real], sums: wp.array2d[Real], iteration: wp.int32) -> None:
    """Go along the direction, and add up the next row of sums."""
    if not is_done(sums, limits, iteration):
        i = wp.tid()
        if sums[iteration, 0] <= Real(0.0) or sums[iteration, 1] <= Real(0.0):
            # The next row stays 0, which ends the iteration.
            if iteration == 0:
                work.solution[i] = work.direction[i]
            return
        step = sums[iteration, 1] / sums[iteration, 0]
        work.solution[i] += step * work.direction[i]
        r = work.residual[i] - step * work.product[i]
        z = wp.cw_mul(system.free[i], system.inverse[i] * r)
        work.residual[i] = r
        work.scaled[i] = z
        wp.atomic_add(sums, iteration + 1, 1, wp.dot(r, z))
        wp.atomic_add(sums, iteration + 1, 2, wp.dot(r, r))


@wp.kernel(enable_backward=False)
def turn_direction(work: Work, limits: wp.array[Real], sums: wp.array2d[Real], iteration: wp.int32) -> None:
    """Make the next direction conjugate to the last."""
    if not is_done(sums, limits, iteration):
        i = wp.tid()
        turn = sums[iteration + 1, 1] / sums[iteration, 1]
        work.direction[i] = work.scaled[i] + turn * work.direction[i]


@dataclass(frozen=True)
class Solved:
    """How the iteration went."""

    iterations: int
    first: float
    """Norm of the residual at the start [N]."""
    last: float
    """Norm of the residual at the end [N]."""
    bent: bool
    """It stopped early, at a direction along which the matrix bends down (Nocedal and Wright, Numerical Optimization,
    2nd edition, algorithm 7.1)."""


class ConjugateGradient:
    """Owns the matrix's storage and the work space; nothing is allocated in `solve`."""

    def __init__(self, pattern: Pattern, *, most: int, device: str, serial: bool) -> None:
        """Allocate.

        Args:
            pattern: Of the matrix.
            most: Iterations.
            device: Warp's name for it.
            serial: Run in one thread; for the CPU.
        """
        nodes, domains = len(pattern.diagonal), len(pattern.domain_volume)
        self._device, self._serial, self._most = device, serial, most
        self.system = System()
        for name in ("start", "column", "diagonal", "b_start", "b_column", "bt_start", "bt_entry", "bt_row"):
            setattr(self.system, name, wp.array(getattr(pattern, name), dtype=wp.int32, device=device))
        self.system.blocks = wp.zeros(len(pattern.column), dtype=Mat33, device=device)
        self.system.b = wp.zeros(len(pattern.b_column), dtype=Vec3, device=device)
        self.system.bt = wp.zeros(len(pattern.b_column), dtype=Vec3, device=device)
        self.system.free = wp.zeros(nodes, dtype=Vec3, device=device)
        self.system.inverse = wp.zeros(nodes, dtype=Mat33, device=device)
        self.work = Work()
        for name in ("solution", "residual", "scaled", "direction", "product"):
            setattr(self.work, name, wp.zeros(nodes, dtype=Vec3, device=device))
        self.work.dilatation = wp.zeros(domains, dtype=Real, device=device)
        self.gradient = wp.zeros(nodes, dtype=Vec3, device=device)
        """Minus the right-hand side [N]."""
        self._limits = wp.zeros(2, dtype=Real, device=device)
        self._result = wp.zeros(4, dtype=Real, device=device)
        self._sums = wp.zeros((1 if serial else most + 1, 3), dtype=Real, device=device)
        self._nodes, self._domains = nodes, domains
        self._prepare = wp.launch(prepare, nodes, inputs=[self.system], device=device, record_cmd=True)
        self._whole = wp.launch(
            solve_serially,
            1,
            inputs=[self.system, self.work, self.gradient, self._limits, self._result],
            device=device,
            record_cmd=True,
        )

    def clear(self) -> None:
        """Set the matrix to zero."""
        self.system.blocks.zero_()
        self.system.b.zero_()

    def solve(self, enough: float) -> Solved:
        """Solve until the norm of the residual is at most `enough` [N]; the solution is `work.solution`."""
        self._limits.assign(np.array([enough, self._most], dtype=HOST))
        self._prepare.launch()
        if self._serial:
            self._whole.launch()
            iterations, first, last, bent = self._result.numpy()
            return Solved(int(iterations), float(first), float(last), bool(bent))
        self._sums.zero_()
        same = [self.system, self.work, self._limits, self._sums]
        wp.launch(begin, self._nodes, inputs=[self.system, self.work, self.gradient, self._sums], device=self._device)
        for iteration in range(self._most):
            wp.launch(measure_dilatation, self._domains, inputs=[*same, iteration], device=self._device)
            wp.launch(multiply, self._nodes, inputs=[*same, iteration], device=self._device)
            wp.launch(advance, self._nodes, inputs=[*same, iteration], device=self._device)
            wp.launch(turn_direction, self._nodes, inputs=[*same[1:], iteration], device=self._device)
        sums = self._sums.numpy()
        done = np.flatnonzero(sums[:, 2] <= enough * enough)
        last = int(done[0]) if len(done) else self._most
        bent = last > 0 and sums[last - 1, 0] <= 0
        return Solved(last, float(np.sqrt(sums[0, 2])), float(np.sqrt(sums[last, 2])), bool(bent))
