"""VTK's cells: which are triangles, which are tetrahedra, and which cannot be used.

Cell types: Schroeder, Martin, Lorensen, The Visualization Toolkit, 4th ed., and VTK's `vtkCellType.h`.
"""

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.mesh_files.raw import fans, no_cells, strips

_LEFT_OUT = {0: "empty cells", 1: "points", 2: "points", 3: "lines", 4: "lines", 21: "lines", 35: "lines"}
_TRIANGLE, _STRIP, _POLYGON, _PIXEL, _QUAD, _TETRA = 5, 6, 7, 8, 9, 10
_CURVED = {22: (_TRIANGLE, 6, 3), 24: (_TETRA, 10, 4)}
"""Quadratic cells: what they become, their points, and their corners."""
_SIZES = {_TRIANGLE: 3, _PIXEL: 4, _QUAD: 4, _TETRA: 4}


def sort_cells(
    types: NDArray[np.int64], offsets: NDArray[np.int64], corners: NDArray[np.int64], where: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[str, ...]]:
    """Split cells into triangles and tetrahedra.

    Args:
        types: Type of each cell, shape (c,).
        offsets: Where each cell's corners begin, and the end of the last, shape (c + 1,).
        corners: Corners of all cells, one after the other.
        where: What to call the file in errors.

    Returns:
        Triangles, shape (t, 3), tetrahedra, shape (k, 4), and notes of what was left out or changed.

    Raises:
        InputError: The offsets do not fit, or there are cells of another kind, such as hexahedra.
    """
    if len(offsets) != len(types) + 1 or offsets[0] != 0 or offsets[-1] != len(corners):
        raise InputError(
            f"expected offsets of {len(types)} cells from 0 to {len(corners)}, found {len(offsets) - 1} from "
            f"{offsets[0] if len(offsets) else 'nothing'} to {offsets[-1] if len(offsets) else 'nothing'} in {where}"
        )
    sizes = np.diff(offsets)
    if len(sizes) and int(sizes.min()) < 0:
        raise InputError(f"expected offsets that rise, found {int(sizes.min())} in {where}")
    triangles, tetrahedra, notes = [no_cells(3)], [no_cells(4)], []
    for kind in np.unique(types).tolist():
        own = np.flatnonzero(types == kind)
        if kind in _LEFT_OUT:
            notes.append(f"{_LEFT_OUT[kind]} are left out")
            continue
        plain, points, keep = _CURVED.get(kind, (kind, _SIZES.get(kind, 0), 0))
        if points and (sizes[own] != points).any():
            raise InputError(f"expected {points} points in cells of type {kind}, found others in {where}")
        if plain not in (_TRIANGLE, _STRIP, _POLYGON, _PIXEL, _QUAD, _TETRA):
            raise InputError(f"expected triangles and tetrahedra, found {len(own)} cells of type {kind} in {where}")
        if keep:
            notes.append("quadratic cells were made straight")
        if plain == _STRIP:
            triangles += [strips(corners[offsets[cell] : offsets[cell + 1]], where) for cell in own.tolist()]
            continue
        if plain == _POLYGON:
            flat = corners[np.repeat(np.isin(np.arange(len(types)), own), sizes)]
            triangles.append(fans(flat, sizes[own], where))
            continue
        table = corners[offsets[own][:, None] + np.arange(keep or points)]
        if plain == _TETRA:
            tetrahedra.append(table)
        elif plain == _TRIANGLE:
            triangles.append(table)
        else:
            around = table[:, [0, 1, 3, 2]] if plain == _PIXEL else table
            triangles.append(fans(around.reshape(-1), np.full(len(own), 4), where))
            notes.append("quadrilaterals were cut into triangles")
    return np.concatenate(triangles), np.concatenate(tetrahedra), tuple(notes)
