"""Zero-shot detectors of transformers: they look for what they are told to in words."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL import Image

from rar_agent.detection.proposal import Proposal
from rar_agent.detection.proposers.keep import Limits, keep
from rar_agent.detection.proposers.shown import shown, unshown
from rar_agent.detection.proposers.zero_shot_files import build
from rar_agent.device import pick_device
from rar_agent.forks import Lock, Once
from rar_agent.pretrained import find_pretrained

_SIZE = " (such detectors have 0.5 to 2 GB)"
_MOST_LABELS = 256
"""Labels of one pass where the model has no limit of its own; more only cost memory."""


class ZeroShotProposer:
    """OWL-ViT, OWLv2, Grounding DINO, OmDet-Turbo and what else transformers has.

    Args:
        body: A folder, or `ORG/NAME` on the hub.
        device: Torch device or `auto`.
        download: Whether it may be downloaded.
        limits: How many boxes, and which.
        labels: What to look for; the tokenizer cuts those that are longer than the model reads.

    Raises:
        ConfigurationError: transformers is not installed, the model is not on disk and may not be
            downloaded, cannot be loaded, or the device is not there.
    """

    def __init__(
        self,
        body: str,
        device: str = "auto",
        download: bool = False,
        limits: Limits | None = None,
        labels: Sequence[str] = ("object",),
    ) -> None:
        source = find_pretrained("Proposer", "zero-shot", body, download, _SIZE)
        self.name = f"zero-shot:{source}"
        self._limits = limits or Limits()
        self._device = pick_device(device)
        self._model, self._processor, self._lock = _loaded(source, self._device, download)
        self._boxes = self._processor.post_process_grounded_object_detection
        least = self._limits.least
        default = inspect.signature(self._boxes).parameters["threshold"].default
        self._threshold = default if least is None else least
        self._labels = list(_passes(labels, self._model.config, self._processor.tokenizer))
        size = dict(self._processor.image_processor.size)
        short = size.get("shortest_edge") or max(size["height"], size["width"])
        self._sees = (short, size.get("longest_edge") or 2 * short)

    def propose(self, image: Image.Image) -> list[Proposal]:
        """See `Proposer.propose`."""
        small = shown(image, *self._sees)
        found = (one for labels in self._labels for one in self._look(small, labels))
        proposals = (
            Proposal(unshown(corners, small, image), score, name) for corners, score, name in found
        )
        return keep(proposals, image.size, self._limits)

    def _look(self, image: Image.Image, labels: list[str]) -> Iterator[tuple[Any, float, str]]:
        with self._lock, torch.inference_mode():  # tokenizers take no two threads, nor does OmDet
            inputs = self._processor(
                images=image,
                text=[[label.replace(".", " ") for label in labels]],  # full stops divide labels
                return_tensors="pt",
                truncation=True,
            )
            [found] = self._boxes(
                self._model(**inputs.to(self._device)),
                threshold=self._threshold,
                target_sizes=[(image.height, image.width)],
                text_labels=[labels],
            )
        return zip(
            found["boxes"].tolist(), found["scores"].tolist(), found["text_labels"], strict=True
        )


def _load(source: str, device: str, download: bool) -> tuple[Any, Any, Lock]:
    model, processor = build(source, download)
    return model.to(device), processor, Lock()


_loaded = Once(_load)


def _passes(labels: Sequence[str], config: Any, tokenizer: Any) -> Iterator[list[str]]:  # noqa: ANN401
    """Labels in as few lists as go into one pass each."""
    room = getattr(config, "max_text_len", None)  # tokens of a text that has all of them
    taken: list[str] = []
    used = 0
    for label in dict.fromkeys(label.strip() for label in labels):
        needs = len(tokenizer(label, add_special_tokens=False)["input_ids"]) + 1
        is_full = len(taken) == _MOST_LABELS if room is None else used + needs > room - 2
        if taken and is_full:
            yield taken
            taken, used = [], 0
        taken.append(label)
        used += needs
    yield taken
