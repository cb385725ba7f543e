"""Where each element's numbers go: the sparsity of the stiffness matrix and of the dilatation.

The dilatation theta of a *domain* is the mean over the element quarters in it. With nodal integration (Bonet and
Burton, A simple average nodal pressure tetrahedral element, Communications in Numerical Methods in Engineering 14,
1998) a domain is what lies around a node, one for each tissue there; with element integration it is the element. Rows
of matrix B are the derivatives of theta by the nodes, scaled so that the volumetric stiffness is B^T B: as wide as the
graph of the mesh, where the product itself would reach the neighbours' neighbours.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sim.soft.tet_mesh import TetMesh

Integration = Literal["nodal", "element"]


@dataclass(frozen=True)
class Pattern:
    """Compressed rows of the stiffness blocks K (nodes by nodes) and of B (domains by nodes)."""

    start: NDArray[np.int32]
    """First block of each row of K, shape (n + 1,)."""
    column: NDArray[np.int32]
    """Node of each block of K."""
    diagonal: NDArray[np.int32]
    """Index of each node's own block, shape (n,)."""
    element_blocks: NDArray[np.int32]
    """Block of each pair of an element's corners, shape (e, 16)."""
    domain: NDArray[np.int32]
    """Domain of each quarter of an element, shape (e, 4)."""
    domain_volume: NDArray[np.float64]
    """[m^3], shape (d,)."""
    domain_lame: NDArray[np.float64]
    """Lamé's first parameter [Pa], shape (d,)."""
    b_start: NDArray[np.int32]
    """First entry of each row of B, shape (d + 1,)."""
    b_column: NDArray[np.int32]
    """Node of each entry of B."""
    element_b: NDArray[np.int32]
    """Entry of B for (quarter, corner) of each element, shape (e, 16)."""
    bt_start: NDArray[np.int32]
    """First entry of each node in `bt_entry`, shape (n + 1,)."""
    bt_entry: NDArray[np.int32]
    """Entries of B, sorted by node: rows of its transpose."""
    bt_row: NDArray[np.int32]
    """Their domains."""

    def block_of(self, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.int32]:
        """Return the index of the block at each (row, column); both nodes must be of one element."""
        keys = np.repeat(np.arange(len(self.diagonal)), np.diff(self.start)) * len(self.diagonal) + self.column
        return np.searchsorted(keys, rows.astype(np.int64) * len(self.diagonal) + columns).astype(np.int32)


def build_pattern(mesh: TetMesh, integration: Integration) -> Pattern:
    """Find the pattern of a mesh."""
    count, tets = len(mesh.nodes), mesh.tets.astype(np.int64)
    pairs = (tets[:, :, None] * count + tets[:, None, :]).reshape(-1)
    keys, blocks = np.unique(pairs, return_inverse=True)
    rows, columns = np.divmod(keys, count)
    if integration == "nodal":
        _, domain = np.unique(tets * len(mesh.tissues) + mesh.tissue[:, None], return_inverse=True)
        domain = domain.reshape(tets.shape)
    else:
        domain = np.repeat(np.arange(len(tets))[:, None], 4, axis=1)
    domains = int(domain.max()) + 1
    b_keys, entries = np.unique((domain[:, :, None] * count + tets[:, None, :]).reshape(-1), return_inverse=True)
    b_rows, b_columns = np.divmod(b_keys, count)
    by_node = np.argsort(b_columns, kind="stable")
    domain_lame = np.empty(domains)
    domain_lame[domain] = mesh.lame[1][:, None]
    return Pattern(
        start=_starts(rows, count),
        column=columns.astype(np.int32),
        diagonal=np.flatnonzero(rows == columns).astype(np.int32),
        element_blocks=blocks.reshape(-1, 16).astype(np.int32),
        domain=domain.astype(np.int32),
        domain_volume=np.asarray(np.bincount(domain.ravel(), np.repeat(mesh.volumes / 4, 4)), np.float64),
        domain_lame=domain_lame,
        b_start=_starts(b_rows, domains),
        b_column=b_columns.astype(np.int32),
        element_b=entries.reshape(-1, 16).astype(np.int32),
        bt_start=_starts(b_columns[by_node], count),
        bt_entry=by_node.astype(np.int32),
        bt_row=b_rows[by_node].astype(np.int32),
    )


def _starts(rows: NDArray[np.integer], count: int) -> NDArray[np.int32]:
    return np.searchsorted(rows, np.arange(count + 1)).astype(np.int32)
