"""torchvision's detectors: with their published weights, or with your own."""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any

import torch
from PIL import Image
from torchvision.transforms.functional import convert_image_dtype, pil_to_tensor

from rar_agent.detection.proposal import Proposal
from rar_agent.detection.proposers.keep import Limits, keep
from rar_agent.detection.proposers.shown import shown, unshown
from rar_agent.detection.proposers.torchvision_files import build, find
from rar_agent.device import pick_device
from rar_agent.forks import Once

_SPARE = 10
"""Boxes that are asked for in place of one that is kept: one thing has several names."""


class TorchvisionProposer:
    """A detector of torchvision; it finds what it was trained on: COCO's 80, as published.

    Args:
        body: `MODEL`, or `MODEL/FILE` with a state dict that `torch.save` wrote.
        device: Torch device or `auto`.
        download: Whether published weights may be downloaded.
        limits: How many boxes, and which.

    Raises:
        ConfigurationError: There is no such model, its weights are not on disk and may not be
            downloaded, they do not fit, or the device is not there.
    """

    def __init__(
        self,
        body: str,
        device: str = "auto",
        download: bool = False,
        limits: Limits | None = None,
    ) -> None:
        found = find(body, download)
        self.name = f"torchvision:{found.body}"
        self._limits = limits or Limits()
        self._device = pick_device(device)
        network, self._names = _loaded(found.model, found.file, self._device)
        self._network = _limited(network, self._limits)
        transform = network.transform
        if transform.fixed_size:
            short = max(transform.fixed_size)
            self._sees = (short, 2 * short)
        else:
            self._sees = (transform.min_size[-1], transform.max_size)

    def propose(self, image: Image.Image) -> list[Proposal]:
        """See `Proposer.propose`."""
        small = shown(image, *self._sees)
        pixels = convert_image_dtype(pil_to_tensor(small)).to(self._device)
        with torch.inference_mode():
            [found] = self._network([pixels])
        rows = (found[key].tolist() for key in ("boxes", "scores", "labels"))
        proposals = (
            Proposal(unshown(corners, small, image), score, self._called(label))
            for corners, score, label in zip(*rows, strict=True)
        )
        return keep(proposals, image.size, self._limits)

    def _called(self, label: int) -> str:
        name = self._names[label] if label < len(self._names) else ""
        return "" if name == "N/A" else name


def _load(model: str, file: str, device: str) -> tuple[Any, tuple[str, ...]]:
    network, names = build(model, file)
    return network.to(device), names


_loaded = Once(_load)


def _limited(network: Any, limits: Limits) -> Any:  # noqa: ANN401
    """A network of its own thresholds, and of the same weights."""
    shared = chain(network.parameters(), network.buffers())
    own = copy.deepcopy(network, {id(weight): weight for weight in shared})
    thresholds = getattr(own, "roi_heads", own)
    thresholds.detections_per_img = _SPARE * limits.most
    if limits.least is not None:
        thresholds.score_thresh = limits.least
    return own
