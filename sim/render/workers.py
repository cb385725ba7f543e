"""Threads that share the launches of one picture."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Workers:
    """The calling thread and as many others as wanted; close it."""

    def __init__(self, threads: int) -> None:
        """Start the others."""
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def close(self) -> None:
        """Stop the others."""
        if self._pool is not None:
            self._pool.shutdown()

    def share(self, jobs: Sequence[Sequence[Any]]) -> None:
        """Do jobs, each a sequence of launches, on all threads, this one among them; returns when all are done."""
        waiting = iter(jobs)
        taking = threading.Lock()

        def work() -> None:
            while True:
                with taking:
                    job = next(waiting, None)
                if job is None:
                    return
                for launch in job:
                    launch.launch()

        others = []
        if self._pool is not None:
            others = [self._pool.submit(work) for _ in range(min(self.threads, len(jobs)) - 1)]
        work()
        for other in others:
            other.result()
