"""Where memories live: RAR_HOME/memories/NAME, or elsewhere, with a mirror in RAR_HOME/mirrors."""

from __future__ import annotations

import re
from pathlib import Path

from rar_agent.errors import InputError
from rar_agent.memory.format.origin import is_address, mirror_folder, origin_of

CURRENT = "CURRENT"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def memory_folder(home: Path, name: str) -> Path:
    """Folder of a memory, or of the mirror of one that an address names, there or not.

    Raises:
        InputError: The name could leave the folder, or is not portable; or it is no address.
        ConfigurationError: Nothing here speaks to the place that an address names.
    """
    if is_address(name):
        return mirror_folder(home, name)
    if not _NAME.fullmatch(name):
        raise InputError(
            f"'{name}' cannot name a memory.",
            "Use up to 64 letters, digits, dots, dashes and underscores, starting with a letter "
            "or digit.",
        )
    return home.expanduser() / "memories" / name


def list_memories(home: Path) -> list[str]:
    """Names of the memories that exist, sorted."""
    folder = home.expanduser() / "memories"
    return sorted(f.parent.name for f in folder.glob(f"*/{CURRENT}")) if folder.is_dir() else []


def advice(folder: Path) -> str:
    """What to do about damage."""
    if origin := origin_of(folder):
        return (
            f"Delete {folder}, which is a copy of what {origin.address} has, and try again; if "
            "that does not help, restore the collections from a backup."
        )
    return f"Restore {folder} from a copy, or begin anew: rar-agent memory delete {folder.name}"
