"""LangSmith's tracing, without images."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from rar_agent.settings import Settings
from rar_agent.telemetry.redact import without_images


def trace_without_images() -> None:
    """Leave images out of all that this process sends to LangSmith from now on.

    What rar-agent itself asks models is traced without images anyway. This is for the rest of the
    process: an agent's own conversation, in which the images are attached. All that a run says is
    then gone through before it is sent.

    Call it once tracing is on. Where it is off, this does nothing: LangSmith's client asks its
    server what it can do as soon as there is one.

    Example:
        >>> trace_without_images()  # doctest: +SKIP
        >>> create_agent("openai:gpt-5-mini", tools=[recognize_image])  # doctest: +SKIP
    """
    import langsmith

    if langsmith.utils.tracing_is_enabled():
        langsmith.configure(client=langsmith.Client(anonymizer=_without))


def hide_images(settings: Settings) -> None:
    """Likewise, unless the settings ask for images, or the process has a client of its own."""
    # Importing langsmith takes a while, so its variables are looked at first.
    traced = {"LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"} & os.environ.keys()
    if traced and not settings.trace_images:
        from langsmith.run_trees import get_cached_client  # which LangChain calls too
        from langsmith.utils import tracing_is_enabled

        if tracing_is_enabled():
            get_cached_client(anonymizer=_without)


def describe_run(metadata: Mapping[str, Any]) -> None:
    """Add to the metadata of the LangSmith run around, if there is one, what it does not have.

    Args:
        metadata: Added as `rar_<name>`.
    """
    if "langsmith" not in sys.modules:  # then there is none
        return
    from langsmith import get_current_run_tree

    if run := get_current_run_tree():
        told = {f"rar_{name}": metadata[name] for name in metadata}
        run.add_metadata({**told, **run.metadata})


def _without(value: Any) -> Any:  # noqa: ANN401 - JSON
    # LangSmith's own walker, create_anonymizer, stops at a depth.
    if isinstance(value, str):
        return without_images(value)
    if isinstance(value, dict):
        return {name: _without(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without(part) for part in value]
    return value
