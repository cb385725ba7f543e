"""One step of the training, and batches that are made ready while the step before runs."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from perception.batches import Batch
from perception.losses import Losses, losses
from perception.training_state import TrainingState

_CLIP = 5.0  # largest norm of a gradient

Item = TypeVar("Item")


def backward(
    state: TrainingState,
    learner: nn.Module,
    batch: Batch,
    image: Float[Tensor, "batch 3 h w"],
    log_exposure: Float[Tensor, "batch"],
    *,
    mixed: bool,
) -> tuple[Losses, Tensor]:
    """Compute the losses of a batch and their gradients, clipped; the weights stay.

    Args:
        state: Its network is set to training.
        learner: The network, or what averages its gradients over several processes.
        batch: The truth.
        image: As the network shall see it.
        log_exposure: The same.
        mixed: Convolve in bfloat16.

    Returns:
        The losses, and the norm of the gradients before clipping.
    """
    learner.train()
    with torch.autocast(image.device.type, torch.bfloat16, enabled=mixed):
        outputs = learner(image, log_exposure, batch.rays)
    parts = losses(outputs, batch, state.network.task)
    state.optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(parts.total)
    return parts, clip_grad_norm_(state.network.parameters(), _CLIP)


def made_ahead(make: Callable[[int], Item], numbers: Iterable[int]) -> Iterator[Item]:
    """Make an item of each number, in order, always one ahead of who takes them, in a thread."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for number in numbers:
            following = pool.submit(make, number)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
