"""From a proposer's name to a proposer; weights are loaded once a process."""

from __future__ import annotations

from collections.abc import Sequence

from rar_agent.detection.proposers.base import Proposer
from rar_agent.detection.proposers.keep import Limits
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.settings import Settings

LABELS = ("object",)
"""What a zero-shot detector is asked for: anything, since the memory says what it is."""


def load_proposer(
    name: str,
    settings: Settings,
    limits: Limits | None = None,
    labels: Sequence[str] = LABELS,
) -> Proposer:
    """Load a detector. Thread-safe; all of one name and device share their weights.

    Args:
        name: `torchvision:MODEL` with its published weights, `torchvision:MODEL/FILE` with your
            own, `zero-shot:FOLDER`, or `zero-shot:ORG/NAME` on the Hugging Face hub. It names
            files, so it is never to come from a model. A detector of your own needs no name: any
            `Proposer` will do.
        settings: Device, and whether weights may be downloaded.
        limits: How many boxes, and which.
        labels: What a zero-shot detector looks for; several are asked about in as few passes as
            it allows. torchvision's detectors have their own and look for all of them.

    Raises:
        ConfigurationError: There is no such detector, it is not on disk and may not be downloaded,
            it cannot be loaded, its extra is not installed, or the device is not there.
        InputError: A label is empty, or there is none.
    """
    family, _, body = name.partition(":")
    if family == "torchvision" and body:
        from rar_agent.detection.proposers.torchvision import TorchvisionProposer

        return TorchvisionProposer(body, settings.device, settings.download, limits)
    if family == "zero-shot" and body:
        if not labels or isinstance(labels, str) or not all(label.strip() for label in labels):
            raise InputError(
                f"{labels!r} are no labels.", "Give one or more texts, such as ('bird', 'boat')."
            )
        from rar_agent.detection.proposers.zero_shot import ZeroShotProposer

        return ZeroShotProposer(body, settings.device, settings.download, limits, labels)
    raise ConfigurationError(
        f"'{name}' names no proposer.",
        "Write torchvision:MODEL, such as torchvision:fasterrcnn_resnet50_fpn_v2, "
        "torchvision:MODEL/FILE, zero-shot:FOLDER, or zero-shot:ORG/NAME, such as "
        "zero-shot:google/owlv2-base-patch16-ensemble.",
    )
