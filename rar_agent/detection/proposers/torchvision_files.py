"""The weights of torchvision's detectors: found, downloaded if that is allowed, and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.hub import HASH_REGEX, download_url_to_file
from torchvision.models import detection, get_model_builder, get_model_weights, list_models
from torchvision.ops import FrozenBatchNorm2d

from rar_agent.errors import ConfigurationError

_NO_EPSILON = frozenset(
    {
        "fasterrcnn_resnet50_fpn",
        "keypointrcnn_resnet50_fpn",
        "maskrcnn_resnet50_fpn",
        "retinanet_resnet50_fpn",
    }
)
"""Whose published weights come of batch norms without epsilon, as torchvision's builders know."""


class Found(NamedTuple):
    """A model and the file of its weights.

    Attributes:
        body: `MODEL`, or `MODEL/FILE` with an absolute path.
        model: torchvision's name for it.
        file: Absolute path.
    """

    body: str
    model: str
    file: str


def find(body: str, download: bool) -> Found:
    """Find the weights of a detector on disk, or download the published ones.

    Args:
        body: `MODEL`, or `MODEL/FILE`.
        download: Whether that is allowed.

    Raises:
        ConfigurationError: torchvision has no such detector, or its weights are not on disk.
    """
    model, _, own = body.partition("/")
    models = list_models(module=detection)
    if model not in models:
        raise ConfigurationError(
            f"torchvision has no detector '{model}'.", f"There are {', '.join(models)}."
        )
    if own:
        file = Path(own).expanduser()
        if not file.is_file():
            raise ConfigurationError(
                f"There is no file '{own}' with weights of {model}.",
                f"Write torchvision:{model}/FILE, or torchvision:{model} for the published ones.",
            )
        return Found(f"{model}/{file.resolve()}", model, str(file.resolve()))
    published = get_model_weights(model).DEFAULT
    file = _published_file(model)
    if not file.is_file():
        size = f"{published.meta['_file_size']:.0f} MB"
        if not download:
            raise ConfigurationError(
                f"The weights of torchvision:{model} are not on disk: no {file}.",
                f"Set RAR_DOWNLOAD=1 to download {size} from {published.url}, or name a file of "
                f"your own: torchvision:{model}/FILE.",
            )
        _download(published.url, file)
    return Found(model, model, str(file))


def _published_file(model: str) -> Path:
    """Where torchvision itself would keep them."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(get_model_weights(model).DEFAULT.url).name)


def _download(url: str, file: Path) -> None:
    digest = HASH_REGEX.search(file.name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(url, str(file), digest[1] if digest else None, progress=False)
    except (OSError, RuntimeError) as error:  # no network, no space; another hash
        raise ConfigurationError(
            f"{url} cannot be downloaded: {error}.", f"Check the network, or put it at {file}."
        ) from error


def build(model: str, file: str) -> tuple[Any, tuple[str, ...]]:
    """A detector with its weights, ready to infer boxes alone.

    Args:
        model: torchvision's name for it.
        file: Its state dict, with any number of classes.

    Returns:
        It, and the names of its classes; none where their number is not that of the published.

    Raises:
        ConfigurationError: The file is no state dict, or that of another model.
    """
    names = tuple(get_model_weights(model).DEFAULT.meta["categories"])
    builder = get_model_builder(model)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        classes = _classes(model, state, len(names))
        network = builder(weights=None, weights_backbone=None, num_classes=classes)
        if not any(key.endswith("num_batches_tracked") for key in state):
            is_published = model in _NO_EPSILON and Path(file).name == _published_file(model).name
            _freeze(network, 0.0 if is_published else None)
        network.load_state_dict(state)
    except Exception as error:  # pickle, zip files and torch each raise their own
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise ConfigurationError(
            f"'{file}' cannot be loaded as {model}: {type(error).__name__}: {reason}.",
            "Save it by torch.save(model.state_dict(), FILE); pickled code is never run.",
        ) from error
    for part in ("mask_head", "keypoint_head"):  # they would paint each box over the whole image
        if hasattr(getattr(network, "roi_heads", None), part):
            setattr(network.roi_heads, part, None)
    return network.eval().requires_grad_(False), names if classes == len(names) else ()


def _classes(model: str, state: dict[str, torch.Tensor], published: int) -> int:
    """Number of classes, background included, that weights were trained for."""
    with torch.device("meta"):
        sketch = get_model_builder(model)(
            weights=None, weights_backbone=None, num_classes=published
        )
    for key, weight in sketch.state_dict().items():
        if key in state and state[key].shape != weight.shape:  # rows for each anchor and class
            return max(1, len(state[key]) * published // len(weight))
    return published


def _freeze(module: torch.nn.Module, epsilon: float | None) -> None:
    """Batch norms that count no batches, as weights have them that were trained with such."""
    for name, child in module.named_children():
        if isinstance(child, torch.nn.BatchNorm2d):
            eps = child.eps if epsilon is None else epsilon
            setattr(module, name, FrozenBatchNorm2d(child.num_features, eps))
        else:
            _freeze(child, epsilon)
