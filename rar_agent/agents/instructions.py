"""What an agent is told at the start: a prompt of output `instructions`."""

from __future__ import annotations

from rar_agent.agents.untrusted import SHORT, label, plain
from rar_agent.errors import ConfigurationError
from rar_agent.memory import Memory
from rar_agent.prompts import Prompt


def instructions(prompt: Prompt, memory: Memory) -> str:
    """A system prompt for an agent that asks a memory.

    Raises:
        ConfigurationError: The prompt asks for something else.
    """
    if prompt.output != "instructions":
        raise ConfigurationError(
            f"Prompt {prompt.reference} asks for a {prompt.output}, and instructs no agent.",
            "Name one that does: rar-agent prompts list.",
        )
    domain = label(plain(memory.manifest.domain) or "categories", SHORT)
    values = {"domain": domain, "count": f"{len(memory.categories):,}"}
    [message] = prompt.render(values)
    return "".join(str(part) for part in message.parts)
