"""What agents are told of memories and their categories: plain data, and a few lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from rar_agent.agents.untrusted import SHORT, label, plain
from rar_agent.errors import NotFoundError, RarError
from rar_agent.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

    from rar_agent.memory import Memory

MOST_PICTURES = 4
"""Of a category's exemplars that a model is shown at once."""
_LISTED = 20  # names that a model is told


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class MemorySummary(_Told):
    """One memory."""

    name: str
    domain: str = ""
    """What kind of categories these are."""
    categories: int = 0
    """Number of categories."""
    exemplars: int = 0
    """Photos that it has learnt; 0 where it knows its categories by names or weights alone."""
    default: bool = False
    """Whether it is asked where no memory is named."""
    problem: str = ""
    """Why it cannot be used; empty where it can."""


class Memories(_Told):
    """The memories that there are."""

    memories: tuple[MemorySummary, ...]


class CategoryDetails(_Told):
    """What a memory knows of a category, or of a branch of its taxonomy."""

    memory: str
    name: str
    aliases: tuple[str, ...] = ()
    description: str = ""
    parents: tuple[str, ...] = ()
    """Branches above it, nearest first."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    exemplars: int = 0
    """Photos of it that were learnt."""
    below: tuple[str, ...] = ()
    """Names right below it, where it is a branch; the first 20."""
    below_count: int = 0
    """How many there are."""


def memories(settings: Settings) -> Memories:
    """The memories under the settings' home, and the settings' own one, which may come ready-made.

    One that cannot be opened is listed with its problem.
    """
    from rar_agent.memory import list_memories, open_memory  # torch is not needed to list tools

    def summary(name: str) -> MemorySummary:
        default = name == settings.memory
        try:
            memory = open_memory(settings.home, name)
        except RarError as error:
            return MemorySummary(name=name, default=default, problem=str(error))
        return MemorySummary(
            name=name,
            domain=memory.manifest.domain,
            categories=memory.category_count,
            exemplars=memory.image_count,
            default=default,
        )

    names = sorted({settings.memory, *list_memories(settings.home)})
    return Memories(memories=tuple(map(summary, names)))


def open_named(settings: Settings, name: str | None) -> Memory:
    """The memory that a model names; None: the settings' one.

    Raises:
        NotFoundError: There is none of that name; the hint has those that there are.
        ConfigurationError: It cannot be opened.
        DamagedDataError: It is damaged.
    """
    from rar_agent.memory import open_memory

    return open_memory(settings.home, require_memory(settings, name))


def require_memory(settings: Settings, name: str | None) -> str:
    """Check that a name is a memory's, before it becomes part of any path.

    Raises:
        NotFoundError: There is none of that name; the hint has those that there are.
    """
    from rar_agent.memory import list_memories

    known = sorted({settings.memory, *list_memories(settings.home)})
    if name is None:
        return settings.memory
    if name not in known:
        raise NotFoundError(f"There is no memory '{name[:64]}'.", f"There is: {', '.join(known)}.")
    return name


def category(memory: Memory, name: str) -> CategoryDetails:
    """What a memory knows of a category, by its name.

    Raises:
        NotFoundError: There is none of that name; the hint has the nearest names.
    """
    column = memory.categories.find(name)
    below = memory.categories.children(name)
    if column is None and not len(below):
        from rar_agent.memory.unknown import unknown

        raise unknown(memory, name[:200], branches=True, otherwise="No name is like it.")
    listed = tuple(memory.categories[int(child)].name for child in below[:_LISTED])
    found: dict[str, Any] = {"memory": memory.name, "name": name, "below": listed}
    if column is not None:
        said = memory.categories[column]
        found |= {
            "aliases": said.aliases,
            "description": said.description,
            "parents": memory.taxonomy.above(column),
            "metadata": said.metadata,
            "exemplars": memory.exemplar_count(column),
        }
    return CategoryDetails(**found, below_count=len(below))


def pictures(memory: Memory, name: str, most: int, settings: Settings) -> Iterator[Image.Image]:
    """Pictures of a category's first exemplars that there are any of.

    Args:
        memory: Opened.
        name: Of the category.
        most: Number of them.
        settings: Limits on what is read.
    """
    from rar_agent.graph.pictures import exemplar_images
    from rar_agent.images import Policy
    from rar_agent.types import Exemplar

    column = memory.categories.find(name)
    find = exemplar_images(memory, Policy.of(settings))
    for entry in memory.entries_of(column) if column is not None and most else ():
        if entry.modality != "image":
            continue
        if picture := find(Exemplar(entry=entry.id, source=entry.source, similarity=1.0)):
            yield picture
            most -= 1
            if not most:
                return


def tell_memories(found: Memories) -> str:
    """A line for each memory."""
    return "\n".join(map(_memory_line, found.memories))


def _memory_line(memory: MemorySummary) -> str:
    name = f"{memory.name} (default)" if memory.default else memory.name
    if memory.problem:
        return f"{name}: cannot be used. {plain(memory.problem)}"
    by = f"{memory.exemplars:,} photos" if memory.exemplars else "no photos"
    domain = f"{label(memory.domain, SHORT)}, " if memory.domain else ""
    return f"{name}: {domain}{memory.categories:,} categories, {by}"


def tell_category(found: CategoryDetails) -> str:
    """What is known of a category, a line for each kind of thing."""
    metadata = json.dumps(found.metadata, ensure_ascii=False, default=str)
    more = f", … ({found.below_count:,} in all)" if found.below_count > len(found.below) else ""
    said = {
        "also": ", ".join(found.aliases),
        "is": found.description,
        "in": " < ".join(found.parents),
        "has": metadata if found.metadata else "",
        "below it": f"{', '.join(found.below)}{more}",
    }
    lines = [f"{label(found.name)}, of memory {found.memory}: {found.exemplars:,} photos learnt"]
    lines += [f"{word}: {plain(value)}" for word, value in said.items() if value]
    return "\n".join(lines)
