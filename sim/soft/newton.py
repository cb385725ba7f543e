"""Newton's method for one implicit step: the lowest point of inertia, elasticity, loads and contact together."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import warp as wp
from numpy.typing import NDArray

from assets.errors import InputError
from sim.soft import contact, corotational, neo_hookean, node_forces
from sim.soft import element as element_kernels
from sim.soft.conjugate_gradient import ConjugateGradient, Solved
from sim.soft.node_forces import ENERGY, LONGEST, RATE, RESIDUAL, SCALE, SLOPE
from sim.soft.pattern import Integration, build_pattern
from sim.soft.precision import HOST, Mat33, Real, Vec3
from sim.soft.shared_array import SharedArray
from sim.soft.tet_mesh import TetMesh, surface_areas
from sim.wall_kernels import quiet

_HALVINGS = 12
_QUICK = 3  # Newton iterations of a step before the exact stiffness pays
_SLOW = 0.8  # a step that leaves more than this share of the residual was slow
_FORCING = 3e-2  # in motion a Newton step need not be solved better than this share of the residual before it
_FLOOR = 1e-9  # forces below this share of shear modulus times face are rounding


@dataclass(frozen=True)
class SoftOptions:
    """How soft tissue is computed."""

    material: Literal["corotational", "neo_hookean"] = "corotational"
    """Law of element_kernels."""
    integration: Integration = "nodal"
    """Of the volumetric part; element integration locks where tissue is nearly incompressible."""
    tolerance: float = 1e-3
    """Norm of the unbalanced forces over that of the forces, at which a step is solved."""
    newton_iterations: int = 40
    """At most, in a step."""
    cg_iterations: int = 3000
    """At most, in a Newton iteration."""
    drag: float = 0.0
    """Damping against rest, over mass [1/s]."""
    contact_stiffness: float = 0.0
    """Pressure per depth [Pa/m]; 0: 100 times the largest Young's modulus over the mean edge."""
    stick_length: float = 1e-4
    """Slide in a step from which friction acts in full [m]."""
    tools: int = 4
    """Capsules that can touch it."""
    device: str = "cpu"
    """Warp's name for the device."""
    serial: bool | None = None
    """Solve in one kernel of one thread; None: on the CPU."""

    def __post_init__(self) -> None:
        if not (0 < self.tolerance < 1 and min(self.newton_iterations, self.cg_iterations, self.tools) >= 1):
            raise InputError(
                f"soft tissue: expected a tolerance in (0, 1) and at least one iteration and tool, found {self}"
            )
        if not (0 <= self.drag < np.inf and 0 <= self.contact_stiffness < np.inf and 0 < self.stick_length < np.inf):
            raise InputError(f"soft tissue: expected drag, contact stiffness and stick length above 0, found {self}")


@dataclass(frozen=True)
class Minimised:
    """How a step was solved."""

    newton_iterations: int
    cg_iterations: int
    residual: float
    """Norm of the unbalanced forces over that of the forces."""
    tolerance: float
    """What it should be at most."""
    converged: bool
    finite: bool


class Newton:
    """Owns every array of a body on its device; nothing is allocated in a step."""

    def __init__(self, mesh: TetMesh, options: SoftOptions) -> None:
        """Allocate and record all launches."""
        quiet()
        self._options = options
        device = options.device
        serial = wp.get_device(device).is_cpu if options.serial is None else options.serial
        self.pattern = build_pattern(mesh, options.integration)
        count, elements, domains = len(mesh.nodes), len(mesh.tets), len(self.pattern.domain_volume)
        self._solver = ConjugateGradient(self.pattern, most=options.cg_iterations, device=device, serial=serial)

        def fixed(values: NDArray[Any], dtype: Any) -> wp.array:
            return wp.array(np.ascontiguousarray(values), dtype=dtype, device=device)

        def shared(values: NDArray[Any], dtype: Any) -> SharedArray:
            return SharedArray(values.astype(HOST), dtype, device)

        self.x = shared(mesh.nodes, Vec3)
        self.start = shared(mesh.nodes, Vec3)
        self.velocity = shared(np.zeros((count, 3)), Vec3)
        self.target = shared(mesh.nodes, Vec3)
        self.free = shared(np.ones((count, 3)), Vec3)
        self.load = shared(np.zeros((count, 3)), Vec3)
        self.ground = shared(np.zeros(count), Real)
        self.ground_anchor = shared(mesh.nodes, Vec3)
        self.hold = shared(np.zeros(count), Real)
        self.hold_limit = shared(np.ones(count), Real)
        self.hold_anchor = shared(mesh.nodes, Vec3)
        self.jacobian = shared(np.ones(elements), Real)
        self.step = shared(np.zeros(5), Real)
        self.sums = shared(np.zeros(5), Real)
        self.share = shared(np.ones(1), Real)
        self._solver.system.free = self.free.device
        self.gradient = self._solver.gradient

        nodes = node_forces.Nodes()
        nodes.mass = fixed(mesh.masses.astype(HOST), Real)
        for name in (
            "start",
            "velocity",
            "load",
            "ground",
            "ground_anchor",
            "hold",
            "hold_limit",
            "hold_anchor",
            "free",
        ):
            setattr(nodes, name, getattr(self, name).device)

        shear, _ = mesh.lame
        lame, at_rest = self.pattern.domain_lame, np.full(domains, 3.0)
        law: Any = corotational
        if options.material == "neo_hookean":
            law = neo_hookean
            shear = shear * 4 / 3
            at_rest = np.ones(domains)
        edges = mesh.nodes[mesh.tets[:, 1:]] - mesh.nodes[mesh.tets[:, :1]]
        tets = fixed(mesh.tets, wp.int32)
        rest_inverse = fixed(np.linalg.inv(edges.transpose(0, 2, 1)).astype(HOST), Mat33)
        volume, modulus = fixed(mesh.volumes.astype(HOST), Real), fixed(shear.astype(HOST), Real)
        domain = fixed(self.pattern.domain, wp.int32)
        domain_volume, domain_lame = (
            fixed(self.pattern.domain_volume.astype(HOST), Real),
            fixed(lame.astype(HOST), Real),
        )
        self._direction = wp.zeros(elements, dtype=Mat33, device=device)
        self._dilatation = wp.zeros(domains, dtype=Real, device=device)
        pressure = wp.zeros(domains, dtype=Real, device=device)
        x, direction, dilatation, sums = self.x.device, self._direction, self._dilatation, self.sums.device
        system, gradient = self._solver.system, self.gradient

        triangles = mesh.surface
        area = np.linalg.norm(surface_areas(mesh.nodes, triangles), axis=1)
        self._surface = contact.Surface()
        self._surface.triangles = fixed(triangles, wp.int32)
        self._surface.area = fixed(area.astype(HOST), Real)
        corner = np.repeat(triangles[:, :, None], 3, axis=2)
        blocks = self.pattern.block_of(corner.ravel(), corner.transpose(0, 2, 1).ravel()).reshape(-1, 9)
        self._surface.blocks = fixed(blocks, wp.int32)
        edge = float(np.sqrt(4 / np.sqrt(3) * area.mean()))
        stiffest = max(tissue.youngs_modulus for tissue in mesh.tissues)
        self._surface.stiffness = options.contact_stiffness or 100 * stiffest / edge
        self._surface.stick = options.stick_length
        self.tools = {
            name: shared(np.zeros((options.tools, 3)), Vec3)
            for name in ("first_before", "second_before", "first", "second")
        }
        self.tools |= {name: shared(np.zeros(options.tools), Real) for name in ("radius", "friction")}
        self.tools["wrench"] = shared(np.zeros((options.tools, 6)), Real)
        self.tools["pressed"] = shared(np.zeros((contact.POINTS * len(triangles), options.tools, 3)), Vec3)
        self.pierced = SharedArray(np.zeros(options.tools, np.int32), wp.int32, device)
        tools = contact.Tools()
        tools.pierced = self.pierced.device
        for name, array in self.tools.items():
            setattr(tools, name, array.device)

        self._floor = _FLOOR * float(shear.mean()) * edge**2 * np.sqrt(count)

        def launch(kernel: Any, size: int, *inputs: Any) -> Any:
            return wp.launch(kernel, size, inputs=list(inputs), device=device, record_cmd=True)

        element = (x, tets, rest_inverse, volume, modulus, domain)
        step = self.step.device
        self._elastic = [
            launch(law.strain, elements, *element, domain_volume, direction, dilatation, self.jacobian.device, sums),
            launch(
                element_kernels.domain_pressure,
                domains,
                dilatation,
                fixed(at_rest.astype(HOST), Real),
                domain_lame,
                domain_volume,
                pressure,
                sums,
            ),
        ]
        self._forces = [
            launch(law.stress, elements, *element, pressure, direction, gradient),
            launch(node_forces.add_forces, count, step, nodes, x, gradient, sums),
        ]
        self._touch = launch(
            contact.add_forces, len(triangles), self._surface, tools, self.start.device, x, gradient, sums
        )
        self._residual = launch(node_forces.measure_residual, count, nodes, gradient, sums)
        blocks_of = fixed(self.pattern.element_blocks, wp.int32)
        self.projected = SharedArray(np.zeros(1, np.int32), wp.int32, device)
        self._exact = launch(
            law.stiffness, elements, *element, pressure, self.projected.device, blocks_of, system.blocks
        )
        self._quick = self._exact
        if options.material == "corotational":
            self._quick = launch(
                corotational.turning_stiffness, elements, *element[:-1], direction, blocks_of, system.blocks
            )
        self._stiffness = [
            launch(
                element_kernels.dilatation_rows,
                elements,
                rest_inverse,
                volume,
                domain,
                fixed(np.sqrt(lame / self.pattern.domain_volume).astype(HOST), Real),
                direction,
                fixed(self.pattern.element_b, wp.int32),
                system.b,
            ),
            launch(node_forces.add_stiffness, count, step, nodes, x, system.diagonal, system.blocks),
        ]
        self._touch_stiffness = launch(
            contact.add_stiffness,
            len(triangles),
            self._surface,
            tools,
            self.start.device,
            x,
            self.projected.device,
            system.blocks,
        )
        self._pierced = launch(contact.find_pierced, elements, x, tets, tools)
        self._note = launch(contact.note_pressed, len(triangles), self._surface, tools, x)
        solution = self._solver.work.solution
        self._before = wp.zeros(count, dtype=Vec3, device=device)
        self._move = launch(node_forces.move, count, self._before, solution, self.share.device, x)
        self._slope = launch(node_forces.measure_slope, count, gradient, solution, sums)
        self._predict = launch(node_forces.predict, count, step, nodes, self.target.device, x)
        self._finish = launch(node_forces.finish, count, step, nodes, x)

    @property
    def contact_stiffness(self) -> float:
        """Pressure per depth [Pa/m]."""
        return float(self._surface.stiffness)

    def elastic_energy(self) -> float:
        """Return the energy in the tissue where it is now [J]."""
        self._clear_sums()
        for command in self._elastic:
            command.launch()
        return float(self.sums.pull()[ENERGY])

    def predict(self) -> None:
        """Begin a step from x and the velocity; what is not free goes to its target."""
        self._predict.launch()

    def finish(self, *, touching: bool) -> None:
        """End a step: velocity from x and the start; the contact forces for friction; tools that pierce the tissue."""
        self._finish.launch()
        if touching:
            self._note.launch()
            self.pierced.device.zero_()
            self._pierced.launch()

    def minimise(self, *, touching: bool) -> Minimised:
        """Find the lowest point from where x is.

        Args:
            touching: There are tools.
        """
        options = self._options
        radius = self.tools["radius"].host
        # In an iteration no node moves so far that it could pass to the other side of a tool.
        stride = float(radius[radius > 0].min()) / 2 if touching else np.inf
        # Without inertia, what is left by many loose solves would lie in the softest motions, and move the tissue far.
        forcing = _FORCING if self.step.host[RATE] > 0 else 0.0
        sums = self._evaluate(touching)
        total, iterations, slow = 0, 0, False
        while True:
            if not np.isfinite(sums).all():
                return Minimised(iterations, total, float("nan"), options.tolerance, False, False)
            norm, scale = float(np.sqrt(sums[RESIDUAL])), float(np.sqrt(sums[SCALE]))
            enough = max(options.tolerance * scale, self._floor)
            residual = norm / max(scale, self._floor / options.tolerance)
            if norm <= enough or iterations == options.newton_iterations:
                return Minimised(iterations, total, residual, options.tolerance, norm <= enough, True)
            wanted = max(0.5 * enough, forcing * norm)
            quick = iterations < _QUICK
            # A step begins with tools that overlap the tissue; how the push turns tells nothing yet.
            solved = self._search(touching, wanted, quick=quick, projected=iterations == 0)
            total += solved.iterations
            # Where the matrix bends down, its positive part leads back to where it does not, unless that has just
            # proved slow; then the way down along the bend does.
            projected = solved.bent and not slow
            if projected:
                total += self._search(touching, wanted, quick=quick, projected=True).iterations
            slope = self._measure_slope()
            iterations += 1
            energy = float(sums[ENERGY])
            wp.copy(self._before, self.x.device)
            share = min(1.0, stride / max(float(self.sums.host[LONGEST]), 1e-300))
            for _ in range(_HALVINGS):
                self.share.host[0] = share
                self.share.push()
                self._move.launch()
                sums = self._evaluate(touching)
                if sums[ENERGY] <= energy + 1e-4 * share * slope + 1e-12 * abs(energy):
                    break
                share /= 2
            slow = projected and not sums[RESIDUAL] < _SLOW**2 * norm**2

    def _search(self, touching: bool, enough: float, *, quick: bool, projected: bool) -> Solved:
        """Write the Newton direction at x to the solver's solution."""
        self._solver.clear()
        self.projected.host[0] = projected
        self.projected.push()
        (self._quick if quick else self._exact).launch()
        for command in self._stiffness:
            command.launch()
        if touching:
            self._touch_stiffness.launch()
        return self._solver.solve(enough)

    def _measure_slope(self) -> float:
        self.sums.host[[SLOPE, LONGEST]] = 0.0
        self.sums.push()
        self._slope.launch()
        return float(self.sums.pull()[SLOPE])

    def _clear_sums(self) -> None:
        self.sums.device.zero_()
        self._dilatation.zero_()

    def _evaluate(self, touching: bool) -> NDArray[np.floating]:
        """Compute all forces at x; return a copy of the sums."""
        self._clear_sums()
        self.gradient.zero_()
        for command in (*self._elastic, *self._forces):
            command.launch()
        if touching:
            self.tools["wrench"].device.zero_()
            self._touch.launch()
        self._residual.launch()
        return self.sums.pull().copy()
