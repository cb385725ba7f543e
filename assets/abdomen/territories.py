"""How large each of Couinaud's segments is, and the portal twigs that make it so: territories follow the branches."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float64, Int
from scipy.spatial import cKDTree

from assets.abdomen.branches import BELOW, Branch, branch_of, pulled
from assets.abdomen.lattice import Array, Box, sample
from assets.transforms import unit

SHARES = {1: 0.029, 2: 0.072, 3: 0.088, 4: 0.160, 5: 0.135, 6: 0.085, 7: 0.170, 8: 0.261}
"""Mean share of each segment in the liver. Segment 8 has 26.1 % in the median, 2 and 3 less than 10 % each, and the
order 8, 7, 4, 5, 3, 6, 2, 1 is that of the medians of 107 normal livers (Mise et al., HPB 16, 2014, pages 439 to 447,
doi:10.1111/hpb.12157). The other seven are chosen in that order so that their sums agree with CT of 102 people (Abdalla
et al., Surgery 135, 2004, pages 404 to 410, doi:10.1016/j.surg.2003.08.024): segments 5 to 8 together 49 to 82 %, 2 and
3 together 5 to 27 %, 4 10 to 29 %, 1 1 to 6 %."""
SPREAD = 0.08
"""Standard deviation of a segment's share between patients, over its mean. That of the published range of segment 8,
11.1 to 38.0 %, is 0.17 if a sixth of a range is taken for a deviation (Hozo et al., BMC Med. Res. Methodol. 5, 2005,
doi:10.1186/1471-2288-5-13); half of it here, since size and shape of the lobes add to it."""
TWIGS = 6
"""Second-order branches of a segment that are wide enough to be drawn."""
FINE = 120
"""Finer ones of all segments together, which are known as centrelines alone."""
TWIG_RADII = (0.0019, 0.0013)
"""At the root and the end of a second-order branch [m]."""
FINE_RADII = (0.0009, 0.0006)
"""At the root and the end of a finer one [m]."""
SIGHTS = 50
"""Places on a segment's branches, near and far, that are tried as the root of a twig."""
ROUND = 0.050
"""What a way round a notch of the liver counts beyond the straight one [m]: round the vena cava; chosen."""
_ON_WAY = 12  # places on a straight way that are asked for their depth
NODES = 6000
"""Places in the liver that stand for its volume while the tree grows."""


def draw_shares(rng: np.random.Generator) -> dict[int, float]:
    """Draw the share of each segment in one patient's liver; they sum to 1."""
    drawn = {n: mean * (1.0 + SPREAD * float(np.clip(rng.standard_normal(), -2.0, 2.0))) for n, mean in SHARES.items()}
    total = sum(drawn.values())
    return {n: share / total for n, share in drawn.items()}


def parted(distance: Float[np.ndarray, "s n"], shares: Float[np.ndarray, "s"]) -> Int[np.ndarray, "n"]:
    """Part places among branches so that each gets its share, by distances less an offset a branch.

    The offsets are those of a power diagram, found by giving a branch with too little a longer reach, round by round.

    Args:
        distance: From each branch to each place [m].
        shares: Wanted of each branch; they sum to 1.

    Returns:
        The row of the branch that each place falls to.
    """
    reach = np.zeros(len(shares))
    owner = np.argmin(distance, axis=0)
    for _ in range(80):
        found = np.bincount(owner, minlength=len(shares)) / distance.shape[1]
        reach += 0.06 * (shares - found)
        owner = np.argmin(distance - reach[:, None], axis=0)
    return np.asarray(owner)


def grow(
    rng: np.random.Generator,
    box: Box,
    depth: Float[np.ndarray, "i j k"],
    main: Mapping[int, Branch],
    shares: Mapping[int, float],
) -> tuple[list[Branch], list[Branch]]:
    """Let each segment's branch send twigs into its territory, until the nearest branch tells the territories apart.

    Args:
        rng: The only source of chance.
        box: Where the liver lies.
        depth: How deep its nodes lie below the capsule [m].
        main: The branch of each segment.
        shares: Wanted of each segment.

    Returns:
        Twigs that are drawn, and finer ones, which grow where a place would else be nearer to another segment's branch.
    """
    inside = box.points(depth > 0.0)
    nodes = inside[rng.permutation(len(inside))[:NODES]]
    numbers = list(main)
    grown = {number: [main[number].points] for number in numbers}
    distance = np.stack([cKDTree(main[number].points).query(nodes)[0] for number in numbers])
    # sisters share their root, to which both would be equally near: beyond it they have parted
    outer = np.stack([_way_from(box, depth, _outer(main[number].points), nodes) for number in numbers])
    owner = parted(outer, np.array([shares[number] for number in numbers]))
    along = {number: unit(main[number].points[-1] - main[number].points[0]) for number in numbers}
    counts = dict.fromkeys(numbers, 0)

    def sprout(row: int, tip: Array, radii: tuple[float, float]) -> Branch:
        number = numbers[row]
        counts[number] += 1
        near = np.concatenate([_outer(grown[number][0]), *grown[number][1:]])
        root = near[_in_sight(box, depth, near, tip)]
        middle = (root + tip) / 2
        bow = 0.12 * float(np.linalg.norm(tip - root)) * along[number]
        bowed = np.stack([middle + bow * share for share in (0.0, 1.0)])
        course = np.stack([bowed[int(sample(box, depth, bowed)[1] > BELOW)], tip])
        if radii == TWIG_RADII:
            course = pulled(box, depth, course)
        twig = branch_of(f"portal_segment_{number}_{counts[number]}", [root, *course], *radii)
        twig = replace(twig, points=pulled(box, depth, twig.points, twig.radii + BELOW))
        grown[number].append(twig.points)
        np.minimum(distance[row], cKDTree(twig.points).query(nodes)[0], out=distance[row])
        return twig

    twigs, fine = [], []
    for row, number in enumerate(numbers):
        mine = owner == row
        for _ in range(1 if number == 1 else TWIGS):
            away = distance[row][mine]
            if len(away) < 20:
                break
            # not the farthest of all: nine tenths of the territory are nearer than the tip
            tip = nodes[mine][int(np.argsort(away)[int(0.93 * (len(away) - 1))])]
            twigs.append(sprout(row, tip, TWIG_RADII))
    for _ in range(FINE):
        lack = distance[owner, np.arange(len(nodes))] - distance.min(axis=0)
        lost = np.bincount(owner[lack > 0], minlength=len(numbers))
        row = int(np.argmax(lost))
        if lost[row] < 0.002 * len(nodes):
            break
        mine = np.flatnonzero((owner == row) & (lack > 0))
        tip = nodes[mine[int(np.argsort(lack[mine], kind="stable")[int(0.8 * (len(mine) - 1))])]]
        fine.append(sprout(row, tip, FINE_RADII))
    return twigs, fine


def _way_from(
    box: Box, depth: Float[np.ndarray, "i j k"], places: Array, nodes: Float[np.ndarray, "n 3"]
) -> Float64[np.ndarray, "n"]:
    """Return the distance of nodes to the nearest of some places [m], and ROUND more where a notch is between."""
    away, nearest = cKDTree(places).query(nodes)
    return np.asarray(away + ROUND * (_shallowest(box, depth, places[nearest], nodes) < 0.0))


def _in_sight(box: Box, depth: Float[np.ndarray, "i j k"], places: Array, tip: Array) -> int:
    """Return the row of the nearest place from which a straight way to the tip stays in the liver [m].

    Where the vena cava notches it, the nearest of all may lie on the other side. If none is in sight, the one is taken
    whose way leaves it the least.
    """
    away = np.linalg.norm(places - tip, axis=1)
    nearest = np.argsort(away, kind="stable")[:: max(1, len(places) // SIGHTS)]
    least = _shallowest(box, depth, places[nearest], np.broadcast_to(tip, (len(nearest), 3)))
    clear = least > 0.0
    return int(nearest[int(np.argmax(clear) if clear.any() else np.argmax(least))])


def _shallowest(
    box: Box, depth: Float[np.ndarray, "i j k"], start: Float[np.ndarray, "n 3"], end: Float[np.ndarray, "n 3"]
) -> Float64[np.ndarray, "n"]:
    """Return the least depth below the capsule on straight ways [m]; negative where they leave the liver."""
    ways = start + np.linspace(0.0, 1.0, _ON_WAY)[:, None, None] * (end - start)
    return np.asarray(sample(box, depth, ways.reshape(-1, 3)).reshape(ways.shape[:2]).min(axis=0))


def _outer(line: Array) -> Array:
    """Return a segment's branch without its root."""
    return line[int(0.35 * len(line)) :]
