"""Flow of a sequence of pictures in both directions, right for whatever moves or deforms, with its validity.

Each seen point is held by its triangle and its barycentric weights, carried to the other time's vertices, and projected
through the other time's lens; `sim.render.motion` says when it counts as seen there.
"""

from dataclasses import replace

import numpy as np

from sim.frame import Frame
from sim.render.motion import Snapshot
from sim.render.renderer import Renderer


class FlowRecorder:
    """Completes the frames of one renderer with flow, each as soon as the next is there.

    Call `add` right after each rendering that belongs to the sequence, before anything in the scene moves on.
    """

    def __init__(self, renderer: Renderer, *, back: bool = False) -> None:
        """Begin a sequence.

        Args:
            renderer: Of all pictures.
            back: Fill in the flow to the frame before too.
        """
        self._renderer = renderer
        self._back = back
        self._last: tuple[Frame, Snapshot] | None = None

    def add(self, frame: Frame) -> Frame | None:
        """Take the frame of the renderer's last picture.

        Returns:
            The frame added before, with its flow to this one; None at the first.

        Raises:
            InputError: The scene has changed since the picture.
        """
        snapshot = self._renderer.snapshot()
        done = None
        if self._last is not None:
            before, picture = self._last
            flow, valid = self._renderer.flow(picture, snapshot)
            done = replace(before, flow=flow, flow_valid=valid)
            if self._back:
                back, back_valid = self._renderer.flow(snapshot, picture)
                frame = replace(frame, flow_back=back, flow_back_valid=back_valid)
        elif self._back:
            nothing = np.zeros_like(frame.flow), np.zeros_like(frame.flow_valid)
            frame = replace(frame, flow_back=nothing[0], flow_back_valid=nothing[1])
        self._last = (frame, snapshot)
        return done

    def finish(self) -> Frame | None:
        """End the sequence: return its last frame, whose flow is invalid everywhere; None if there is none."""
        last, self._last = self._last, None
        return None if last is None else last[0]
