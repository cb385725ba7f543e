"""Independent pieces of work in parallel processes; what comes out does not depend on how many."""

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")

MOST_DEATHS = 4
"""So many times may a worker die before the work is given up."""


def run_pieces(
    work: Callable[[Piece], Result], pieces: Sequence[Piece], *, workers: int
) -> Iterator[tuple[int, Result]]:
    """Do `work` on each piece and yield (index of the piece, result) as they come.

    With one worker the work is done here, in order. `work` must be importable, and pieces and results picklable. When a
    worker dies (killed, out of memory), what was under way is done again by new workers.

    Raises:
        Exception: What `work` raised for a piece; pieces that wait are not begun, those under way end first.
        BrokenProcessPool: Workers died MOST_DEATHS times.
    """
    if workers <= 1 or len(pieces) <= 1:
        for index, piece in enumerate(pieces):
            yield index, work(piece)
        return
    left = dict(enumerate(pieces))
    for deaths in range(MOST_DEATHS):
        try:
            for index, result in _run_pool(work, left, workers):
                del left[index]
                yield index, result
            return
        except BrokenProcessPool:
            if deaths == MOST_DEATHS - 1:
                raise
            print(f"a worker died; {len(left)} pieces are left and go on", file=sys.stderr)


def _run_pool(
    work: Callable[[Piece], Result], pieces: Mapping[int, Piece], workers: int
) -> Iterator[tuple[int, Result]]:
    # spawn: a forked copy of a process that has Warp and torch threads hangs
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(pieces)), mp_context=context, initializer=one_thread) as pool:
        waiting = {pool.submit(work, piece): index for index, piece in pieces.items()}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def one_thread() -> None:
    """Keep libraries in a worker to one thread: the workers share the cores."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
