"""From a name to loaded weights; each model is loaded once a process."""

from __future__ import annotations

import os
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import torch
import transformers

from rar_agent.device import pick_device
from rar_agent.errors import ConfigurationError
from rar_agent.forks import Lock
from rar_agent.models.local.backend import Backend
from rar_agent.pretrained import find_pretrained, hub_offline, quiet

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Quantization = Literal["4bit", "8bit"]

_DTYPES: dict[str, torch.dtype | str] = {
    "auto": "auto",
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


class Key(NamedTuple):
    """What two models must share to be one.

    Attributes:
        source: See `find_pretrained`.
        device: Torch device or `auto`.
        precision: Of the weights; `auto` is the checkpoint's own.
        quantize: Bits of the weights, if they are to be quantised on loading.
    """

    source: str
    device: str
    precision: Precision
    quantize: Quantization | None


_loaded: dict[Key, Backend] = {}
_lock = Lock()


def load(
    name: str, device: str, precision: Precision, quantize: Quantization | None, download: bool
) -> Backend:
    """Load a model, or return the one already loaded. Thread-safe.

    Raises:
        ConfigurationError: It is not on disk, cannot be loaded as it is asked for, or the device
            is not there.
    """
    source = find_pretrained("Model", "local", name, download)
    key = Key(source, device, precision, quantize)
    with _lock:
        if key not in _loaded:
            _loaded[key] = _load(key, download)
        return _loaded[key]


def load_anew(name: str, device: str, precision: Precision, download: bool) -> Backend:
    """Load a model that nobody else gets: one that will be changed.

    Raises:
        ConfigurationError: As `load` raises it.
    """
    source = find_pretrained("Model", "local", name, download)
    return _load(Key(source, device, precision, None), download)


def _load(key: Key, download: bool) -> Backend:
    device = pick_device(key.device)
    options: dict[str, Any] = {"dtype": _DTYPES[key.precision]}
    if key.quantize:
        options["quantization_config"] = _quantization(key, device)
    # Else transformers asks a service on the hub to convert pickled weights.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    common = {"local_files_only": not download, "trust_remote_code": False}
    try:
        with quiet(), nullcontext() if download else hub_offline():
            config = transformers.AutoConfig.from_pretrained(key.source, **common)
            if key.quantize or getattr(config, "quantization_config", None):
                options["device_map"] = {"": device}  # quantised weights cannot be moved
            processor = transformers.AutoProcessor.from_pretrained(key.source, **common)
            model, found = transformers.AutoModelForImageTextToText.from_pretrained(
                key.source, use_safetensors=True, output_loading_info=True, **common, **options
            )
            if "device_map" not in options:
                model = model.to(device)
    except Exception as error:  # transformers, hub, safetensors and torch each raise their own
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise ConfigurationError(
            f"Model 'local:{key.source}' cannot be loaded: {type(error).__name__}: {reason}.",
            "Check that it is a vision-language model of transformers with safetensors weights; "
            "code from the hub is never run.",
        ) from error
    if found["missing_keys"]:  # transformers would go on with random weights
        raise ConfigurationError(
            f"Model 'local:{key.source}' lacks weights: {sorted(found['missing_keys'])[0]} and "
            f"{len(found['missing_keys']) - 1} more.",
            "Check that weights and config.json belong together.",
        )
    if getattr(processor, "chat_template", None) is None:
        raise ConfigurationError(
            f"Model 'local:{key.source}' has no chat template.",
            "Take an instruction-tuned model, which has one.",
        )
    return Backend(model.eval().requires_grad_(False), processor)


def _quantization(key: Key, device: str) -> object:
    if torch.device(device).type != "cuda":
        raise ConfigurationError(
            f"Weights cannot be quantised to {key.quantize} on '{device}': that needs CUDA.",
            "Leave RAR_QUANTIZE out, or take a smaller model.",
        )
    missing = [name for name in ("accelerate", "bitsandbytes") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"Quantising weights to {key.quantize} needs {' and '.join(missing)}.",
            f"Run: pip install {' '.join(missing)}",
        )
    compute = _DTYPES[key.precision]
    return transformers.BitsAndBytesConfig(
        load_in_4bit=key.quantize == "4bit",
        load_in_8bit=key.quantize == "8bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16 if compute == "auto" else compute,
    )
