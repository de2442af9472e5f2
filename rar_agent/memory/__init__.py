"""The memory: categories and entries of one encoder, with what was fitted on them."""

from rar_agent.memory.learn import Report
from rar_agent.memory.location import list_memories, memory_folder
from rar_agent.memory.memory import Memory, SearchResult
from rar_agent.memory.open import open_memory, verify_memory
from rar_agent.memory.readers import read_folder, read_names
from rar_agent.memory.teach import (
    add_to_memory,
    create_memory,
    delete_memory,
    remove_from_memory,
)

__all__ = [
    "Memory",
    "Report",
    "SearchResult",
    "add_to_memory",
    "create_memory",
    "delete_memory",
    "list_memories",
    "memory_folder",
    "open_memory",
    "read_folder",
    "read_names",
    "remove_from_memory",
    "verify_memory",
]
