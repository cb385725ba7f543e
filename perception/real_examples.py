"""A few real frames beside simulated ones in a training, where masks of one class are all that is known of them.

What else the training asks for (the other classes, the direction, whether it is seen) is what the network that is
learned further says itself: so nothing of it is unlearned, and only the masks teach something new. Distances are
withheld, as the gain of a foreign device is not known.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray

from assets.errors import InputError
from perception.dataset import Frames
from perception.network_outputs import EndoscopyNet
from perception.prediction import POLYP
from perception.predictor import fit_image, ray_planes
from perception.real_frames import read_real_frame, real_frame_paths
from perception.targets import polyp_centres
from perception.tasks import COLONOSCOPY, PerceptionTask
from sim.camera import Camera


def first_real_frames(folder: Path, count: int) -> list[tuple[Path, Path]]:
    """Return the first images, by name, with their masks.

    Raises:
        InputError: There are fewer, or one has no mask.
    """
    pairs = real_frame_paths(folder)
    if len(pairs) < count:
        raise InputError(f"{folder}: expected at least {count} real frames, found {len(pairs)}")
    return pairs[:count]


def content_of(pairs: Sequence[tuple[Path, Path]]) -> str:
    """Return the SHA-256 of all files, in order."""
    digest = hashlib.sha256()
    for path in (path for pair in pairs for path in pair):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def real_examples(
    pairs: Sequence[tuple[Path, Path]], network: EndoscopyNet, task: PerceptionTask, camera: Camera
) -> Frames:
    """Make training frames of real ones, whose masks mark polyps.

    Args:
        pairs: Image and mask of each.
        network: Says what else is there; on the CPU.
        task: Of the network.
        camera: Of the network.

    Raises:
        InputError: The task is not colonoscopy, a file is damaged, or both of a pair differ in size.
    """
    if task is not COLONOSCOPY:
        raise InputError(f"train: expected real frames with polyps for the task colonoscopy, found {task.name}")
    rows: list[dict[str, Any]] = []
    rays = ray_planes(camera, torch.device("cpu"))
    shown = (rays[2] > 0).numpy()
    network.eval()
    for image, mask in pairs:
        real = read_real_frame(image, mask)
        rgb, inner = fit_image(real.rgb, camera.width, camera.height)
        marked = np.zeros(rgb.shape[:2], np.bool_)
        size = inner[1].stop - inner[1].start, inner[0].stop - inner[0].start
        marked[inner] = cv2.resize(real.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
        with torch.inference_mode():
            tensor = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255
            said = network(tensor, torch.zeros(1), rays)
        logits = said.class_logits[0].clone()
        logits[task.sought] = -torch.inf
        classes = logits.argmax(dim=0).numpy().astype(np.uint8)
        classes[marked & shown] = task.sought
        rows.append(
            {
                "rgb": rgb,
                "classes": classes,
                "direction": said.direction[0].numpy(),
                "visible": bool(said.visible_logit[0] > 0),
                "centres": _centres(classes),
                "patients": f"real:{image.stem}",
            }
        )
    return Frames(
        task,
        camera,
        np.stack([row["rgb"] for row in rows]),
        np.zeros(len(rows), np.float32),
        np.stack([row["classes"] for row in rows]),
        np.zeros((len(rows), camera.height, camera.width), np.float16),
        np.stack([row["direction"] for row in rows]).astype(np.float32),
        np.array([row["visible"] for row in rows]),
        tuple(row["centres"] for row in rows),
        tuple(row["patients"] for row in rows),
        np.zeros(len(rows), np.float32),
        np.stack([np.packbits(row["classes"] == task.sought) for row in rows]),
    )


def joined(first: Frames, second: Frames) -> Frames:
    """Put frames of one task and lens behind others."""
    values: dict[str, Any] = {}
    for field in fields(Frames):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, np.ndarray):
            values[field.name] = np.concatenate([one, other])
        else:
            values[field.name] = one + other if isinstance(one, tuple) else one
    return Frames(**values)


def order_with_real(
    order: Int64[np.ndarray, "n"], real: Int64[np.ndarray, "m"], share: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Let real frames, by their rows, take the places of a share of an epoch's frames, chosen at random."""
    mixed = order.copy()
    places = np.flatnonzero(rng.random(len(order)) < share)
    mixed[places] = rng.choice(real, len(places))
    return mixed


def _centres(classes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Take each region of polyp for one polyp, and return their centres as `Targets.centres`."""
    _, regions = cv2.connectedComponents((classes == POLYP).astype(np.uint8))
    return polyp_centres(classes, regions.astype(np.uint16))
