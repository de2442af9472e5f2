"""Writing documents into a draft: categories, and a text entry for each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from langchain_core.documents import Document

from rar_agent.encoders import Encoder
from rar_agent.memory.exchange.documents import category_of, document_of, record_of, rewritten
from rar_agent.memory.format.segment import NewEntry, text_content
from rar_agent.memory.memory import Memory
from rar_agent.memory.teaching.draft import Draft
from rar_agent.memory.teaching.learn import replace_texts, with_entries
from rar_agent.types import Modality


def document_at(memory: Memory, column: int) -> Document:
    """The document of the category at a position."""
    entries = memory.entries
    counts = {m: len(entries.rows_of(m, np.array([column]))) for m in entries.modalities}
    return document_of(memory.categories[column], {m: n for m, n in counts.items() if n})


def put_documents(
    draft: Draft,
    memory: Memory,
    encoder: Encoder,
    documents: Mapping[str, Document],
    known: Mapping[str, int],
) -> dict[str, int]:
    """Add documents, or replace those of ids that are known; what did not change is left alone.

    Where other categories, of a memory without texts, have none, they get theirs too, so that
    categories compare.

    Args:
        draft: Of the generation that follows `memory`.
        memory: As it is.
        encoder: The memory's.
        documents: By id.
        known: Numbers of the categories that the memory has, by document id.

    Returns:
        Numbers of the categories that were written, by document id.

    Raises:
        InputError: A document would not come back as it was.
    """
    written: dict[str, int] = {}
    changed: list[tuple[int, str]] = []
    outdated: list[int] = []
    for document_id, document in documents.items():
        number = known.get(document_id)
        if number is None:
            free = partial(_is_free, draft, None)
            number = draft.put(category_of(document, document_id, free))
            changed.append((number, document.page_content))
        else:
            column = int(memory.categories.columns(np.array([number]))[0])
            before = document_at(memory, column)
            same = document.page_content == before.page_content
            if same and document.metadata == before.metadata:
                continue
            _replace(draft, memory, column, document, document_id)
            texts = _entries_of(memory, column, "text")
            if not same or not texts:
                outdated += texts
                changed.append((number, document.page_content))
        written[document_id] = number
    draft.remove(outdated)
    if changed:
        _write_texts(draft, memory, encoder, changed)
    return written


def _replace(
    draft: Draft, memory: Memory, column: int, document: Document, document_id: str
) -> None:
    old, number = memory.categories[column], int(memory.categories.ids[column])
    # Others may know it by its name: people who taught it images, and categories below it.
    taught = _entries_of(memory, column, "image", "head")
    below = len(memory.categories.children(old.name))
    if taught or below or record_of(old) is None:
        draft.put(rewritten(old, document), number)
    else:
        free = partial(_is_free, draft, number)
        draft.put(category_of(document, document_id, free), number)


def _is_free(draft: Draft, number: int | None, name: str) -> bool:
    return draft.find(name) in (None, number)


def _entries_of(memory: Memory, column: int, *modalities: Modality) -> list[int]:
    return [
        memory.entries.id_of(int(row))
        for modality in modalities
        if modality in memory.entries.modalities
        for row in memory.entries.rows_of(modality, np.array([column]))
    ]


def _write_texts(
    draft: Draft, memory: Memory, encoder: Encoder, changed: list[tuple[int, str]]
) -> None:
    vectors = encoder.encode_texts([content for _, content in changed])
    entries = []
    for number, content in changed:
        category = draft.category(number)
        assert category is not None  # noqa: S101 - it was just put
        entries.append(NewEntry(number, text_content(content), category.name))
    draft.add_segment("text", entries, vectors)
    if not memory.has_texts:
        others = sorted(with_entries(memory) - {number for number, _ in changed})
        found = [(number, draft.category(number)) for number in others]
        replace_texts(draft, memory, encoder, [(n, c) for n, c in found if c is not None])
