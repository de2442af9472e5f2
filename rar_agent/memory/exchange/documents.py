"""Categories as LangChain documents, and documents as categories.

A document becomes a category that is known by its text. Its content is the category's name where a
name can be that (one line of up to 200 characters that no other category has), otherwise the
description, beside a name that is cut from it. Its metadata are the category's, with `RECORD`
besides: the id, and which of the two the content is.

Any other category is a document, too: see `document_of`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.documents import Document

from rar_agent.errors import InputError
from rar_agent.types import Category

RECORD = "rar_agent.document"
"""The reserved metadata key: {"id": …, "content": "name" or "description"}."""

_LONGEST_NAME = 200
_CUT = 120  # characters of the content in a name that cannot be all of it


def record_of(category: Category) -> Mapping[str, Any] | None:
    """What is kept of the document that a category was made from; None for other categories."""
    record = category.metadata.get(RECORD)
    if isinstance(record, Mapping) and isinstance(record.get("id"), str):
        return record
    return None


def id_of(category: Category) -> str:
    """Id of a category's document: the one it was given, or the category's name."""
    record = record_of(category)
    return str(record["id"]) if record else category.name


def document_of(category: Category, entries: Mapping[str, int]) -> Document:
    """A category as a document.

    Args:
        category: One that was made from a document gives it back exactly. Of any other, the
            content is the name, followed by the description where there is one; the metadata are
            `aliases`, `parent`, `metadata` and `entries`; the id is the name.
        entries: Number of its entries by modality.
    """
    record = record_of(category)
    if record is not None:
        content = category.description if record.get("content") != "name" else category.name
        metadata = {key: value for key, value in category.metadata.items() if key != RECORD}
        return Document(page_content=content, metadata=metadata, id=str(record["id"]))
    content = category.name
    if category.description:
        content = f"{category.name}: {category.description}"
    return Document(
        page_content=content,
        metadata={
            "aliases": list(category.aliases),
            "parent": category.parent,
            "metadata": dict(category.metadata),
            "entries": dict(entries),
        },
        id=category.name,
    )


def category_of(document: Document, document_id: str, is_free: Callable[[str], bool]) -> Category:
    """A new category that gives a document back exactly.

    Args:
        document: Its own id is not looked at.
        document_id: The id that it gets.
        is_free: Whether no other category has a name.

    Raises:
        InputError: The document would not come back as it was; see `stored`.
    """
    content = document.page_content
    metadata = stored(document, document_id)
    line = " ".join(content.split())
    if content and content == line and len(content) <= _LONGEST_NAME and is_free(content):
        record = {"id": document_id, "content": "name"}
        return Category(name=content, metadata={**metadata, RECORD: record})
    return Category(
        name=_name(line, document_id, is_free),
        description=content,
        metadata={**metadata, RECORD: {"id": document_id, "content": "description"}},
    )


def rewritten(category: Category, document: Document) -> Category:
    """A category whose name has to stay, with another document's content and metadata.

    Its aliases and its place in the taxonomy stay too.

    Raises:
        InputError: The document would not come back as it was; see `stored`.
    """
    document_id, content = id_of(category), document.page_content
    is_name = content == category.name
    record = {"id": document_id, "content": "name" if is_name else "description"}
    return category.model_copy(
        update={
            "description": "" if is_name else content,
            "metadata": {**stored(document, document_id), RECORD: record},
        }
    )


def stored(document: Document, document_id: str) -> dict[str, Any]:
    """A document's metadata, after checking that all of it comes back as it was.

    Raises:
        InputError: The metadata are no plain JSON or have the key `RECORD`, or a text is no valid
            Unicode.
    """
    if RECORD in document.metadata:
        raise InputError(
            f"The metadata of document '{document_id}' have the key '{RECORD}', which is reserved.",
            "Leave it out.",
        )
    try:
        text = json.dumps(document.metadata, ensure_ascii=False, allow_nan=False)
        kept: dict[str, Any] = json.loads(text)
        (text + document.page_content + document_id).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise _not_plain(document_id, error) from error
    if kept != document.metadata:  # such as tuples, or numbers as keys
        raise _not_plain(document_id, "they come back as other values")
    return kept


def _not_plain(document_id: str, reason: object) -> InputError:
    return InputError(
        f"Document '{document_id[:60]!a}' cannot be stored as it is: {reason}.",
        "Give texts of valid Unicode, and metadata of texts, finite numbers, booleans, None, "
        "lists and dictionaries with texts as keys.",
    )


def _name(line: str, document_id: str, is_free: Callable[[str], bool]) -> str:
    """A name that begins like the content; the id tells it from others that begin so."""
    short = line if len(line) <= _LONGEST_NAME else f"{line[:_CUT].rstrip()}…"
    if short and is_free(short):
        return short
    digest = hashlib.sha256(document_id.encode()).hexdigest()
    for size in (8, 64):
        name = f"{line[:_CUT].rstrip()} ({digest[:size]})".strip()
        if is_free(name):
            return name
    raise InputError(
        f"The names that document '{document_id[:60]}' could have are all taken.",
        "Give it another id.",
    )
