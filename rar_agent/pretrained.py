"""Models of transformers: found without loading or downloading, and loaded quietly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from rar_agent.errors import ConfigurationError

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def find_pretrained(what: str, family: str, name: str, download: bool, about: str = "") -> str:
    """What transformers loads: an absolute folder, or a name on the hub.

    Args:
        what: `Model` or `Proposer`, for messages.
        family: What stands before its name, such as `local`.
        name: A folder, or `org/name` on the Hugging Face hub.
        download: Whether it may be downloaded.
        about: How large it is, in brackets, for messages.

    Raises:
        ConfigurationError: transformers is not installed, or the model is neither on disk as
            safetensors nor allowed to be downloaded.
    """
    if find_spec("transformers") is None:
        raise ConfigurationError(
            f"{what} '{family}:{name}' needs transformers.", "Run: pip install 'rar-agent[local]'"
        )
    folder = Path(name).expanduser()
    if folder.is_dir():
        if missing := _missing(lambda file: (folder / file).is_file()):
            raise ConfigurationError(
                f"Folder '{name}' has no {missing}.",
                "Name a folder as save_pretrained of model and processor writes it; pickled "
                "weights (.bin) are not loaded.",
            )
        return str(folder.resolve())
    if name.startswith((".", "/", "~")):
        raise ConfigurationError(
            f"There is no folder '{name}'.",
            "Name one as save_pretrained of model and processor writes it.",
        )
    if name.count("/") != 1:
        raise ConfigurationError(
            f"'{family}:{name}' is neither a folder nor a name on the hub.",
            f"Write {family}:FOLDER or {family}:org/name.",
        )
    if not download:
        from huggingface_hub import try_to_load_from_cache

        if missing := _missing(lambda file: isinstance(try_to_load_from_cache(name, file), str)):
            raise ConfigurationError(
                f"{what} '{family}:{name}' is not on disk: no {missing}.",
                f"Set RAR_DOWNLOAD=1 to download it{about}, or name a local folder: "
                f"{family}:FOLDER.",
            )
    return name


def _missing(there: Callable[[str], bool]) -> str:
    """The first file that is needed and not there; empty if all are."""
    if not there("config.json"):
        return "config.json"
    return "" if any(there(file) for file in _WEIGHTS) else _WEIGHTS[0]


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers beside our own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def hub_offline() -> Iterator[None]:
    """Keep the hub's client quiet: with `local_files_only` it still fetches what it reports."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
