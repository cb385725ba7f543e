"""A soft organ: owns its state, and moves it on under loads, supports, tools and grasps."""

from collections.abc import Sequence

import numpy as np
import warp as wp
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from assets.errors import InputError
from assets.transforms import compose
from sim.soft.contact import Capsule
from sim.soft.cutting import Cut, CutOptions, cut_mesh
from sim.soft.faults import find_faults
from sim.soft.grasp import Grasp, make_grasp
from sim.soft.newton import Minimised, Newton, SoftOptions
from sim.soft.report import SoftFaultError, StepReport
from sim.soft.state import Energy, SoftState, carried_over, same_mesh
from sim.soft.sweep import Sweep
from sim.soft.tet_mesh import TetMesh

_ENDS = ("first", "second")
_MAX_SUBSTEPS = 200
_STATE = ("x", "velocity", "target", "free", "load", "ground", "ground_anchor")


class SoftBody:
    """Tissue that deforms. World frame, SI units."""

    def __init__(
        self,
        mesh: TetMesh,
        options: SoftOptions | None = None,
        *,
        gravity: Sequence[float] = (0.0, -9.81, 0.0),
        name: str = "soft tissue",
        raise_faults: bool = True,
    ) -> None:
        """Lay the tissue down at rest.

        Args:
            mesh: Tetrahedra and what they are made of.
            options: How it is computed.
            gravity: [m/s^2]; the patient lies supine.
            name: Of the organ, for faults.
            raise_faults: Raise `SoftFaultError` where a step finds faults; else they are in its report alone.
        """
        self.mesh, self.options, self.name = mesh, options or SoftOptions(), name
        self._uncut = mesh
        self.time = 0.0
        self._raise = raise_faults
        self._gravity = np.array(gravity, dtype=np.float64)
        if self._gravity.shape != (3,) or not np.isfinite(self._gravity).all():
            raise InputError(f"{name}: expected a finite gravity of three numbers, found {gravity}")
        self._solver = Newton(mesh, self.options)
        self._grasps: list[Grasp] = []
        self._aims: dict[int, NDArray[np.float64]] = {}

    @property
    def uncut(self) -> TetMesh:
        """What the body was made of; `mesh` is what cuts have made of it, element for element."""
        return self._uncut

    @property
    def positions(self) -> NDArray[np.float64]:
        """Nodes [m], shape (n, 3); a copy."""
        return np.array(self._solver.x.pull(), dtype=np.float64)

    @property
    def device_positions(self) -> wp.array:
        """Nodes [m] on the device; read only. After a cut, or the return to another state of cuts, another array."""
        return self._solver.x.device

    @property
    def velocities(self) -> NDArray[np.float64]:
        """Of the nodes [m/s], shape (n, 3); a copy."""
        return np.array(self._solver.velocity.pull(), dtype=np.float64)

    def place(self, positions: Float[np.ndarray, "n 3"], velocities: Float[np.ndarray, "n 3"] | None = None) -> None:
        """Put the nodes somewhere [m], with velocities [m/s] or at rest; fixed nodes stay fixed there."""
        solver = self._solver
        for array, values in ((solver.x, positions), (solver.target, positions), (solver.velocity, velocities)):
            array.host[...] = 0.0 if values is None else self._rows(values, len(self.mesh.nodes))
            array.push()

    def fix(self, nodes: ArrayLike, axes: Sequence[int] = (0, 1, 2)) -> None:
        """Hold nodes where they are, until `move` or `free`; along some axes only, for a plane to slide in."""
        index = self._nodes(nodes)
        solver = self._solver
        place = np.ix_(index, np.asarray(axes))
        solver.target.host[place] = solver.x.pull()[place]
        solver.free.host[place] = 0.0
        solver.target.push()
        solver.free.push()

    def free(self, nodes: ArrayLike) -> None:
        """Let fixed nodes go."""
        self._solver.free.host[self._nodes(nodes)] = 1.0
        self._solver.free.push()

    def move(self, nodes: ArrayLike, positions: Float[np.ndarray, "k 3"]) -> None:
        """Tell fixed nodes where to be at the end of the next step [m]; they go there in a straight line."""
        index = self._nodes(nodes)
        loose = self._solver.free.host[index].all(axis=1)
        if loose.any():
            raise InputError(f"{self.name}: expected fixed nodes, found node {index[loose][0]} free")
        self._solver.target.host[index] = self._rows(positions, len(index))

    def load(self, nodes: ArrayLike, forces: Float[np.ndarray, "k 3"]) -> None:
        """Apply forces [N] to nodes until they are set anew."""
        index = self._nodes(nodes)
        self._solver.load.host[index] = self._rows(forces, len(index))
        self._solver.load.push()

    def support(self, nodes: ArrayLike, stiffness: ArrayLike, anchors: Float[np.ndarray, "k 3"] | None = None) -> None:
        """Tie nodes to points by springs: ligaments, neighbours, a foundation.

        Args:
            nodes: Indices.
            stiffness: Of each [N/m], or one for all; 0 unties.
            anchors: Where the springs are at rest [m]; where the nodes are at rest if None.
        """
        index = self._nodes(nodes)
        values = np.broadcast_to(np.asarray(stiffness, np.float64), index.shape)
        if not (np.isfinite(values).all() and (values >= 0).all()):
            raise InputError(f"{self.name}: expected finite spring stiffness of at least 0, found {values.min()}")
        solver = self._solver
        solver.ground.host[index] = values
        solver.ground_anchor.host[index] = (
            self.mesh.nodes[index] if anchors is None else self._rows(anchors, len(index))
        )
        solver.ground.push()
        solver.ground_anchor.push()

    def set_tools(self, tools: Sequence[Capsule | None]) -> None:
        """Say where the rigid tools are at the end of the next step; they move there in a straight line.

        A tool that was not there before starts where it is; None keeps the place of one that is away.

        Raises:
            InputError: There are more than `SoftOptions.tools`.
        """
        arrays = self._solver.tools
        if len(tools) > self.options.tools:
            raise InputError(f"{self.name}: expected at most {self.options.tools} tools, found {len(tools)}")
        for index in range(self.options.tools):
            new = arrays["radius"].host[index] == 0
            tool = tools[index] if index < len(tools) else None
            if tool is not None:
                arrays["first"].host[index], arrays["second"].host[index] = tool.first, tool.second
                arrays["radius"].host[index], arrays["friction"].host[index] = tool.radius, tool.friction
            if tool is None:
                arrays["radius"].host[index] = 0.0
            if tool is None or new:
                arrays["first_before"].host[index] = arrays["first"].host[index]
                arrays["second_before"].host[index] = arrays["second"].host[index]
                arrays["pressed"].pull()[:, index] = 0.0
        for name in ("radius", "friction", "pressed"):
            arrays[name].push()

    def grasp(
        self,
        nodes: ArrayLike,
        T_world_jaw: Float[np.ndarray, "4 4"],
        *,
        limit: float,
        stiffness: float | None = None,
        reach: float = 0.01,
    ) -> int:
        """Close a jaw on nodes.

        Args:
            nodes: Indices.
            T_world_jaw: The jaw's frame now.
            limit: Most force that it holds [N]: twice its closing force times the friction.
            stiffness: Of the spring at each node [N/m]; ten times the limit over the reach, shared, if None.
            reach: Slip after which a node leaves the jaw [m].

        Returns:
            The grasp's id.
        """
        index = self._nodes(nodes)
        held = {int(node) for grasp in self._grasps for node in grasp.nodes[grasp.held]}
        if held & set(index.tolist()):
            raise InputError(
                f"{self.name}: expected nodes in no jaw, found node {min(held & set(index.tolist()))} held"
            )
        stiffness = 10 * limit / reach / max(1, len(index)) if stiffness is None else stiffness
        x = self._solver.x.pull()[index]
        self._grasps.append(make_grasp(index, x, T_world_jaw, limit=limit, stiffness=stiffness, reach=reach))
        return len(self._grasps) - 1

    def move_grasp(self, grasp: int, T_world_jaw: Float[np.ndarray, "4 4"]) -> None:
        """Say where a jaw is at the end of the next step."""
        self._aims[grasp] = np.array(T_world_jaw, np.float64)

    def squeeze(self, grasp: int, share: float) -> None:
        """Let a jaw close further on what it holds: of all distances along its y axis a share is left."""
        self._grasps[grasp].anchors[:, 1] *= share

    def held_place(self, grasp: int) -> NDArray[np.float64]:
        """Return the middle of what a jaw holds [m], shape (3,); the jaw's own origin where it holds nothing."""
        found = self._grasps[grasp]
        if not found.held.any():
            return found.T_world_jaw[:3, 3].copy()
        return np.asarray(found.world_anchors()[found.held].mean(axis=0))

    def release(self, grasp: int) -> None:
        """Open a jaw."""
        self._grasps[grasp].held[:] = False

    def held(self, grasp: int) -> NDArray[np.int64]:
        """Return the nodes that a jaw still holds."""
        return self._grasps[grasp].nodes[self._grasps[grasp].held]

    def cut(
        self,
        sweep: Sweep,
        options: CutOptions | None = None,
        *,
        seen: NDArray[np.float64] | None = None,
    ) -> Cut | None:
        """Cut the tissue where it is along what a blade passes over; no time passes.

        Nodes keep their numbers, new ones come last. Those that are fixed or in a jaw keep their places in the tissue.

        Args:
            sweep: What the blade passes over.
            options: How the mesh is parted.
            seen: Positions of the nodes when the blade's last motion ended [m]; None where they have not moved since.

        Returns:
            What it did, for the surfaces that follow; None where nothing was cut, and nothing changed.
        """
        state = self.save_state()
        loose = np.asarray((state.arrays["free"] > 0).all(axis=1))
        for grasp in state.grasps:
            loose[grasp.nodes] = False
        x, velocity = state.arrays["x"], state.arrays["velocity"]
        found = cut_mesh(self.mesh, x, velocity, sweep, loose=loose, seen=seen, options=options)
        if found is not None:
            aims = self._aims
            self.restore_state(carried_over(state, found))
            self._aims = aims
        return found

    def step(self, dt: float) -> StepReport:
        """Move on by implicit Euler; in substeps where a tool moves farther than half its radius.

        Args:
            dt: [s]

        Raises:
            SoftFaultError: There are faults and `raise_faults` is set. After "not finite" the body is as before.
        """
        if not 0 < dt < np.inf:
            raise InputError(f"{self.name}: expected a time step above 0, found {dt} s")
        return self._advance(dt, self._substeps())

    def equilibrate(self) -> StepReport:
        """Go to the nearest equilibrium, at rest, without time passing.

        Raises:
            SoftFaultError: As for `step`; a body that nothing holds has no equilibrium.
        """
        return self._advance(0.0, 1)

    def reactions(self) -> NDArray[np.float64]:
        """Return the force that holds each fixed node in place [N], shape (n, 3); 0 where it is free."""
        return np.asarray(self._solver.gradient.numpy() * (1 - self._solver.free.host), np.float64)

    def energy(self) -> Energy:
        """Return the energy now."""
        x, v = self.positions, self.velocities
        away = x - self._solver.ground_anchor.host
        return Energy(
            kinetic=float(0.5 * self.mesh.masses @ np.square(v).sum(axis=1)),
            elastic=self._solver.elastic_energy(),
            gravity=float(-self.mesh.masses @ (x @ self._gravity)),
            springs=float(0.5 * self._solver.ground.host @ np.square(away).sum(axis=1)),
        )

    def save_state(self) -> SoftState:
        """Return a copy of everything that decides how the body goes on."""
        return SoftState(
            uncut=self._uncut,
            mesh=self.mesh,
            time=self.time,
            arrays={name: getattr(self._solver, name).pull().copy() for name in _STATE},
            tools={name: array.pull().copy() for name, array in self._solver.tools.items()},
            grasps=tuple(grasp.copy() for grasp in self._grasps),
        )

    def restore_state(self, state: SoftState) -> None:
        """Go back to a saved state, to the byte.

        Raises:
            InputError: The state is of another mesh.
        """
        if not same_mesh(state.uncut, self._uncut) or len(state.tools["radius"]) != self.options.tools:
            raise InputError(
                f"{self.name}: expected a state of this mesh of {len(self._uncut.nodes)} nodes and of "
                f"{self.options.tools} tools, found one of {len(state.uncut.nodes)} and {len(state.tools['radius'])}"
            )
        if not same_mesh(state.mesh, self.mesh):
            self._solver = Newton(state.mesh, self.options)
        self.mesh = state.mesh
        self.time = state.time
        for name, values in state.arrays.items():
            array = getattr(self._solver, name)
            array.host[...] = values
            array.push()
        for name, values in state.tools.items():
            self._solver.tools[name].host[...] = values
            self._solver.tools[name].push()
        self._grasps = [grasp.copy() for grasp in state.grasps]
        self._aims = {}

    def _substeps(self) -> int:
        tools = self._solver.tools
        moved = np.maximum(
            *(np.linalg.norm(tools[end].host - tools[f"{end}_before"].host, axis=1) for end in ("first", "second"))
        )
        radius = tools["radius"].host
        there = radius > 0
        needed = int(np.ceil((moved[there] / (radius[there] / 2)).max(initial=1.0) - 1e-9))
        if needed > _MAX_SUBSTEPS:
            raise InputError(
                f"{self.name}: expected tools that move less than {_MAX_SUBSTEPS // 2} radii in a step, "
                f"found {moved.max():.3f} m"
            )
        return needed

    def _advance(self, dt: float, substeps: int) -> StepReport:
        solver, tools = self._solver, self._solver.tools
        before = self.save_state()
        solver.step.host[:] = [substeps / dt if dt else 0.0, self.options.drag, *self._gravity]
        solver.step.push()
        touching = bool((tools["radius"].host > 0).any())
        start = {name: tools[f"{name}_before"].host.copy() for name in _ENDS} | {"target": solver.x.pull().copy()}
        aim = {name: tools[name].host.copy() for name in _ENDS} | {"target": solver.target.host.copy()}
        jaws = [grasp.T_world_jaw for grasp in self._grasps]
        wrench, pulls = np.zeros((self.options.tools, 6)), np.zeros((len(self._grasps), 3))
        pierced = np.zeros(self.options.tools, np.int32)
        results: list[Minimised] = []
        for share in np.arange(1, substeps + 1) / substeps:
            for name in ("target", *_ENDS):
                array = solver.target if name == "target" else tools[name]
                if name != "target":
                    last = start[name] + (share - 1 / substeps) * (aim[name] - start[name])
                    tools[f"{name}_before"].host[...] = last
                    tools[f"{name}_before"].push()
                array.host[...] = aim[name] if share == 1 else start[name] + share * (aim[name] - start[name])
                array.push()
            self._tie(jaws, float(share))
            solver.predict()
            results.append(solver.minimise(touching=touching))
            if not results[-1].finite:
                break
            solver.finish(touching=touching)
            x = solver.x.pull()
            for index, grasp in enumerate(self._grasps):
                pulls[index] += grasp.settle(np.asarray(x[grasp.nodes], np.float64)) / substeps
            if touching:
                wrench += tools["wrench"].pull() / substeps
                pierced = np.maximum(pierced, solver.pierced.pull())
        self._aims = {}
        for name in _ENDS:
            tools[f"{name}_before"].host[...] = aim[name]
            tools[f"{name}_before"].push()
        self.time += dt
        jacobian = np.asarray(solver.jacobian.pull())
        faults = find_faults(self.mesh, self.name, self.time, results, np.asarray(solver.x.pull()), jacobian, pierced)
        report = StepReport(
            time=self.time,
            substeps=substeps,
            newton_iterations=sum(one.newton_iterations for one in results),
            cg_iterations=sum(one.cg_iterations for one in results),
            residual=float(np.max([one.residual for one in results])),
            least_jacobian=float(jacobian.min()),
            tool_forces=_triples(wrench[:, :3]),
            tool_moments=_triples(wrench[:, 3:]),
            grasp_forces=_triples(pulls),
            faults=faults,
        )
        if not results[-1].finite:
            self.restore_state(before)
        if faults and self._raise:
            raise SoftFaultError(faults)
        return report

    def _tie(self, jaws: Sequence[NDArray[np.float64]], share: float) -> None:
        """Set the grasps' springs for a substep that ends after `share` of the jaws' motion."""
        solver = self._solver
        solver.hold.host[...] = 0.0
        for index, grasp in enumerate(self._grasps):
            aim = self._aims.get(index, jaws[index])
            mean = (1 - share) * jaws[index] + share * aim
            left, _, right = np.linalg.svd(mean[:3, :3])
            grasp.T_world_jaw = aim if share == 1 else compose(left @ right, mean[:3, 3])
            nodes = grasp.nodes[grasp.held]
            solver.hold.host[nodes] = grasp.stiffness
            solver.hold_limit.host[nodes] = grasp.share
            solver.hold_anchor.host[nodes] = grasp.world_anchors()[grasp.held]
        for array in (solver.hold, solver.hold_limit, solver.hold_anchor):
            array.push()

    def _nodes(self, nodes: ArrayLike) -> NDArray[np.int64]:
        index = np.asarray(nodes)
        if index.dtype == np.bool_:
            index = np.flatnonzero(index)
        count = len(self.mesh.nodes)
        if index.ndim != 1 or (
            index.size and (index.dtype.kind not in "iu" or index.min() < 0 or index.max() >= count)
        ):
            raise InputError(f"{self.name}: expected node indices 0 to {count - 1}, found {index.tolist()[:8]}")
        return index.astype(np.int64)

    def _rows(self, values: ArrayLike, count: int) -> NDArray[np.float64]:
        rows = np.asarray(values, np.float64)
        if rows.shape not in ((count, 3), (3,)) or not np.isfinite(rows).all():
            raise InputError(f"{self.name}: expected {count} finite rows of three numbers, found shape {rows.shape}")
        return rows


def _triples(rows: NDArray[np.float64]) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(a), float(b), float(c)) for a, b, c in rows)
