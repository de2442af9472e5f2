"""Which generation is the valid one: what CURRENT says, here and in Milvus."""

from __future__ import annotations

from pathlib import Path

from pydantic_core import from_json

from rar_agent.memory.format.generation import manifest_name
from rar_agent.memory.format.location import CURRENT
from rar_agent.memory.format.manifest import FileRef, Manifest


def said(valid: tuple[bytes, int] | None) -> bytes:
    """What CURRENT says in Milvus; empty where there is no memory."""
    return valid[0] if valid else b""


def mirrored_current(folder: Path) -> bytes:
    """What CURRENT says in a mirror; empty where there is none."""
    try:
        return (folder / CURRENT).read_bytes()
    except OSError:
        return b""


def mirrored_manifest(folder: Path) -> Manifest | None:
    """The manifest that CURRENT names in a mirror; None where there is none."""
    current = mirrored_current(folder)
    if not current:
        return None
    return Manifest.model_validate_json((folder / manifest_name(parts(current)[0])).read_bytes())


def parts(current: bytes) -> tuple[int, str]:
    """Number and sha256 of the generation that CURRENT names.

    Raises:
        ValueError: It does not say that.
    """
    said = from_json(current)
    number, digest = said["generation"], said["sha256"]
    if type(number) is not int or not 0 < number < 10**20 or not isinstance(digest, str):
        raise ValueError("it does not say a generation and a sha256")
    return number, FileRef(name=f"{digest}.json", size=0).sha256
