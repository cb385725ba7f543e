"""Flow of a sequence of pictures in both directions, right for whatever moves or deforms, with its validity.

Each seen point is held by its triangle and its barycentric weights, carried to the other time's vertices, and projected
through the other time's lens; `sim.render.motion` says when it counts as seen there. A picture is of one time: under a
rolling shutter no flow holds (`sim.degradations.degrade.flow_holds`).
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float32

from sim.frame import Frame
from sim.render.motion import Snapshot
from sim.render.renderer import Renderer


class FlowRecorder:
    """Completes the frames of one renderer with flow, each as soon as the next is there.

    Call `add` right after each rendering that belongs to the sequence, before anything in the scene moves on.
    """

    def __init__(self, renderer: Renderer, *, back: bool = False, holds: Bool[np.ndarray, "h w"] | None = None) -> None:
        """Begin a sequence.

        Args:
            renderer: Of all pictures.
            back: Fill in the flow to the frame before too.
            holds: Where the frames show what the renderer does (`sim.degradations.degrade.flow_holds`), shape (h, w);
                flow from or to elsewhere is not valid. None: everywhere.
        """
        self._holds = None if holds is None or holds.all() else holds
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
            flow, valid = self._flow(picture, snapshot)
            done = replace(before, flow=flow, flow_valid=valid)
            if self._back:
                back, back_valid = self._flow(snapshot, picture)
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

    def _flow(self, one: Snapshot, other: Snapshot) -> tuple[Float32[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"]]:
        flow, valid = self._renderer.flow(one, other)
        if self._holds is None:
            return flow, valid
        height, width = valid.shape
        v, u = np.mgrid[0:height, 0:width]
        column = np.clip(np.rint(u + flow[..., 0]), 0, width - 1).astype(np.int64)
        row = np.clip(np.rint(v + flow[..., 1]), 0, height - 1).astype(np.int64)
        valid = valid & self._holds & self._holds[row, column]
        return np.where(valid[..., None], flow, np.float32(0)), valid
