"""Building the graph."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from rar_agent.graph import nodes
from rar_agent.graph.context import Context
from rar_agent.graph.state import RecognizeInput, RecognizeOutput, RecognizeState

Recognize = CompiledStateGraph[RecognizeState, Context, RecognizeInput, RecognizeOutput]


class _Both(Runnable[RecognizeState, Any]):
    """Both forms of a node, for synchronous and asynchronous runs.

    A plain function would hold a thread for as long as an image waits to be encoded, or a model
    thinks. LangGraph traces the node itself; a RunnableLambda would trace it again, and look at the
    function's signature each time, which takes as long as a node.
    """

    def __init__(
        self,
        name: str,
        once: Callable[[RecognizeState], Any],
        aonce: Callable[[RecognizeState], Awaitable[Any]],
    ) -> None:
        self.name, self._once, self._aonce = name, once, aonce

    def invoke(
        self,
        input: RecognizeState,  # noqa: A002 - the base's name
        config: RunnableConfig | None = None,  # noqa: ARG002
        **_: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """See `Runnable.invoke`."""
        return self._once(input)

    async def ainvoke(
        self,
        input: RecognizeState,  # noqa: A002
        config: RunnableConfig | None = None,  # noqa: ARG002
        **_: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """See `Runnable.ainvoke`."""
        return await self._aonce(input)


def build_recognize(
    checkpointer: BaseCheckpointSaver[Any] | Literal[False] | None = None,
) -> Recognize:
    """The recognise graph, compiled.

    Args:
        checkpointer: Where states are kept; a state holds handles and plain data only. False:
            never, also where it runs within another graph that has one.
    """
    graph = StateGraph(
        RecognizeState,
        context_schema=Context,
        input_schema=RecognizeInput,
        output_schema=RecognizeOutput,
    )
    graph.add_node("admit", nodes.admit)
    graph.add_node(
        "retrieve",
        _Both("retrieve", nodes.retrieve, nodes.aretrieve),
        destinations=("rank", "conclude"),
    )
    graph.add_node("rank", _Both("rank", nodes.rank, nodes.arank), destinations=("conclude",))
    graph.add_node("conclude", nodes.conclude)
    graph.add_edge(START, "admit")
    graph.add_edge("admit", "retrieve")
    graph.set_finish_point("conclude")
    return graph.compile(checkpointer=checkpointer, name="recognize")
