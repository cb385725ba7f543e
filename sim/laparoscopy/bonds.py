"""Springs between two soft organs, and between a soft organ and what moves as prescribed."""

import numpy as np
from numpy.typing import NDArray

from sim.laparoscopy.physiology import MotionField
from sim.laparoscopy.soft_organ import SoftOrgan
from sim.soft.body import SoftBody
from sim.soft.embedding import barycentric_places


class Supports:
    """Sets the springs of all soft organs anew for each frame.

    Between two soft organs each sees the other where it was last: both then find the lowest energy with the other held,
    one after the other, which never gains energy. The force that one feels is what the other felt a frame before, less
    what either moved since; at rest they are equal and opposite.
    """

    def __init__(self, organs: dict[str, SoftOrgan], bodies: dict[str, SoftBody], field: MotionField) -> None:
        """Find where each spring ends."""
        self._organs, self._bodies, self._field = organs, bodies, field
        self._places: dict[tuple[str, str], tuple[NDArray[np.intp], NDArray[np.int32], NDArray[np.float64]]] = {}
        for name, organ in organs.items():
            for other in sorted(set(organ.tied_to) & set(organs)):
                mine = np.flatnonzero(np.array(organ.tied_to) == other)
                mesh = organs[other].mesh
                tet, shares = barycentric_places(mesh, organ.mesh.nodes[organ.tied[mine]])
                self._places[name, other] = (mine, mesh.tets[tet], shares)

    def update(self, name: str, time: float) -> None:
        """Set supports and fixed nodes of an organ for the frame that ends at a time [s]."""
        organ, body = self._organs[name], self._bodies[name]
        count = len(organ.mesh.nodes)
        stiffness, pulled = np.zeros(count), np.zeros((count, 3))
        anchors = organ.mesh.nodes[organ.tied] + self._field.offset(organ.mesh.nodes[organ.tied], time)
        for (mine, other), (springs, corners, shares) in self._places.items():
            if mine == name:
                x = self._bodies[other].positions
                anchors[springs] = np.einsum("vi,vij->vj", shares, x[corners])
        np.add.at(stiffness, organ.tied, organ.stiffness)
        np.add.at(pulled, organ.tied, organ.stiffness[:, None] * anchors)
        x_here = body.positions
        for (theirs, other), (springs, corners, shares) in self._places.items():
            if other == name:
                far = self._organs[theirs]
                place = np.einsum("vi,vij->vj", shares, x_here[corners])
                way = self._bodies[theirs].positions[far.tied[springs]] - place
                weight = np.maximum(shares, 0.0) * far.stiffness[springs][:, None]
                np.add.at(stiffness, corners.ravel(), weight.ravel())
                aim = weight[:, :, None] * (x_here[corners] + way[:, None, :])
                np.add.at(pulled, corners.ravel(), aim.reshape(-1, 3))
        held = np.flatnonzero(stiffness)
        if len(held):
            body.support(held, stiffness[held], pulled[held] / stiffness[held][:, None])
        if len(organ.fixed) and not self._field.physiology.still:
            rest = organ.mesh.nodes[organ.fixed]
            body.move(organ.fixed, rest + self._field.offset(rest, time))
