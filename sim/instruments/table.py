"""The instruments of one world, moved together: commands in, states out, and the whole saved and restored."""

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from assets.errors import InputError
from sim.control_step import CONTROL_STEP
from sim.instruments.command import Command, check_command
from sim.instruments.instrument import Instrument, InstrumentState
from sim.world import BulletWorld

SAFE_SHARE = 0.25
"""In a substep nothing moves farther than this share of the smallest sphere that collides: a sphere whose centre stays
on its side of a wall is pushed back, one that has passed it is pushed through."""
_LONGEST_SUBSTEP = 1 / 480  # [s]
_WATCHED = 3  # substeps from one look for tunnelling to the next, in which nothing moves by its own radius
_LARGEST_STATE = 1 << 20  # bytes


class Coupling(ABC):
    """What shares the world with the instruments and moves with them, in frames of a control step."""

    @abstractmethod
    def frames(self, duration: float) -> int:
        """Return into how many frames a control step of a duration [s] is to be cut."""

    @abstractmethod
    def load(self) -> None:
        """Push on the instruments during the substep that comes."""

    @abstractmethod
    def meet(self, duration: float) -> None:
        """Move on by a frame of a duration [s], at whose end the instruments are where they are now."""


class InstrumentTable:
    """Moves instruments that share a world."""

    def __init__(self, world: BulletWorld, instruments: Sequence[Instrument], anatomy: Collection[int]) -> None:
        """Take charge of instruments.

        Args:
            world: Theirs.
            instruments: Of different names.
            anatomy: Bodies whose contacts are read as forces.

        Raises:
            InputError: Two have one name.
        """
        self._world = world
        self.instruments = {instrument.name: instrument for instrument in instruments}
        if len(self.instruments) < len(instruments):
            names = ", ".join(instrument.name for instrument in instruments)
            raise InputError(f"instruments: expected different names, found {names}")
        self._anatomy = frozenset(anatomy)
        self._time = 0.0

    @property
    def states(self) -> dict[str, InstrumentState]:
        """The states after the last step."""
        return {name: instrument.state for name, instrument in self.instruments.items()}

    def step(
        self,
        commands: Mapping[str, Command],
        duration: float = CONTROL_STEP,
        *,
        coupling: Coupling | None = None,
    ) -> dict[str, InstrumentState]:
        """Move all instruments through one control step.

        Args:
            commands: By name; an instrument without one goes on towards its last target.
            duration: Of the step [s].
            coupling: What moves with them, such as soft tissue; None for nothing.

        Returns:
            The states after it.

        Raises:
            InputError: A name or a command is wrong, or the duration is not within 0 and 1 s.
            RuntimeError: A joint was lost to NaN.
        """
        if not 0 < duration <= 1:
            raise InputError(f"instruments: expected a step of more than 0 and at most 1 s, found {duration}")
        for name, command in commands.items():
            if name not in self.instruments:
                raise InputError(f"instruments: expected one of {', '.join(self.instruments)}, found {name!r}")
            check_command(name, command, len(self.instruments[name].device.arm.joints))
        count = int(np.ceil(duration / _LONGEST_SUBSTEP))
        for name, instrument in self.instruments.items():
            way = instrument.aim(commands.get(name), duration)
            count = max(count, int(np.ceil(way / (SAFE_SHARE * instrument.device.smallest_ball))))
        frames = 1 if coupling is None else coupling.frames(duration)
        a_frame = int(np.ceil(count / frames))
        count = a_frame * frames
        self._forget_contacts()
        self._world.set_substep(duration / count)
        for index in range(count):
            for instrument in self.instruments.values():
                instrument.drive((index + 1) / count, duration / count)
            if coupling is not None:
                coupling.load()
            self._world.advance()
            for instrument in self.instruments.values():
                instrument.feel(self._anatomy, 1 / count)
                if index % _WATCHED == 0 or index == count - 1:
                    instrument.watch(self._time + (index + 1) * duration / count)
            if coupling is not None and (index + 1) % a_frame == 0:
                coupling.meet(duration / frames)
        self._time += duration
        return {name: instrument.read(self._time) for name, instrument in self.instruments.items()}

    def _forget_contacts(self) -> None:
        """Make the step depend on nothing but what `save_state` tells."""
        bodies = [instrument.body for instrument in self.instruments.values()]
        for index, body in enumerate(bodies):
            for other in (*sorted(self._anatomy), *bodies[index + 1 :]):
                self._world.forget_contacts(body, other)

    def save_state(self) -> bytes:
        """Return all that the future depends on, as JSON: the same state, the same bytes."""
        state = {name: instrument.save() for name, instrument in self.instruments.items()}
        return json.dumps({"version": 1, "time": self._time, "instruments": state}, sort_keys=True).encode()

    def restore_state(self, data: bytes) -> dict[str, InstrumentState]:
        """Go back to a saved state; what follows is the same, bit for bit, on free tools and on tools on a sheet.

        On a curved surface of triangles what follows may differ by some 1e-11 m: PyBullet keeps more of a contact than
        it lets be forgotten.

        Raises:
            InputError: The data is damaged, or of other instruments.
        """
        where = "saved state of instruments"
        if len(data) > _LARGEST_STATE:
            raise InputError(f"{where}: expected at most {_LARGEST_STATE} bytes, found {len(data)}")
        try:
            plain = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: expected JSON, found {error}") from error
        if not isinstance(plain, dict) or set(plain) != {"version", "time", "instruments"} or plain["version"] != 1:
            raise InputError(f"{where}: expected version 1 with time and instruments, found {str(plain)[:60]!r}")
        saved, time = plain["instruments"], plain["time"]
        if not isinstance(saved, dict) or set(saved) != set(self.instruments):
            raise InputError(f"{where}: expected {', '.join(self.instruments)}, found {', '.join(map(str, saved))}")
        if not isinstance(time, float) or not np.isfinite(time):
            raise InputError(f"{where}: expected a finite time, found {time!r}")
        ready = [(instrument, instrument.parse(saved[name], where)) for name, instrument in self.instruments.items()]
        for instrument, values in ready:
            instrument.restore(values)
        self._time = time
        return {name: instrument.read(time) for name, instrument in self.instruments.items()}
