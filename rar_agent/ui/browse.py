"""Browsing for the page: what a memory knows, page by page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rar_agent.memory import Memory
from rar_agent.types import Category, Exemplar
from rar_agent.ui import render
from rar_agent.ui.pictures import Pictures

PAGE = 24
"""Categories on a page."""
_PICTURES = 4  # of a category


@dataclass(frozen=True)
class Listing:
    """A page of what was found.

    Attributes:
        columns: Positions of its categories in the memory.
        page: Its number, from 1.
        pages: How many there are, 1 at least.
        found: Categories on all pages.
    """

    columns: tuple[int, ...]
    page: int
    pages: int
    found: int


def listing(memory: Memory, wanted: str, page: int) -> Listing:
    """Categories by name.

    Args:
        memory: Whose.
        wanted: Part of a name, an alias, a description or a parent's name; empty: all.
        page: Its number, from 1; one that is not there is the nearest that is.
    """
    folded = wanted.strip().casefold()
    categories = memory.categories
    known = np.flatnonzero(memory.entries.known).tolist()
    found = [column for column in known if not folded or folded in _text(categories[column])]
    found.sort(key=lambda column: categories[column].name.casefold())
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(1, page), pages)
    return Listing(tuple(found[(page - 1) * PAGE : page * PAGE]), page, pages, len(found))


def _text(category: Category) -> str:
    said = (category.name, *category.aliases, category.description, category.parent)
    return "\n".join(said).casefold()


def show(memory: Memory, pictures: Pictures, wanted: str, page: int) -> tuple[str, Listing]:
    """HTML of a page, and what it lists; see `listing`."""
    listed = listing(memory, wanted, page)
    cards = []
    for column in listed.columns:
        rows = memory.entries.rows_of("image", np.array([column]))[:_PICTURES].tolist()
        exemplars = [
            Exemplar(
                entry=memory.entries.id_of(row), source=memory.entries.source(row), similarity=0
            )
            for row in rows
        ]
        seen = render.shown(exemplars, pictures.of(memory, exemplars), asked=False)
        count, evidence = memory.exemplar_count(column), memory.evidence(column)
        cards.append((memory.categories[column], count, evidence, seen))
    return render.render("browse", memory=memory, listed=listed, cards=cards, size=PAGE), listed
