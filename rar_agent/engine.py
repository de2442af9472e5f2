"""Where long work is done: in this process, or by an engine that is found by its name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from rar_agent.errors import InputError

LOCAL = "local"
"""This process."""

_HOMES: Mapping[str, str] = {"ray": "rar_agent.scale.ray"}


def load_engine(name: str, **overrides: Any) -> Any:  # noqa: ANN401 - work has protocols
    """The engine of a name, with its settings; None for this process.

    An engine stands above the parts that use it: so it is found by name, not imported.

    Args:
        name: `local` or `ray`.
        **overrides: Single settings of the engine.

    Raises:
        InputError: There is none of that name.
        ConfigurationError: It is not installed.
    """
    if name == LOCAL:
        return None
    if name not in _HOMES:
        raise InputError(
            f"There is no engine '{name}'.", f"Choose {' or '.join([LOCAL, *_HOMES])}."
        )
    return import_module(_HOMES[name]).make_engine(**overrides)
