"""Scissors in a scene: what they part as they close, what holds it then, and what of it is seen."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.labels import label_id
from assets.materials import load_materials
from assets.mesh import Mesh
from sim.laparoscopy.soft_organ import SoftOrgan
from sim.scene_objects import SceneObject
from sim.soft.body import SoftBody
from sim.soft.cut_surface import cut_surface, laid_open
from sim.soft.cutting import Cut
from sim.soft.embedding import Binding, EmbeddedSurface

SCISSORS = "scissors"
"""Label of the instruments that cut."""
BLADES = ("jaw_left", "jaw_right")
"""Their parts that do: they press on no tissue, but part it as they close."""
_SPECK = 1e-5  # [m]; what stands for the cut faces of an organ that has none, in its midst


def blades_pose(T_world_jaw: Float[np.ndarray, "4 4"]) -> NDArray[np.float64]:
    """Return T_world_blades, shape (4, 4): the jaws' axis, z forward, x the way in which they open."""
    pose = np.array(T_world_jaw, np.float64)
    pose[:3, 0], pose[:3, 1] = T_world_jaw[:3, 1], -T_world_jaw[:3, 0]
    return pose


def part_organ(organ: SoftOrgan, cut: Cut) -> SoftOrgan:
    """Return an organ after a cut: new nodes are held as those that they were parted from.

    Springs are shared by volume, so that their sums stay.
    """
    new = np.arange(len(cut.before.nodes), len(cut.source))
    row = np.full(len(cut.before.nodes), -1)
    row[organ.tied] = np.arange(len(organ.tied))
    copied = new[row[cut.source[new]] >= 0]
    rows = np.concatenate([np.arange(len(organ.tied)), row[cut.source[copied]]])
    tied = np.concatenate([organ.tied, copied])
    volume = cut.mesh.node_volumes
    share = volume / np.bincount(cut.source, volume)[cut.source]
    return replace(
        organ,
        mesh=cut.mesh,
        fixed=np.concatenate([organ.fixed, new[np.isin(cut.source[new], organ.fixed)]]),
        tied=tied,
        stiffness=organ.stiffness[rows] * share[tied],
        tied_to=tuple(organ.tied_to[index] for index in rows),
    )


class SeenOrgan:
    """What is seen of a soft organ: its surface, parted where it was cut, and the faces laid open."""

    def __init__(self, organ: SoftOrgan, body: SoftBody) -> None:
        """Bind the organ's surface to its body, which is whole."""
        self._body = body
        self.skin = EmbeddedSurface(organ.surface, body)
        """Another object after each cut, and after each return to another state of cuts."""
        self.opened: EmbeddedSurface | None = None
        """The cut faces; None where there are none."""
        self._whole = self.skin.binding

    def part(self, cuts: Sequence[Cut]) -> None:
        """Go along with cuts that the body has had."""
        self.skin = cut_surface(self.skin, cuts)
        self.opened = laid_open(self._body, self.skin)

    def put(self, binding: Binding | None) -> None:
        """Go back to where a surface was bound; None for that of the whole body."""
        self.skin = EmbeddedSurface(binding or self._whole, self._body)
        self.opened = laid_open(self._body, self.skin)


def cut_name(organ: str) -> str:
    """Return the scene's name of the faces that cuts laid open in an organ."""
    return f"{organ}/cut"


def no_cut(organ: Mesh) -> Mesh:
    """Return what stands for the cut faces of an organ that has none: a speck in its midst."""
    middle = organ.vertices.mean(axis=0)
    return Mesh((middle + _SPECK * np.eye(3)).astype(np.float32), np.array([[0, 1, 2]], np.int32))


def cut_objects(organs: Mapping[str, Mesh]) -> tuple[SceneObject, ...]:
    """Return the objects of the cut faces of organs, by name."""
    label, material = label_id("cut_tissue"), load_materials()["cut_tissue"]
    return tuple(
        SceneObject(cut_name(name), no_cut(surface), label, material, "solid") for name, surface in organs.items()
    )
