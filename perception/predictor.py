"""From an image and the device's reading of its exposure to a Prediction: what a controller calls."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from assets.errors import InputError
from perception.centres import decode_centres
from perception.checkpoint import ModelConfig, load_model
from perception.device import choose_device
from perception.network import fold_norms
from perception.network_outputs import EndoscopyNet, Outputs
from perception.prediction import Prediction
from sim.camera import Camera


@dataclass(frozen=True)
class Predictor:
    """A network ready to look at single frames."""

    network: EndoscopyNet
    """In evaluation mode, on `device`."""
    config: ModelConfig
    """Of the network; its camera is the lens that frames are taken to come from."""
    device: torch.device
    """Where the network runs."""
    rays: Tensor
    """Unit direction of each pixel of the config's camera, shape (3, H, W), on `device`; 0 where nothing is shown."""

    @classmethod
    def load(cls, path: Path | str, *, device: str | None = None) -> "Predictor":
        """Read a `.safetensors` file of ours with the config beside it.

        Args:
            path: The weights.
            device: "cpu" or "cuda"; None takes CUDA where it is there.

        Raises:
            InputError: A file is missing, damaged or of another kind; or the device is not there.
        """
        network, config = load_model(Path(path))
        return cls.of(network, config, device=device)

    @classmethod
    def of(cls, network: EndoscopyNet, config: ModelConfig, *, device: str | None = None) -> "Predictor":
        """Make a predictor of a network in memory, which is altered: norms are folded into convolutions.

        Raises:
            InputError: The device is not there.
        """
        place = choose_device(device)
        folded = fold_norms(network).to(place).requires_grad_(False)
        return cls(folded, config, place, ray_planes(config.camera, place))

    def __call__(self, rgb: UInt8[np.ndarray, "h w 3"], exposure: float) -> Prediction:
        """Look at one frame.

        An image of another size is scaled to fit the network's, with a black margin where the shapes differ; what comes
        back has the image's size.

        Args:
            rgb: sRGB.
            exposure: Gain of the image, a reading of the device; 1 is nominal.

        Raises:
            InputError: The image is no (h, w, 3) array of bytes, or the exposure is not positive.
        """
        check_image(rgb, exposure)
        return predict(rgb, exposure, self.config.camera, self.rays, self._run)

    def _run(self, image: Tensor, log_exposure: Tensor) -> Outputs:
        found: Outputs = self.network(image, log_exposure, self.rays)
        return found


def check_image(rgb: NDArray[Any], exposure: float) -> None:
    """Refuse what is no image.

    Raises:
        InputError: The image is no (h, w, 3) array of bytes, or the exposure is not positive.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or min(rgb.shape[:2]) < 1:
        raise InputError(f"image: expected (h, w, 3) bytes, found {rgb.shape} of {rgb.dtype}")
    if not (np.isfinite(exposure) and exposure > 0):
        raise InputError(f"image: expected a positive exposure, found {exposure}")


def predict(
    rgb: UInt8[np.ndarray, "h w 3"],
    exposure: float,
    camera: Camera,
    rays: Tensor,
    run: Callable[[Tensor, Tensor], Outputs],
) -> Prediction:
    """Let a network look at one frame of any size.

    Args:
        rgb: sRGB.
        exposure: Gain of the image, a reading of the device; 1 is nominal.
        camera: The lens that the network looks through.
        rays: Of the camera, shape (3, H, W), where the network runs.
        run: The network: an image (1, 3, H, W) within 0 and 1 and the log of the exposure, shape (1,), to its outputs.
    """
    fitted, inner = fit_image(rgb, camera.width, camera.height)
    image = torch.from_numpy(np.ascontiguousarray(fitted)).to(rays.device).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        outputs = run(image, torch.log(torch.tensor([exposure], device=rays.device)).float())
        maps = _maps(outputs, rays).cpu()
        ahead = torch.cat([outputs.direction[0], outputs.visible_logit.sigmoid()]).double().cpu().numpy()
        centres = decode_centres(outputs.centre_logits[0])
    places = _unfit_places(centres, inner, rgb.shape)
    return _prediction(_unfit(maps, inner, rgb.shape[0], rgb.shape[1]), ahead, places)


def ray_planes(camera: Camera, device: torch.device) -> Tensor:
    """Return the unit direction of each pixel, shape (3, H, W), camera axes; 0 where the lens shows nothing."""
    return torch.tensor(camera.rays()[0], device=device).permute(2, 0, 1).contiguous()


def _maps(outputs: Outputs, rays: Tensor) -> Tensor:
    """Stack class probabilities, z-depth, depth scale and shown mask of the first image: shape (C + 3, h, w)."""
    shown = (rays[2] > 0).float()
    # A point at distance d along the unit ray r has depth d r_z.
    depth = outputs.log_distance[0].exp() * rays[2]
    scale = outputs.log_scale[0].exp() * shown
    return torch.cat([outputs.class_logits[0].softmax(dim=0), torch.stack([depth, scale, shown])])


def _prediction(maps: NDArray[np.float32], ahead: NDArray[np.float64], centres: NDArray[np.float32]) -> Prediction:
    count = len(maps) - 3
    probabilities, depth, scale, shown = maps[:count], maps[count], maps[count + 1], maps[count + 2] > 0.5
    doubt = np.where(shown, 1 - (1 - class_entropy(probabilities)) * np.exp(-scale), 0).astype(np.float32)
    return Prediction(
        probabilities=probabilities,
        depth=depth,
        depth_scale=scale,
        lumen_direction=ahead[:3] / np.linalg.norm(ahead[:3]),
        lumen_visible=float(ahead[3]),
        uncertainty=doubt,
        frame_uncertainty=float(doubt[shown].mean()) if shown.any() else 1.0,
        polyp_centres=centres,
    )


def class_entropy(probabilities: Float32[np.ndarray, "classes h w"]) -> NDArray[np.float32]:
    """Return the entropy of the classes in each pixel over its maximum, within 0 and 1, shape (h, w)."""
    entropy = -np.sum(probabilities * np.log(np.maximum(probabilities, 1e-8)), axis=0) / np.log(len(probabilities))
    return np.asarray(np.clip(entropy, 0, 1), dtype=np.float32)


def _unfit_places(
    places: NDArray[np.float32], inner: tuple[slice, slice], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Bring places (u, v, score) in the network's image back to the image of a shape; those in the margin go."""
    found = places.copy()
    inside = np.ones(len(places), np.bool_)
    for axis, part, size in ((0, inner[1], shape[1]), (1, inner[0], shape[0])):
        found[:, axis] = (places[:, axis] - part.start + 0.5) * size / (part.stop - part.start) - 0.5
        inside &= (found[:, axis] >= -0.5) & (found[:, axis] <= size - 0.5)
    return found[inside]


def fit_image(rgb: NDArray[np.uint8], width: int, height: int) -> tuple[NDArray[np.uint8], tuple[slice, slice]]:
    """Scale an image into a black frame of the given size; return it with the rows and columns that it fills."""
    rows, columns = rgb.shape[:2]
    if (rows, columns) == (height, width):
        return rgb, (slice(0, rows), slice(0, columns))
    scale = min(height / rows, width / columns)
    inner_height, inner_width = max(1, round(rows * scale)), max(1, round(columns * scale))
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    inner = (slice(top, top + inner_height), slice(left, left + inner_width))
    fitted = np.zeros((height, width, 3), np.uint8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    fitted[inner] = cv2.resize(rgb, (inner_width, inner_height), interpolation=method)
    return fitted, inner


def _unfit(maps: Tensor, inner: tuple[slice, slice], height: int, width: int) -> NDArray[np.float32]:
    cropped = maps[:, inner[0], inner[1]]
    if cropped.shape[1:] != (height, width):
        cropped = functional.interpolate(cropped[None], (height, width), mode="bilinear", align_corners=False)[0]
    return np.asarray(cropped.contiguous().numpy(), dtype=np.float32)
