"""Zero-shot detectors on disk or, if that is allowed, on the hub: found, and loaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rar_agent.errors import ConfigurationError

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def resolve(body: str, download: bool) -> str:
    """What transformers loads: an absolute folder, or a name on the hub.

    Args:
        body: A folder, or `ORG/NAME` on the Hugging Face hub.
        download: Whether it may be downloaded.

    Raises:
        ConfigurationError: transformers is not installed, or the model is neither on disk as
            safetensors nor allowed to be downloaded.
    """
    if find_spec("transformers") is None:
        raise ConfigurationError(
            f"Proposer 'zero-shot:{body}' needs transformers.",
            "Run: pip install 'rar-agent[local]'",
        )
    folder = Path(body).expanduser()
    if folder.is_dir():
        if missing := _missing(lambda file: (folder / file).is_file()):
            raise ConfigurationError(
                f"Folder '{body}' has no {missing}.",
                "Name a folder as save_pretrained of model and processor writes it; pickled "
                "weights (.bin) are not loaded.",
            )
        return str(folder.resolve())
    if body.count("/") != 1 or body.startswith((".", "/", "~")):
        raise ConfigurationError(
            f"'zero-shot:{body}' is neither a folder nor a name on the hub.",
            "Write zero-shot:FOLDER or zero-shot:ORG/NAME.",
        )
    if not download:
        from huggingface_hub import try_to_load_from_cache

        if missing := _missing(lambda file: isinstance(try_to_load_from_cache(body, file), str)):
            raise ConfigurationError(
                f"Proposer 'zero-shot:{body}' is not on disk: no {missing}.",
                "Set RAR_DOWNLOAD=1 to download it (such detectors have 0.5 to 2 GB), or name a "
                "local folder: zero-shot:FOLDER.",
            )
    return body


def _missing(there: Callable[[str], bool]) -> str:
    """The first file that is needed and not there; empty if all are."""
    if not there("config.json"):
        return "config.json"
    return "" if any(there(file) for file in _WEIGHTS) else _WEIGHTS[0]


def build(source: str, download: bool) -> tuple[Any, Any]:
    """A model and its processor.

    Args:
        source: See `resolve`.
        download: Whether it may be downloaded.

    Raises:
        ConfigurationError: It cannot be loaded as a zero-shot detector.
    """
    import transformers

    # Else transformers asks a service on the hub to convert pickled weights.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    common = {"local_files_only": not download, "trust_remote_code": False}
    try:
        with _quiet(), nullcontext() if download else _hub_offline():
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


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars beside our own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def _hub_offline() -> Iterator[None]:
    """Keep the hub's client quiet: with `local_files_only` it still fetches what it reports."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
