"""Who may use a scene when: many look at it at once, or one changes it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SceneLock:
    """A lock with a shared and an exclusive side; a thread that holds either may take the shared side again.

    Who wants to change the scene comes before those who come later to look at it, so that steady rendering cannot keep
    it waiting.
    """

    def __init__(self) -> None:
        """Begin with nobody."""
        self._changed = threading.Condition()
        self._looking: dict[int, int] = {}  # how often each thread holds the shared side
        self._changing: int | None = None  # the thread that holds the exclusive side
        self._waiting = 0  # threads that wait for the exclusive side

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Hold the shared side."""
        me = threading.get_ident()
        with self._changed:
            if me not in self._looking and self._changing != me:
                self._changed.wait_for(lambda: self._changing is None and not self._waiting)
            self._enter(me)
        try:
            yield
        finally:
            self._leave(me)

    @contextmanager
    def joining(self) -> Iterator[None]:
        """Hold the shared side too, for a thread that holds it already and waits for this one."""
        me = threading.get_ident()
        with self._changed:
            assert self._looking
            self._enter(me)
        try:
            yield
        finally:
            self._leave(me)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the exclusive side; not from within `looking`, nor twice."""
        me = threading.get_ident()
        with self._changed:
            # It would wait for itself.
            assert me not in self._looking
            assert self._changing != me
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: self._changing is None and not self._looking)
                self._changing = me
            finally:
                self._waiting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._changing = None
                self._changed.notify_all()

    def _enter(self, me: int) -> None:
        self._looking[me] = self._looking.get(me, 0) + 1

    def _leave(self, me: int) -> None:
        with self._changed:
            self._looking[me] -= 1
            if not self._looking[me]:
                del self._looking[me]
                self._changed.notify_all()
