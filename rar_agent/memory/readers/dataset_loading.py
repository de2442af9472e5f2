"""From what names a Hugging Face data set to one split of it, without the network."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rar_agent.errors import ConfigurationError, InputError
from rar_agent.images.policy import printable


def require_loadable(dataset: object, download: bool) -> None:
    """Check that a data set is there without opening it.

    Raises:
        ConfigurationError: The library is not installed, or the data set is not on disk and
            may not be downloaded.
        InputError: It is neither a data set, nor the path or name of one.
    """
    try:
        from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
    except ImportError as error:
        raise ConfigurationError(
            "Hugging Face's datasets library is not installed.",
            "Run: pip install 'rar-agent[data]'",
        ) from error
    if isinstance(dataset, str | Path):
        if not download and not Path(dataset).expanduser().exists():
            raise ConfigurationError(
                f"Data set '{printable(str(dataset))}' is not on disk, and downloading is off.",
                "Give the path of a folder or file, or allow it to be downloaded from Hugging "
                "Face with RAR_DOWNLOAD=1 (download=True).",
            )
    elif not isinstance(dataset, Dataset | DatasetDict | IterableDataset | IterableDatasetDict):
        raise InputError(
            f"A {type(dataset).__name__} is no data set.",
            "Give a datasets.Dataset, or the path or name of one.",
        )


def load_split(dataset: object, split: str | None, download: bool) -> tuple[Any, str]:
    """One split, loaded, and what to call it in messages.

    Args:
        dataset: See `DatasetReader`.
        split: Which one; may be left out where there is just one.
        download: Whether the hub may be asked.

    Returns:
        A `datasets.Dataset` or `datasets.IterableDataset`, and its name.

    Raises:
        InputError: It cannot be loaded, or it has other splits, or several and none is named.
    """
    name = "dataset"
    if isinstance(dataset, str | Path):
        path = Path(dataset).expanduser()
        name = printable(str(path.resolve() if path.exists() else dataset))
        with _quiet(), nullcontext() if download else _offline():
            try:
                if path.exists() and not download:
                    _refuse_remote_files(path if path.is_dir() else path.parent)
                dataset = _load(path.resolve()) if path.exists() else _load_from_hub(str(dataset))
            except InputError:
                raise
            except Exception as error:  # builders raise whatever their files make them
                check = "" if path.exists() else "Check its name, and the network. "
                raise InputError(
                    f"'{name}' cannot be loaded as a data set: {_reason(error)}.",
                    f"{check}If it needs more options, load it with datasets.load_dataset in "
                    "Python and give what that returns.",
                ) from error
    if isinstance(dataset, dict):
        split = _only(dataset, split, name)
        return dataset[split], f"{name}:{split}"
    own = str(getattr(dataset, "split", None) or "")
    if split is not None and own and split != own:
        raise InputError(f"'{name}' is the split {own}, not {split}.", "Leave the split out.")
    return dataset, name


def _only(splits: dict[str, Any], split: str | None, name: str) -> str:
    listed = ", ".join(splits)
    if split is None and len(splits) == 1:
        return next(iter(splits))
    if split is None:
        raise InputError(f"'{name}' has the splits {listed}.", "Say which one to read (split=…).")
    if split not in splits:
        raise InputError(f"'{name}' has no split '{split}'.", f"It has {listed}.")
    return split


def _refuse_remote_files(folder: Path) -> None:
    """Check that the folder's own card names no files elsewhere; the library would fetch them."""
    import yaml
    from datasets import config
    from huggingface_hub import DatasetCard

    card, settings = folder / config.REPOCARD_FILENAME, folder / config.REPOYAML_FILENAME
    said: list[object] = []
    if card.is_file():
        said.append(DatasetCard.load(card).data.to_dict().get("configs"))
    if settings.is_file():
        said.append(yaml.safe_load(settings.read_text(encoding="utf-8")))
    while said:
        value = said.pop()
        if isinstance(value, dict):
            said += value.values()
        elif isinstance(value, list):
            said += value
        elif isinstance(value, str) and "://" in value:
            raise InputError(
                f"'{printable(str(folder))}' names files on the network: {printable(value)[:300]}.",
                "Allow it with RAR_DOWNLOAD=1 (download=True), or take that out of its "
                f"{config.REPOCARD_FILENAME}.",
            )


def _load(path: Path) -> object:
    import datasets

    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return datasets.load_from_disk(str(path))
    if path.is_dir():
        return datasets.load_dataset(str(path))
    return datasets.load_dataset(str(path.parent), data_files=glob.escape(path.name))


def _load_from_hub(name: str) -> object:
    import datasets

    return datasets.load_dataset(name)


def _reason(error: Exception) -> str:
    """The last line of what the library says went wrong."""
    from datasets.exceptions import DatasetGenerationError

    vague = isinstance(error, DatasetGenerationError)  # it says only that something did
    cause = (vague and error.__cause__) or error
    *_, last = str(cause).strip().splitlines() or [""]
    return f"{type(cause).__name__}: {printable(last.strip())}".rstrip(".: ")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries from logging each failed attempt: what they raise is told once."""
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _offline() -> Iterator[None]:
    """Have the library ask nothing of the hub, and leave the process as it was."""
    from datasets import config
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE = before
