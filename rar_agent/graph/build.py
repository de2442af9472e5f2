"""Building the graph."""

from __future__ import annotations

from typing import Any, Literal

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from rar_agent.graph import nodes
from rar_agent.graph.both import Both
from rar_agent.graph.context import Context
from rar_agent.graph.state import RecognizeInput, RecognizeOutput, RecognizeState

Recognize = CompiledStateGraph[RecognizeState, Context, RecognizeInput, RecognizeOutput]


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
    graph.add_node("admit", Both("admit", nodes.admit, nodes.aadmit))
    graph.add_node(
        "retrieve",
        Both("retrieve", nodes.retrieve, nodes.aretrieve),
        destinations=("rank", "conclude"),
    )
    graph.add_node("rank", Both("rank", nodes.rank, nodes.arank), destinations=("conclude",))
    graph.add_node("conclude", nodes.conclude)
    graph.add_edge(START, "admit")
    graph.add_edge("admit", "retrieve")
    graph.set_finish_point("conclude")
    return graph.compile(checkpointer=checkpointer, name="recognize")
