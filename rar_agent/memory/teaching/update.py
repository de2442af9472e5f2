"""Changing what is said of a category: update, rename."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rar_agent.encoders import Encoder
from rar_agent.errors import InputError
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.memory import Memory
from rar_agent.memory.taxonomy import refuse_cycle
from rar_agent.memory.teaching.draft import Draft
from rar_agent.memory.teaching.learn import replace_texts, text_contents
from rar_agent.memory.teaching.teach import changing, require_encoder
from rar_agent.memory.teaching.texts import content_of
from rar_agent.memory.unknown import unknown
from rar_agent.types import Category

LoadEncoder = Callable[[], Encoder]
"""Loads the memory's encoder, which is needed only where texts have to be encoded again."""


def update_category(
    home: Path,
    name: str,
    category: str,
    load: LoadEncoder,
    *,
    aliases: Sequence[str] | None = None,
    description: str | None = None,
    parent: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    rename: str | None = None,
) -> Memory:
    """Change a category's details; what is None stays as it is.

    Args:
        home: Where memories live.
        name: The memory.
        category: Which one; the name of a branch (a parent) may be given too, and gets a record
            where more is said of it than its name.
        load: Called where its texts change and the memory has texts.
        aliases: Other names, in place of the old ones.
        description: One sentence that tells it from its neighbours.
        parent: Name of the category above it; empty for none.
        metadata: Keys to set; those with the value None are removed.
        rename: Its new name; the categories below it follow.

    Raises:
        NotFoundError: There is no such memory or category.
        InputError: The new name is a category's or a branch's, or a category would be above itself.
    """
    with changing(memory_folder(home, name)) as memory:
        draft = Draft.after(memory)
        number = draft.find(category)
        below = memory.categories.children(category)
        if not category or (number is None and not len(below)):
            raise unknown(memory, category, branches=True)
        old = draft.category(number) if number is not None else Category(name=category)
        assert old is not None  # noqa: S101 - found
        changes: dict[str, Any] = {
            "aliases": None if aliases is None else tuple(aliases),
            "description": description,
            "parent": parent,
            "name": rename,
        }
        if metadata is not None:
            merged = {**old.metadata, **metadata}
            changes["metadata"] = {k: v for k, v in merged.items() if v is not None}
        new = _changed(old, {k: v for k, v in changes.items() if v is not None})
        if new.name != old.name and draft.find(new.name) is not None:
            raise InputError(
                f"Memory '{name}' has a category '{new.name}' already.",
                f"To make one of both: rar-agent memory merge {name} '{old.name}' "
                f"--into '{new.name}'",
            )
        if new.name != old.name and len(memory.categories.children(new.name)):
            raise InputError(
                f"Memory '{name}' has a branch '{new.name}' already.",
                "Choose another name, or rename that branch first.",
            )
        if number is not None or new != Category(name=new.name):
            number = draft.put(new, number)
        if new.name != old.name:
            for column in below:
                child = memory.categories[int(column)]
                draft.put(
                    child.model_copy(update={"parent": new.name}),
                    int(memory.categories.ids[column]),
                )
        refuse_cycle(new, draft)
        if number is not None:
            rewrite_text(draft, memory, number, new, load)
        return draft.commit("ready")


def rename_category(home: Path, name: str, category: str, to: str, load: LoadEncoder) -> Memory:
    """Give a category another name; its entries and the categories below it follow.

    Raises:
        NotFoundError: There is no such memory or category.
        InputError: The new name is taken or not valid.
    """
    return update_category(home, name, category, load, rename=to)


def rewrite_text(
    draft: Draft,
    memory: Memory,
    number: int,
    new: Category,
    load: LoadEncoder,
    wanted: bool = False,
) -> None:
    """Encode a category's texts again, if it has a text entry (or one is wanted) that changed."""
    had = text_contents(memory, [number]).get(number)
    if (had or wanted) and had != content_of(new, draft.encoder.templates):
        encoder = load()
        require_encoder(memory, encoder)
        replace_texts(draft, memory, encoder, [(number, new)])


def _changed(old: Category, changes: Mapping[str, Any]) -> Category:
    try:
        json.dumps(changes.get("metadata", {}), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"The metadata are no JSON: {error}.", "Give plain values.") from error
    try:
        return Category.model_validate({**old.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"'{first['input']!s:.80}' cannot be the {first['loc'][0]} of a category: "
            f"{first['msg'].lower()}.",
            "Give another one.",
        ) from error
