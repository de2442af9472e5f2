"""An agent that answers people and asks a field guide, as LangGraph's server and Studio load it.

It proposes to teach, and waits for a person's approval before it does.
"""

from rar_agent.agents import build_agent

graph = build_agent(teach=True)
