"""Any open_clip model: its own transforms and tokenizer, from the hub's cache or a local folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image

from rar_agent.device import pick_device
from rar_agent.encoders.base import Fingerprint, Pixels, sha256_of
from rar_agent.encoders.image_network import ImageNetwork
from rar_agent.encoders.open_clip_files import (
    canonical,
    hub_offline,
    is_folder,
    missing_files,
    split_pair,
)
from rar_agent.encoders.open_clip_text import TextTower
from rar_agent.encoders.torch_encoder import TorchEncoder
from rar_agent.errors import ConfigurationError

_PROBES = ("a photo of a cat.", "Bachman's sparrow", "Müller-Thurgau, 2019", "x" * 400)


class OpenClipEncoder(TorchEncoder):
    """A CLIP-family model.

    Args:
        body: `MODEL/PRETRAINED`, where PRETRAINED is a tag or a checkpoint file, or a folder with
            weights, `open_clip_config.json` and the tokenizer's files.
        device: Torch device or `auto`.
        precision: `fp32`, `bf16` or `fp16`.
        batch_size: Images in one forward pass.
        download: Whether weights and tokenizer may be downloaded.

    Raises:
        InputError: open_clip knows no such model.
        ConfigurationError: It is not on disk and may not be downloaded, or cannot be loaded.
    """

    names_help = True

    def __init__(
        self,
        body: str,
        device: str = "auto",
        precision: str = "fp32",
        batch_size: int = 32,
        download: bool = False,
    ) -> None:
        body = canonical(body)
        missing = missing_files(body)
        if missing and not download:
            raise ConfigurationError(
                f"open_clip:{body} is not on disk: {', '.join(missing)}.",
                "Set RAR_DOWNLOAD=1 to download it, or name a local folder: open_clip:FOLDER.",
            )
        with nullcontext() if download else hub_offline():
            model, transform, tokenizer = _create(body)
        model.eval().requires_grad_(False)
        self.text_scale = float(model.logit_scale.exp())
        details = _details(model, tokenizer)
        super().__init__(
            f"open_clip:{body}",
            int(details["dimension"]),
            pick_device(device),
            Fingerprint(details, precision),
            batch_size,
            detail=max(_sides(model)),
        )
        self._model = model.to(self.device)
        self._text_tower = TextTower(self._model, tokenizer, self.device)
        *self._scaling, to_tensor, scale = transform.transforms
        if (type(to_tensor).__name__, type(scale).__name__) != ("MaybeToTensor", "Normalize"):
            raise ConfigurationError(
                f"open_clip:{body} ends its preprocessing by {to_tensor} and {scale}.",
                "Install open_clip_torch 3, which ends it by MaybeToTensor and Normalize.",
            )
        network = ImageNetwork(_Features(self._model), scale.mean, scale.std, divisor=255.0)
        self.image_network = network.to(self.device)

    def prepare(self, image: Image.Image) -> Pixels:
        """See `Encoder.prepare`; open_clip's own transform, less what the network begins with."""
        for step in self._scaling:
            image = step(image)
        return np.asarray(image)

    def _text_features(self, texts: Sequence[str]) -> torch.Tensor:
        return self._text_tower.encode(texts)


class _Features(torch.nn.Module):
    """The image half of a model, as a module."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        super().__init__()
        self._model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self._model.encode_image(images)
        return features


def _sides(model: Any) -> tuple[int, ...]:  # noqa: ANN401
    size = open_clip.get_model_preprocess_cfg(model)["size"]
    return (size,) if isinstance(size, int) else tuple(size)


def _create(body: str) -> tuple[Any, Any, Any]:
    source, pretrained = (f"local-dir:{body}", None) if is_folder(body) else split_pair(body)
    try:
        # unlike create_model_and_transforms, it refuses to go on with random weights
        model, transform = open_clip.create_model_from_pretrained(
            source, pretrained, weights_only=True
        )
        return model, transform, open_clip.get_tokenizer(source)
    except Exception as error:  # open_clip, hub and torch each raise their own
        raise ConfigurationError(
            f"open_clip:{body} cannot be loaded: {type(error).__name__}: {error}.",
            "Check the files and that they belong together; where it downloads, the network.",
        ) from error


def _details(model: Any, tokenizer: Any) -> dict[str, str]:  # noqa: ANN401
    """Identity from what was loaded, so that a tag and a folder of the same weights agree."""
    weights = model.state_dict()
    parts: list[bytes | memoryview] = []
    for key in sorted(weights):
        value = weights[key].detach().float().cpu().contiguous().numpy()
        parts += [
            f"{key}{value.shape}".encode(),
            memoryview(value).cast("B") if value.size else b"",
        ]
    preprocessing = open_clip.get_model_preprocess_cfg(model)
    layers = sorted({type(module).__name__ for module in model.modules()})
    tokens = np.asarray(tokenizer(list(_PROBES)), dtype=np.int64)
    with torch.inference_mode():
        dimension = model.encode_text(tokenizer(["x"])).shape[1]
    return {
        "architecture": sha256_of([",".join(layers).encode()]),
        "weights": sha256_of(parts),
        "preprocessing": json.dumps(preprocessing, sort_keys=True, default=str),
        "tokenizer": sha256_of([f"{tokens.shape}".encode(), tokens.tobytes()]),
        "dimension": str(dimension),
    }
