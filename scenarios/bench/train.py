"""Speed of the training: the loader alone, the step alone, and both as the training runs them; and of one look."""

import numpy as np
import torch

from perception.augment import jitter
from perception.batches import cut_batch
from perception.checkpoint import ModelConfig, tensor_bytes
from perception.dataset import Frames
from perception.device import choose_device, trains_in_bfloat16
from perception.network import Size, build
from perception.predictor import Predictor
from perception.tasks import COLONOSCOPY
from perception.training_state import fresh_state
from perception.training_step import backward, made_ahead
from scenarios.bench.dataset import smooth_frame
from scenarios.bench.stopwatch import stopwatch
from scenarios.colonoscopy import endoscope_camera
from scenarios.figures import Figure

_FRAMES = 64  # in memory, drawn from at random
_BATCH = {128: 32, 256: 16}
_ROUND = 4  # steps of one measurement of loader and step together


def bench_train(*, seconds: float, threads: int, device: str | None = None, size: Size = "S") -> list[Figure]:
    """Measure on made-up frames; a network's speed does not hang on what they show.

    Args:
        seconds: Time for each single measurement.
        threads: Of the CPU.
        device: cpu or cuda; CUDA where it is there unless said.
        size: Of the network.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return [
            figure
            for pixels in _BATCH
            for figure in _at(pixels, seconds=seconds, threads=threads, device=device, size=size)
        ]
    finally:
        torch.set_num_threads(before)


def _at(pixels: int, *, seconds: float, threads: int, device: str | None, size: Size) -> list[Figure]:
    place, batch_size = choose_device(device), _BATCH[pixels]
    frames, mixed = _made_up(pixels), trains_in_bfloat16(place)
    state = fresh_state(size, 0, 0.01, place)

    def load(step: int) -> tuple[object, ...]:
        rng = np.random.default_rng(step)
        batch = cut_batch(frames, rng.integers(len(frames), size=batch_size), place, rng)
        return batch, *jitter(batch.image, batch.log_exposure, batch.foreign, rng)

    def step(batch: object) -> None:
        backward(state, state.network, *batch, mixed=mixed)  # type: ignore[misc]
        state.optimiser.step()
        if place.type == "cuda":
            torch.cuda.synchronize()

    ready = load(0)
    loading = stopwatch(lambda: load(0), seconds=seconds)
    stepping = stopwatch(lambda: step(ready), seconds=seconds)

    def train() -> None:
        for batch in made_ahead(load, range(_ROUND)):
            step(batch)

    together = stopwatch(train, seconds=seconds)
    precision = "bfloat16" if mixed else "float32"
    subset = f"{size}, {pixels} x {pixels} px"
    where = f"median; {place.type}, {threads} threads, {precision}, batch {batch_size}"
    figures = [
        Figure("train.loader_fps", subset, batch_size / loading.median, "1/s", n=loading.n, how=f"loader; {where}"),
        Figure("train.step_fps", subset, batch_size / stepping.median, "1/s", n=stepping.n, how=f"step; {where}"),
        Figure(
            "train.fps",
            subset,
            _ROUND * batch_size / together.median,
            "1/s",
            n=together.n,
            how=f"both, the next batch made ready in a thread meanwhile; {where}",
        ),
    ]
    network = build(size).eval()
    weight = len(tensor_bytes(network.state_dict())) / 1e6
    look = Predictor.of(network, ModelConfig(size, frames.camera, {}), device=place.type)
    looking = stopwatch(lambda: look(frames.rgb[0], 1.0), seconds=seconds, warm_up=3)
    how = f"median of one frame, from bytes to a Prediction; {place.type}, {threads} threads"
    return [
        *figures,
        Figure("model.look_ms", subset, 1000 * looking.median, "ms", n=looking.n, how=how),
        Figure("model.size_mb", subset, weight, "MB", how="of the safetensors file"),
    ]


def _made_up(pixels: int) -> Frames:
    rng = np.random.default_rng(0)
    frame, camera = smooth_frame(pixels, rng), endoscope_camera(pixels, pixels)
    shape = (_FRAMES, pixels, pixels)
    classes = np.ones(shape, np.uint8)
    middle, side = pixels // 2, pixels // 8
    classes[:, middle : middle + side, middle : middle + side] = 2
    centre = np.array([[middle + (side - 1) / 2, middle + (side - 1) / 2, side**2]], np.float32)
    return Frames(
        task=COLONOSCOPY,
        camera=camera,
        rgb=np.tile(frame.rgb, (_FRAMES, 1, 1, 1)),
        log_exposure=np.zeros(_FRAMES, np.float32),
        classes=classes,
        distance=np.full(shape, 0.03, np.float16),
        direction=np.tile(np.array([0, 0, 1], np.float32), (_FRAMES, 1)),
        visible=np.ones(_FRAMES, np.bool_),
        centres=(centre,) * _FRAMES,
        patients=("made up",) * _FRAMES,
        times=np.zeros(_FRAMES, np.float32),
        packed_sought=np.stack([np.packbits(one == 2) for one in classes]),
    )
