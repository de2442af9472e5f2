"""The recognise graph, as LangGraph's server and Studio load it."""

from rar_agent.graph import build_recognize

graph = build_recognize()
