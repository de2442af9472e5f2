"""Where memories live: RAR_HOME/memories/NAME."""

from __future__ import annotations

import re
from pathlib import Path

from rar_agent.errors import InputError

CURRENT = "CURRENT"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def memory_folder(home: Path, name: str) -> Path:
    """Folder of a memory, whether it exists or not.

    Raises:
        InputError: The name could leave the folder, or is not portable.
    """
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
    return f"Restore {folder} from a copy, or begin anew: rar-agent memory delete {folder.name}"
