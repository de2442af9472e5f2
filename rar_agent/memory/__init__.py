"""The memory: categories and entries of one encoder, with what was fitted on them."""

from rar_agent.memory.format.location import list_memories, memory_folder
from rar_agent.memory.format.manifest import PriorRecord
from rar_agent.memory.memory import Memory
from rar_agent.memory.open import open_memory, verify_memory
from rar_agent.memory.readers import (
    AnnotationsReader,
    DatasetReader,
    FolderReader,
    NamesReader,
    SampleReader,
    ShardReader,
    TableReader,
    chain,
    draw,
    names_reader,
    read_categories,
    read_folder,
    read_names,
)
from rar_agent.memory.search import SearchResult
from rar_agent.memory.taxonomy import Filter
from rar_agent.memory.teaching.compact import compact_memory
from rar_agent.memory.teaching.estimate import Estimate, estimate_build
from rar_agent.memory.teaching.forget import remove_from_memory
from rar_agent.memory.teaching.learn import Report
from rar_agent.memory.teaching.regroup import merge_categories, move_entries
from rar_agent.memory.teaching.teach import (
    add_to_memory,
    create_memory,
    delete_memory,
    fit_memory_again,
    require_new,
)
from rar_agent.memory.teaching.update import rename_category, update_category

__all__ = [
    "AnnotationsReader",
    "DatasetReader",
    "Estimate",
    "Filter",
    "FolderReader",
    "Memory",
    "NamesReader",
    "PriorRecord",
    "Report",
    "SampleReader",
    "SearchResult",
    "ShardReader",
    "TableReader",
    "add_to_memory",
    "chain",
    "compact_memory",
    "create_memory",
    "delete_memory",
    "draw",
    "estimate_build",
    "fit_memory_again",
    "list_memories",
    "memory_folder",
    "merge_categories",
    "move_entries",
    "names_reader",
    "open_memory",
    "read_categories",
    "read_folder",
    "read_names",
    "remove_from_memory",
    "rename_category",
    "require_new",
    "update_category",
    "verify_memory",
]
