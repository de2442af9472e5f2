"""Whether a model is on disk, found without loading or downloading anything."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from rar_agent.errors import ConfigurationError

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def resolve(name: str, download: bool) -> str:
    """What transformers loads: an absolute folder, or a name on the hub.

    Args:
        name: A folder, or `org/name` on the Hugging Face hub.
        download: Whether it may be downloaded.

    Raises:
        ConfigurationError: transformers is not installed, or the model is neither on disk as
            safetensors nor allowed to be downloaded.
    """
    if find_spec("transformers") is None:
        raise ConfigurationError(
            f"Model 'local:{name}' needs transformers.", "Run: pip install 'rar-agent[local]'"
        )
    folder = Path(name).expanduser()
    if folder.is_dir():
        missing = _missing(lambda file: (folder / file).is_file())
        if missing:
            raise ConfigurationError(
                f"Folder '{name}' has no {missing}.",
                "Name a folder as save_pretrained of model and processor writes it; pickled "
                "weights (.bin) are not loaded.",
            )
        return str(folder.resolve())
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ConfigurationError(
            f"'local:{name}' is neither a folder nor a name on the hub.",
            "Write local:FOLDER or local:org/name.",
        )
    if not download:
        from huggingface_hub import try_to_load_from_cache

        missing = _missing(lambda file: isinstance(try_to_load_from_cache(name, file), str))
        if missing:
            raise ConfigurationError(
                f"Model 'local:{name}' is not on disk: no {missing}.",
                "Set RAR_DOWNLOAD=1 to download it, or name a local folder: local:FOLDER.",
            )
    return name


def _missing(there: Callable[[str], bool]) -> str:
    """The first file that is needed and not there; empty if all are."""
    if not there("config.json"):
        return "config.json"
    return "" if any(there(file) for file in _WEIGHTS) else _WEIGHTS[0]
