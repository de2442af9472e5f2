"""The prompt library over `prompts/`: templates that users edit without touching code."""

from rar_agent.prompts.library import list_prompts, load_prompt
from rar_agent.prompts.message import Message
from rar_agent.prompts.prompt import Output, Prompt

__all__ = ["Message", "Output", "Prompt", "list_prompts", "load_prompt"]
