"""What to write in place of a model's name that leads nowhere."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path

from rar_agent.errors import ConfigurationError

_SERVER = "for a local server set RAR_BASE_URL (--base-url)"
_LISTED = re.compile(r"upported (?:model )?providers(?: are)?: ([\w, -]+)")


def without_provider(name: str) -> ConfigurationError:
    """The error for a name without a colon, where there is no server to know it."""
    if Path(name).expanduser().is_dir():
        fix = f"It is a folder: write local:{name} to run it in this process."
    elif "/" in name:
        fix = (
            f"Write local:{name} to run it in this process, PROVIDER:{name} to have it run by a "
            f"provider; {_SERVER}."
        )
    else:
        fix = f"Write openai:{name} or another provider, local:FOLDER for one on disk; {_SERVER}."
    return ConfigurationError(f"Model '{name}' names no provider.", fix)


def unknown_provider(name: str, error: Exception) -> ConfigurationError | None:
    """The error for a name whose provider LangChain does not know; None where that is not why.

    Args:
        name: With a colon.
        error: That `init_chat_model` raised; it lists the providers that there are.
    """
    listed = _LISTED.search(str(error))
    if listed is None:
        return None
    provider, _, bare = name.partition(":")
    known = [*listed[1].replace(",", " ").split(), "local"]
    meant = [f"{near}:{bare}" for near in get_close_matches(provider.lower(), known, 1)]
    hint = f"Did you mean {meant[0]}? " if meant else ""
    return ConfigurationError(
        f"Model '{name}' names a provider that there is not: '{provider}'.",
        f"{hint}Write openai:NAME or another of LangChain's, local:FOLDER for one on disk; "
        f"{_SERVER}.",
    )
