"""Independent pieces of work on a Ray cluster: what `scenarios.parallel.run_pieces` does, on many machines."""

import os
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from assets.errors import InputError
from scenarios.parallel import MOST_DEATHS, Piece, Result, one_thread

_AHEAD = 2
"""So many pieces a core are handed to the cluster at once: none is idle, and a long list does not fill its memory."""


def run_on_ray(
    work: Callable[[Piece], Result], pieces: Sequence[Piece], *, address: str
) -> Iterator[tuple[int, Result]]:
    """Do `work` on each piece on a Ray cluster and yield (index of the piece, result) as they come.

    Every node needs this package and sees the same files at the same paths; relative paths mean what they mean here. A
    worker or a node that dies costs the pieces that it had under way, which are done again elsewhere.

    Args:
        work: An importable function.
        pieces: They and the results must be picklable.
        address: Of the cluster, as `ray.init` takes it: HOST:PORT, ray://HOST:PORT, or `auto` for the one on this
            machine.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
        Exception: What `work` raised for a piece; pieces that wait are not begun.
        ray.exceptions.RayError: Workers that had one and the same piece died MOST_DEATHS times.
    """
    if find_spec("ray") is None:
        raise InputError("--executor ray: expected the package ray, found none; pip install 'trocar[ray]' has it")
    import ray
    from ray.exceptions import RayTaskError

    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        said = str(error).strip().partition("\n")[0]
        raise InputError(f"--address: expected a running Ray cluster at {address!r}, found: {said}") from None
    # an exception of the work itself is an answer; only a death is worth another try
    remote = ray.remote(max_retries=MOST_DEATHS - 1, retry_exceptions=False, scheduling_strategy="SPREAD")(in_place)
    under_way: dict[Any, int] = {}
    left = iter(enumerate(pieces))
    try:
        while True:
            room = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1))) - len(under_way)
            for index, piece in islice(left, max(0, room)):
                under_way[remote.remote(str(Path.cwd()), work, piece)] = index
            if not under_way:
                return
            done, _ = ray.wait(list(under_way), num_returns=1)
            try:
                result = ray.get(done[0])
            except RayTaskError as error:
                cause = error.cause
                raise (cause if isinstance(cause, Exception) else error) from None
            yield under_way.pop(done[0]), result
    finally:
        ray.shutdown()  # ends what is under way


def in_place(folder: str, work: Callable[[Piece], Result], piece: Piece) -> Result:
    """Do a piece of work on a node, in the folder in which it was asked for, on one core."""
    one_thread()
    os.chdir(folder)
    return work(piece)
