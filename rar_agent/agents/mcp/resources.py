"""Memories as resources: all of them, one of them, and its categories page by page."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from mcp.shared.exceptions import McpError
from mcp.types import (
    ErrorData,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)
from pydantic import AnyUrl, BaseModel

from rar_agent.agents import knowledge
from rar_agent.agents.mcp.tools import Tools
from rar_agent.agents.untrusted import bounded
from rar_agent.errors import NotFoundError, RarError

if TYPE_CHECKING:
    from rar_agent.memory import Memory

ALL = "rar://memories"
PAGE = 200
"""Categories of a page."""

_NOT_FOUND = -32002
_MIME = "application/json"
_URI = re.compile(r"rar://memories(?:/([^/]+)(?:/categories/(\d{1,9}))?)?/?")


class MemoryDetails(BaseModel):
    """What a memory knows, and how it scores."""

    name: str
    domain: str
    categories: int
    exemplars: int
    generation: int
    """Number of the version that answers."""
    encoder: str
    method: str
    """How categories are scored."""
    probability_means: str
    """One sentence."""
    first: str
    """URI of the first page of its categories."""


class CategoryLine(BaseModel):
    """A category in a list."""

    name: str
    parent: str = ""
    exemplars: int
    """Photos of it that were learnt."""


class Page(BaseModel):
    """Some of a memory's categories."""

    memory: str
    page: int
    pages: int
    next: str | None
    """URI of the next page; None on the last."""
    categories: list[CategoryLine]


def templates() -> list[ResourceTemplate]:
    """Resources that have a name or a number in their URI."""
    return [
        ResourceTemplate(
            uriTemplate=f"{ALL}/{{name}}",
            name="memory",
            description="What a memory knows and how it scores.",
            mimeType=_MIME,
        ),
        ResourceTemplate(
            uriTemplate=f"{ALL}/{{name}}/categories/{{page}}",
            name="categories",
            description=f"Categories of a memory, {PAGE} a page; the first page is 1.",
            mimeType=_MIME,
        ),
    ]


async def listed(tools: Tools) -> list[Resource]:
    """The list of memories, and each of them."""
    found = await asyncio.to_thread(tools.memories)
    every = Resource(uri=AnyUrl(ALL), name="memories", description="All memories.", mimeType=_MIME)
    return [
        every,
        *(
            Resource(
                uri=AnyUrl(f"{ALL}/{_part(one.name)}"),
                name=one.name,
                description=knowledge.tell_memories(knowledge.Memories(memories=(one,))),
                mimeType=_MIME,
            )
            for one in found.memories
            if not one.problem
        ),
    ]


async def read(uri: AnyUrl, tools: Tools) -> ReadResourceResult:
    """The content of a resource, as JSON.

    Raises:
        McpError: There is none of that URI.
    """
    parts = _URI.fullmatch(str(uri))
    if parts is None:
        raise McpError(ErrorData(code=_NOT_FOUND, message=f"There is no {uri}. See {ALL}."))
    try:
        found = await asyncio.to_thread(_read, parts[1], parts[2], tools)
    except RarError as error:
        raise McpError(ErrorData(code=_NOT_FOUND, message=str(error))) from error
    told = json.dumps(bounded(found.model_dump(mode="json")), ensure_ascii=False)
    text = TextResourceContents(uri=uri, text=told, mimeType=_MIME)
    return ReadResourceResult(contents=[text])


def _read(name: str | None, page: str | None, tools: Tools) -> BaseModel:
    if name is None:
        return tools.memories()
    memory = tools.recognizers.of(unquote(name)).memory
    return _page(memory, int(page)) if page else _details(memory)


def _part(name: str) -> str:
    """A memory's name, which may be an address, as a part of a URI."""
    return quote(name, safe="")


def _details(memory: Memory) -> MemoryDetails:
    manifest = memory.manifest
    return MemoryDetails(
        name=memory.name,
        domain=manifest.domain,
        categories=memory.category_count,
        exemplars=memory.image_count,
        generation=manifest.generation,
        encoder=manifest.encoder.name,
        method=memory.describe_method(),
        probability_means=memory.probability_means(),
        first=f"{ALL}/{_part(memory.name)}/categories/1",
    )


def _page(memory: Memory, number: int) -> Page:
    columns = memory.entries.known.nonzero()[0]
    pages = max(1, -(-len(columns) // PAGE))
    if not 1 <= number <= pages:
        raise NotFoundError(f"There is no page {number}.", f"There are {pages}, from 1 on.")
    lines = [
        CategoryLine(
            name=memory.categories[column].name,
            parent=memory.categories[column].parent,
            exemplars=memory.exemplar_count(column),
        )
        for column in columns[(number - 1) * PAGE : number * PAGE].tolist()
    ]
    more = f"{ALL}/{_part(memory.name)}/categories/{number + 1}" if number < pages else None
    return Page(memory=memory.name, page=number, pages=pages, next=more, categories=lines)
