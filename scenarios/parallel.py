"""Independent pieces of work in parallel processes; what comes out does not depend on how many."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def run_pieces(
    work: Callable[[Piece], Result], pieces: Sequence[Piece], *, workers: int
) -> Iterator[tuple[int, Result]]:
    """Do `work` on each piece and yield (index of the piece, result) as they come.

    With one worker the work is done here, in order. `work` must be importable, and pieces and results picklable.

    Raises:
        Exception: What `work` raised for a piece; pieces that wait are not begun, those under way end first.
    """
    if workers <= 1 or len(pieces) <= 1:
        for index, piece in enumerate(pieces):
            yield index, work(piece)
        return
    # spawn: a forked copy of a process that has Warp and torch threads hangs
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(pieces)), mp_context=context, initializer=_one_thread) as pool:
        waiting = {pool.submit(work, piece): index for index, piece in enumerate(pieces)}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _one_thread() -> None:
    """Keep libraries in a worker to one thread: the workers share the cores."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
