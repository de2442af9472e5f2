"""The detect graph, as LangGraph's server and Studio load it."""

from rar_agent.graph.detect import build_detect

graph = build_detect()
