"""The network as an ONNX file: written, read back and run by ONNX Runtime (extra `onnx`)."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from assets.errors import InputError
from perception.checkpoint import MAX_MODEL_BYTES, ModelConfig, config_from_json, config_to_json
from perception.network import fold_norms
from perception.network_outputs import EndoscopyNet, Outputs
from perception.prediction import Prediction
from perception.predictor import check_image, predict, ray_planes
from sim.atomic import atomic_file

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

OUTPUTS = ("class_logits", "log_distance", "log_scale", "direction", "visible_logit", "centre_logits")
"""Names of the file's outputs, those of `perception.network.Outputs`; its inputs are `image` and `log_exposure`."""

_METADATA = "trocar"  # key of the config in the file
_OPSET = 18


class _Seen(nn.Module):
    """The network behind one lens, whose rays become a constant of the file."""

    def __init__(self, network: EndoscopyNet, rays: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("rays", rays)

    def forward(self, image: Tensor, log_exposure: Tensor) -> tuple[Tensor, ...]:
        rays = self.rays
        assert isinstance(rays, Tensor)
        found = self.network(image, log_exposure, rays)
        return tuple(getattr(found, name) for name in OUTPUTS)


def export_onnx(path: Path, network: EndoscopyNet, config: ModelConfig) -> None:
    """Write the network for single frames of its own lens; the norms of `network` are folded into its convolutions.

    Raises:
        InputError: The extra is not installed.
        OSError: The folder cannot be written.
    """
    onnx = _imported("onnx")
    _imported("onnxscript")
    camera = config.camera
    cpu = torch.device("cpu")
    seen = _Seen(fold_norms(network).to(cpu).requires_grad_(False), ray_planes(camera, cpu)).eval()
    example = torch.zeros(1, 3, camera.height, camera.width), torch.zeros(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's exporter uses what PyTorch itself has deprecated
        program = torch.onnx.export(
            seen,
            example,
            dynamo=True,
            verbose=False,
            input_names=["image", "log_exposure"],
            output_names=list(OUTPUTS),
            opset_version=_OPSET,
        )
    assert program is not None
    proto = program.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = _METADATA, json.dumps(config_to_json(config), sort_keys=True)
    onnx.checker.check_model(proto)
    with atomic_file(path) as stream:
        stream.write(proto.SerializeToString())


@dataclass(frozen=True)
class OnnxPredictor:
    """An ONNX file of ours ready to look at single frames, as `perception.predictor.Predictor` does."""

    session: "InferenceSession"
    config: ModelConfig
    """Of the network; its camera is the lens that frames are taken to come from."""
    rays: Tensor
    """Unit direction of each pixel of the config's camera, shape (3, H, W)."""

    @classmethod
    def load(cls, path: Path | str, *, threads: int = 0) -> "OnnxPredictor":
        """Read a file that `export_onnx` wrote.

        Args:
            path: The file.
            threads: Of the CPU; 0 leaves it to the runtime.

        Raises:
            InputError: The extra is not installed, or the file is missing, damaged or not one of ours.
        """
        runtime = _imported("onnxruntime")
        path = Path(path)
        try:
            size = path.stat().st_size
            if size > MAX_MODEL_BYTES:
                raise InputError(f"{path}: expected at most {MAX_MODEL_BYTES} bytes, found {size}")
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: expected a readable ONNX file, found {error.strerror}") from None
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            # From bytes: a file that asks for weights outside of itself is refused.
            session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's errors have no common base but this
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: expected an ONNX file, found {reason:.200}") from None
        stored = session.get_modelmeta().custom_metadata_map.get(_METADATA)
        names = tuple(one.name for one in session.get_outputs())
        if stored is None or names != OUTPUTS:
            raise InputError(
                f"{path}: expected an ONNX file of `trocar model export`, found outputs {', '.join(names)}"
            )
        try:
            config = config_from_json(json.loads(stored), str(path))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: expected a config in it, found {error}") from None
        return cls(session, config, ray_planes(config.camera, torch.device("cpu")))

    def __call__(self, rgb: UInt8[np.ndarray, "h w 3"], exposure: float) -> Prediction:
        """Look at one frame, as `perception.predictor.Predictor` does.

        Raises:
            InputError: The image is no (h, w, 3) array of bytes, or the exposure is not positive.
        """
        check_image(rgb, exposure)
        return predict(rgb, exposure, self.config.camera, self.rays, self._run)

    def _run(self, image: Tensor, log_exposure: Tensor) -> Outputs:
        given = {"image": image.contiguous().numpy(), "log_exposure": log_exposure.numpy()}
        return Outputs(*(torch.from_numpy(one) for one in self.session.run(list(OUTPUTS), given)))


def _imported(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"ONNX: expected the extra onnx (pip install 'trocar[onnx]'), found no {name}") from None
