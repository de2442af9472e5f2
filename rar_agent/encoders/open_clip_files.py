"""Whether an open_clip model is on disk, found without loading or downloading anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rar_agent.errors import InputError

FOLDER_CONFIG = "open_clip_config.json"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def is_folder(body: str) -> bool:
    """Whether the name is that of a local checkpoint folder rather than MODEL/PRETRAINED."""
    return (Path(body).expanduser() / FOLDER_CONFIG).is_file()


def canonical(body: str) -> str:
    """The name with its paths made absolute, so that it means the same from anywhere.

    Raises:
        InputError: It is neither a folder nor MODEL/PRETRAINED.
    """
    if is_folder(body):
        return str(Path(body).expanduser().resolve())
    model, pretrained = split_pair(body)
    file = Path(pretrained).expanduser()
    return f"{model}/{file.resolve() if file.is_file() else pretrained}"


def split_pair(body: str) -> tuple[str, str]:
    """MODEL/PRETRAINED → both; PRETRAINED may itself be a path.

    Raises:
        InputError: The folder has no config, or it is no pair.
    """
    model, slash, pretrained = body.partition("/")
    if Path(body).expanduser().is_dir():
        raise InputError(
            f"Folder '{body}' has no {FOLDER_CONFIG}.",
            "Put the weights, that config and the tokenizer's files there, as "
            "open_clip.push_to_hf_hub writes them.",
        )
    if not model or not slash or not pretrained:
        raise InputError(
            f"'open_clip:{body}' is neither a folder nor MODEL/PRETRAINED.",
            "For example open_clip:ViT-B-16-SigLIP/webli.",
        )
    return model, pretrained


def missing_files(body: str) -> list[str]:
    """What MODEL/PRETRAINED would have to download; empty if all is on disk.

    Raises:
        InputError: open_clip knows no such pair.
    """
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    if is_folder(body):
        return []
    model, pretrained = split_pair(body)
    config = open_clip.get_model_config(model)
    if config is None:
        raise InputError(
            f"open_clip has no model '{model}'.", "See open_clip.list_models() for the names."
        )
    missing: list[str] = []
    if not Path(pretrained).expanduser().is_file():
        weights = get_pretrained_cfg(model, pretrained)
        if not weights:
            tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
            raise InputError(
                f"open_clip has no weights '{pretrained}' for '{model}', nor is it a file.",
                f"Known: {tags}.",
            )
        missing += _missing_weights(weights)
    tokenizer = config.get("text_cfg", {}).get("hf_tokenizer_name", "")
    if tokenizer and not all(_cached(tokenizer, file) for file in _TOKENIZER_FILES):
        missing.append(f"tokenizer {tokenizer}")
    return missing


@contextmanager
def hub_offline() -> Iterator[None]:
    """Keep the hub's client to its cache: it would else ask for newer files at every load."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _missing_weights(weights: dict[str, str]) -> list[str]:
    hub = weights.get("hf_hub", "")
    if not hub:
        file = Path("~/.cache/clip").expanduser() / Path(weights["url"]).name
        return [] if file.is_file() else [weights["url"]]
    repository, _, file_name = hub.rpartition("/")
    names = (
        [file_name] if file_name else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    )
    if file_name.endswith((".bin", ".pth")):
        names.append(file_name[:-4] + ".safetensors")
    return [] if any(_cached(repository, name) for name in names) else [f"weights {repository}"]


def _cached(repository: str, file: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repository, file), str)
