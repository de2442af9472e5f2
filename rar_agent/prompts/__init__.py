"""The prompt library over `prompts/`: templates that users edit without touching code."""

from rar_agent.prompts.check import check
from rar_agent.prompts.library import (
    Found,
    find_prompt,
    find_prompts,
    is_name,
    list_prompts,
    load_prompt,
    own_folder,
    read_prompt,
)
from rar_agent.prompts.lines import Problem
from rar_agent.prompts.live import Live
from rar_agent.prompts.message import Message
from rar_agent.prompts.prompt import Output, Prompt
from rar_agent.prompts.write import write_next

__all__ = [
    "Found",
    "Live",
    "Message",
    "Output",
    "Problem",
    "Prompt",
    "check",
    "find_prompt",
    "find_prompts",
    "is_name",
    "list_prompts",
    "load_prompt",
    "own_folder",
    "read_prompt",
    "write_next",
]
