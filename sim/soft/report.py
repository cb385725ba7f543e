"""What a step of soft tissue says about itself, and the faults it may find."""

from dataclasses import dataclass
from typing import Literal

FaultKind = Literal["not finite", "inverted", "not converged", "tunnelled"]


@dataclass(frozen=True)
class SoftFault:
    """Something that must not pass silently."""

    kind: FaultKind
    organ: str
    time: float
    """[s]"""
    index: int
    """Of the node ("not finite"), element ("inverted") or tool ("tunnelled"); -1 where there is no single place."""
    place: tuple[float, float, float]
    """[m], world frame, at rest; NaN where there is no single place."""
    detail: str

    def __str__(self) -> str:
        where = "" if self.index < 0 else " at rest place ({:.4f}, {:.4f}, {:.4f}) m".format(*self.place)
        return f"{self.organ}: {self.kind} at {self.time:.4f} s{where}: {self.detail}"


class SoftFaultError(RuntimeError):
    """A step ended in faults."""

    def __init__(self, faults: tuple[SoftFault, ...]) -> None:
        """Hold them."""
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults


@dataclass(frozen=True)
class StepReport:
    """How a step went."""

    time: float
    """At its end [s]."""
    substeps: int
    newton_iterations: int
    cg_iterations: int
    residual: float
    """Norm of the unbalanced forces over that of the forces, the larger of all substeps."""
    least_jacobian: float
    """Smallest ratio of an element's volume to that at rest; at most 0 where one is inverted."""
    tool_forces: tuple[tuple[float, float, float], ...]
    """What the tissue does to each tool [N], world frame, mean over the substeps."""
    tool_moments: tuple[tuple[float, float, float], ...]
    """The same about the tool's first end [N m]."""
    grasp_forces: tuple[tuple[float, float, float], ...]
    """What the tissue does to each grasp [N], in the order of their ids, zero for those released."""
    faults: tuple[SoftFault, ...]
