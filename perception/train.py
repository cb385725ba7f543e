"""Train the network. One function, which reads from top to bottom."""

import json
import math
import time
from dataclasses import asdict, fields
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from assets.errors import InputError
from perception.augment import jitter
from perception.baseline import fit_hue_threshold
from perception.batches import Batch, balanced_order, cut_batch
from perception.calibration import calibrate
from perception.checkpoint import ModelConfig, save_model
from perception.dataset import Frames, load_split, open_dataset
from perception.device import choose_device, trains_in_bfloat16
from perception.evaluate import Figure, hue_figures, measure, model_figures, subset_name
from perception.losses import Losses
from perception.model_card import write_model_card
from perception.ranks import Ranks, joined_ranks
from perception.real_examples import content_of, first_real_frames, joined, order_with_real, real_examples
from perception.train_options import TrainOptions
from perception.training_board import write_board
from perception.training_state import (
    first_weights,
    fresh_state,
    keep_log_until,
    load_state,
    read_log,
    restore_norms,
    save_state,
    update_average,
)
from perception.training_step import backward, made_ahead

MODEL, STATE, LOG, BOARD = "model.safetensors", "state.safetensors", "log.jsonl", "board"
"""Files of a training's folder: the model (config and card beside it), what resuming needs, a line an epoch, and
the same for TensorBoard where it is installed."""

_WARM_UP = 0.03  # share of the training in which the learning rate rises
_FINAL_RATE = 0.02  # share of the peak learning rate that is left at the end
_AVERAGE = 0.995  # share of the averaged weights that a step keeps: they span some 200 steps
_BAD_STEPS = 20  # steps in a row without a finite loss after which training gives up
_SAVE_EVERY = 30.0  # s of work that Ctrl-C or a power cut may lose
_VALIDATION_FRAMES = 400  # at most, after an epoch; all of them at the end


def train(options: TrainOptions) -> list[Figure]:
    """Train until the epochs or the minutes are over, then measure on patients held out.

    On one machine the same options and seed give the same weights on a CPU (without `minutes`), also when the training
    was interrupted and resumed. After Ctrl-C, which comes through as KeyboardInterrupt, the model of at most half a
    minute ago is there and the same options resume.

    Several processes train together when `torchrun` starts them: the batch is that of all, and only the first of them
    writes and measures; the others return nothing.

    Returns:
        Figures of the model and of a hue threshold on the splits validation and test, and of the training itself.

    Raises:
        InputError: The data set, the folder or the device cannot be used.
        OSError: The folder cannot be written.
        FloatingPointError: The loss stays infinite or NaN.
    """
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    with joined_ranks(device.type) as ranks:
        return _train(options, ranks.device(device), ranks)


def _train(options: TrainOptions, device: torch.device, ranks: Ranks) -> list[Figure]:
    """Train as one of the processes that do."""
    mixed = options.precision == "bfloat16" or (options.precision == "auto" and trains_in_bfloat16(device))
    options.out.mkdir(parents=True, exist_ok=True)
    index = open_dataset(options.data)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=Console(stderr=True), disable=options.quiet or not ranks.leads) as bar:
        # Data: both splits in memory, as bytes.
        shards = sum(len(index.shards.get(split, ())) for split in ("train", "validation"))
        reading = bar.add_task("reading frames", total=shards, note="")
        read = partial(bar.advance, reading)
        frames = load_split(options.data, "train", threads=options.threads, advance=read)
        held_out = load_split(options.data, "validation", threads=options.threads, advance=read)
        for one in (frames, held_out):
            if one.task.name != (options.task or frames.task.name):
                raise InputError(
                    f"{options.data}: expected frames for the task {options.task or frames.task.name}, "
                    f"found them for {one.task.name}"
                )
        task = frames.task
        if held_out.camera != frames.camera:
            raise InputError(f"{options.data}: expected one camera, found {frames.camera} and {held_out.camera}")
        if options.batch % ranks.count or options.batch // ranks.count < 2:
            raise InputError(f"train: expected a batch of 2 or more a process, of {ranks.count}, found {options.batch}")
        if len(frames) < options.batch:
            raise InputError(f"{options.data}: expected at least {options.batch} training frames, found {len(frames)}")
        bar.update(reading, note=f"{len(frames)} to train, {len(held_out)} to validate")
        some_held_out = held_out.every(-(-len(held_out) // _VALIDATION_FRAMES))
        with_sought = frames.with_sought
        steps_per_epoch = len(frames) // options.batch
        steps = options.epochs * steps_per_epoch

        # State: fresh, or that of an unfinished training.
        kind = options.size, options.activation, task, frames.camera
        first = None if options.start is None else first_weights(options.start, *kind)
        state = fresh_state(options.size, options.seed, options.weight_decay, device, options.activation, task, first)
        identity = options.identity() | {"task": task.name, "index_sha256": index.index_sha256}
        taught = frames
        if options.real is not None and first is not None:
            pairs = first_real_frames(options.real, options.real_first)
            identity |= {"real_sha256": content_of(pairs)}
            taught = joined(frames, real_examples(pairs, first, task, frames.camera))
        real = np.arange(len(frames), len(taught))
        if (options.out / STATE).exists():
            load_state(options.out / STATE, state, identity)
        learner = ranks.learner(state.network)  # several processes have all read the state by here
        if ranks.leads:
            keep_log_until(options.out / LOG, state.step)
        seconds_before, start = state.seconds, time.monotonic()
        done = options.done(state.step, steps, state.seconds)
        shown = bar.add_task("training", total=1.0, note="")
        bar.update(shown, completed=done)
        last_save, bad_steps = start, 0

        for epoch in range(state.step // steps_per_epoch, options.epochs):
            if done >= 1:
                break
            # The order hangs on the epoch alone and a step's randomness on the step alone, so resuming repeats nothing.
            order = balanced_order(with_sought, options.polyp_share, np.random.default_rng([options.seed, 1, epoch]))
            if len(real):
                order = order_with_real(
                    order, real, options.real_share, np.random.default_rng([options.seed, 3, epoch])
                )
            sums, count, epoch_start = np.zeros(len(fields(Losses)) + 1), 0, time.monotonic()

            def cut(step: int, order: NDArray[np.int64] = order) -> tuple[Batch, np.random.Generator]:
                rng = ranks.generator(options.seed, 2, step)
                start = step % steps_per_epoch * options.batch
                rows = ranks.part(order[start : start + options.batch])
                alteration = options.alteration(options.done(step, steps, state.seconds))
                return cut_batch(taught, rows, device, rng, alteration=alteration), rng

            for batch, rng in made_ahead(cut, range(state.step, (epoch + 1) * steps_per_epoch)):
                image, log_exposure = jitter(batch.image, batch.log_exposure, batch.foreign, rng)
                for group in state.optimiser.param_groups:
                    group["lr"] = options.learning_rate * rate_share(done)
                parts, norm = backward(state, learner, batch, image, log_exposure, mixed=mixed)
                loss = parts.total

                # What is no number must not reach the weights: one bad batch is skipped, many in a row are a fault.
                if ranks.all(torch.isfinite(loss + norm)):
                    state.optimiser.step()
                    update_average(state.average, state.network, min(_AVERAGE, (1 + state.step) / (10 + state.step)))
                    values = [getattr(parts, field.name) for field in fields(Losses)]
                    sums += torch.stack([*values, loss]).detach().cpu().numpy()
                    count, bad_steps = count + 1, 0
                else:
                    restore_norms(state.network, state.average)
                    bad_steps += 1
                    if bad_steps == _BAD_STEPS:
                        raise FloatingPointError(f"step {state.step}: no finite loss {bad_steps} times in a row")

                state.step += 1
                now = time.monotonic()
                state.seconds = ranks.of_first(seconds_before + now - start)
                done = options.done(state.step, steps, state.seconds)
                rate = count * options.batch / (now - epoch_start)
                left = state.seconds * (1 - done) / done / 60
                note = (
                    f"epoch {epoch + 1}, loss {sums[-1] / max(count, 1):.3f}, {rate:.0f} frames/s, {left:.1f} min left"
                )
                bar.update(shown, completed=done, note=note)
                if done >= 1:
                    break
                if ranks.leads and now - last_save > _SAVE_EVERY:
                    save_model(options.out / MODEL, state.average, _config(options, identity, frames, state.step))
                    save_state(options.out / STATE, state, identity)
                    last_save = now

            # After the epoch: validate the averaged weights, keep them, write a line.
            if ranks.leads:
                found = model_figures(measure(state.average, some_held_out, device), some_held_out, "")
                line = {
                    "step": state.step,
                    "epoch": epoch + 1,
                    "seconds": state.seconds,
                    "learning_rate": state.optimiser.param_groups[0]["lr"],
                    "frames_per_second": rate,
                    "loss": dict(
                        zip([*(field.name for field in fields(Losses)), "total"], sums / max(count, 1), strict=True)
                    ),
                    "validation": {one["name"]: _finite(one["value"]) for one in found},
                }
                with (options.out / LOG).open("a", encoding="utf-8") as log:
                    log.write(json.dumps(line, sort_keys=True) + "\n")
                write_board(options.out / BOARD, read_log(options.out / LOG))
            state.seconds = ranks.of_first(seconds_before + time.monotonic() - start)
            done = options.done(state.step, steps, state.seconds)
            if ranks.leads:
                save_model(options.out / MODEL, state.average, _config(options, identity, frames, state.step))
                save_state(options.out / STATE, state, identity)
                last_save = time.monotonic()

        if not ranks.leads:
            return []

        # What is sought was shown more often than they come: beliefs are made right for the held-out patients.
        before = measure(state.average, held_out, device).calibration_error
        calibration = calibrate(state.average, held_out, device, stills=options.stills)
        config = _config(options, identity, frames, state.step)
        config.training["calibration"] = asdict(calibration) | {"ece_before": before}
        save_model(options.out / MODEL, state.average, config)

        # Figures, on every frame of the patients held out.
        measuring = bar.add_task("measuring", total=None, note="")
        threshold = fit_hue_threshold(frames.rgb, frames.classes, task.sought)
        figures: list[Figure] = []
        for split in ("validation", "test"):
            if not index.shards.get(split):
                continue
            split_frames = held_out if split == "validation" else load_split(options.data, split)
            subset = subset_name(options.data, split)
            figures += model_figures(measure(state.average, split_frames, device), split_frames, subset)
            figures += hue_figures(threshold, split_frames, subset)
        bar.update(measuring, total=1, completed=1)
        config.training["figures"] = [one | {"value": _finite(one["value"])} for one in figures]
        save_model(options.out / MODEL, state.average, config)
        write_model_card(options.out / MODEL)

    rates = [float(line["frames_per_second"]) for line in read_log(options.out / LOG)]
    together = f"{ranks.count} processes, " if ranks.count > 1 else ""
    where = f"{together}{device.type}, {options.threads} threads, size {options.size}, batch {options.batch}"
    subset = subset_name(options.data, "train")
    how = "expected calibration error on the validation patients before the temperature; see model.ece"
    uncalibrated = config.training["calibration"]["ece_before"]
    return [
        *figures,
        _plain("model.ece_before", subset_name(options.data, "validation"), uncalibrated, "1", len(held_out), how),
        _plain("train.frames_per_second", subset, float(np.median(rates)), "1/s", len(rates), f"median epoch; {where}"),
        _plain("train.minutes", subset, state.seconds / 60, "min", 1, f"{state.step} steps with validation; {where}"),
    ]


def rate_share(done: float) -> float:
    """Return the learning rate as a share of its peak: a rise, then half a cosine (Loshchilov, Hutter, ICLR 2017)."""
    if done < _WARM_UP:
        return 0.02 + 0.98 * done / _WARM_UP
    falling = 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))
    return _FINAL_RATE + (1 - _FINAL_RATE) * falling


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _config(options: TrainOptions, identity: dict[str, Any], frames: Frames, step: int) -> ModelConfig:
    training = {"options": identity, "step": step}
    return ModelConfig(options.size, frames.camera, training, options.activation, frames.task)


def _plain(name: str, subset: str, value: float, unit: str, n: int, how: str) -> Figure:
    return Figure(name=name, subset=subset, value=value, unit=unit, low=None, high=None, n=n, how=how)
