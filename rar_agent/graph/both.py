"""A node that runs in a thread, or on an event loop, as the graph does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig


class Both(Runnable[Any, Any]):
    """Both forms of a node, for synchronous and asynchronous runs.

    A plain function would hold a thread for as long as an image waits to be encoded, or a model
    thinks. LangGraph traces the node itself; a RunnableLambda would trace it again, and look at the
    function's signature each time, which takes as long as a node.

    Args:
        name: Of the node.
        once: From the state to its update.
        aonce: Likewise, on an event loop.
    """

    def __init__(
        self, name: str, once: Callable[[Any], Any], aonce: Callable[[Any], Awaitable[Any]]
    ) -> None:
        self.name, self._once, self._aonce = name, once, aonce

    def invoke(
        self,
        input: Any,  # noqa: A002, ANN401 - the base's name
        config: RunnableConfig | None = None,  # noqa: ARG002
        **_: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """See `Runnable.invoke`."""
        return self._once(input)

    async def ainvoke(
        self,
        input: Any,  # noqa: A002, ANN401
        config: RunnableConfig | None = None,  # noqa: ARG002
        **_: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """See `Runnable.ainvoke`."""
        return await self._aonce(input)
