"""Building the detect graph."""

from __future__ import annotations

from typing import Any, Literal

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from rar_agent.graph.both import Both
from rar_agent.graph.context import Context
from rar_agent.graph.detect import asking, nodes
from rar_agent.graph.detect.conclusion import conclude
from rar_agent.graph.detect.retrieving import aretrieve, retrieve
from rar_agent.graph.detect.state import DetectInput, DetectOutput, DetectState

Detect = CompiledStateGraph[DetectState, Context, DetectInput, DetectOutput]


def build_detect(
    checkpointer: BaseCheckpointSaver[Any] | Literal[False] | None = None,
) -> Detect:
    """The detect graph, compiled: an image and its boxes in, a recognition for each box out.

    Args:
        checkpointer: Where states are kept; a state holds hashes, boxes and plain data only. False:
            never, also where it runs within another graph that has one.
    """
    graph = StateGraph(
        DetectState,
        context_schema=Context,
        input_schema=DetectInput,
        output_schema=DetectOutput,
    )
    graph.add_node("admit", nodes.admit)
    graph.add_node("retrieve", Both("retrieve", retrieve, aretrieve))
    graph.add_node("choose", nodes.choose)
    graph.add_node("rank", Both("rank", asking.rank, asking.arank), destinations=("conclude",))
    graph.add_node("conclude", conclude)
    graph.add_edge(START, "admit")
    graph.add_edge("retrieve", "choose")
    graph.set_finish_point("conclude")
    return graph.compile(checkpointer=checkpointer, name="detect")
