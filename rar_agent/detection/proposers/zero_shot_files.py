"""Loading a zero-shot detector, from disk or, if that is allowed, from the hub."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Any

from rar_agent.errors import ConfigurationError
from rar_agent.pretrained import hub_offline, quiet


def build(source: str, download: bool) -> tuple[Any, Any]:
    """A model and its processor.

    Args:
        source: See `find_pretrained`.
        download: Whether it may be downloaded.

    Raises:
        ConfigurationError: It cannot be loaded as a zero-shot detector.
    """
    import transformers

    # Else transformers asks a service on the hub to convert pickled weights.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    common = {"local_files_only": not download, "trust_remote_code": False}
    try:
        with quiet(), nullcontext() if download else hub_offline():
            processor = transformers.AutoProcessor.from_pretrained(source, **common)
            model, found = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(
                source, use_safetensors=True, output_loading_info=True, dtype="float32", **common
            )
    except Exception as error:  # transformers, hub, safetensors and torch each raise their own
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise ConfigurationError(
            f"Proposer 'zero-shot:{source}' cannot be loaded: {type(error).__name__}: {reason}.",
            "Check that it is a zero-shot detector of transformers with safetensors weights; code "
            "from the hub is never run.",
        ) from error
    if found["missing_keys"]:  # transformers would go on with random weights
        raise ConfigurationError(
            f"Proposer 'zero-shot:{source}' lacks weights: {sorted(found['missing_keys'])[0]} and "
            f"{len(found['missing_keys']) - 1} more.",
            "Check that weights and config.json belong together.",
        )
    room = getattr(model.config, "max_text_len", None)
    if room:  # Grounding DINO breaks on longer texts
        tokenizer = processor.tokenizer
        tokenizer.model_max_length = min(tokenizer.model_max_length, room)
    return model.eval().requires_grad_(False), processor
