"""Changing what a memory knows: update, rename, merge, move, remove."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from rar_agent.encoders import Encoder
from rar_agent.errors import InputError, NotFoundError
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.format.segment import NewEntry
from rar_agent.memory.memory import Memory
from rar_agent.memory.taxonomy import alike, refuse_cycle
from rar_agent.memory.teaching.draft import Draft, Fitting
from rar_agent.memory.teaching.learn import replace_texts, text_contents, with_entries
from rar_agent.memory.teaching.teach import changing, require_encoder
from rar_agent.memory.teaching.texts import content_of
from rar_agent.types import Category

LoadEncoder = Callable[[], Encoder]
"""Loads the memory's encoder, which is needed only where texts have to be encoded again."""

_NO_ROWS = np.empty(0, np.int64)


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
            raise _no_category(memory, category, branches=memory.taxonomy.branches())
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
            _rewrite_text(draft, memory, number, new, load)
        return draft.commit("ready")


def rename_category(home: Path, name: str, category: str, to: str, load: LoadEncoder) -> Memory:
    """Give a category another name; its entries and the categories below it follow.

    Raises:
        NotFoundError: There is no such memory or category.
        InputError: The new name is taken or not valid.
    """
    return update_category(home, name, category, load, rename=to)


def merge_categories(
    home: Path,
    name: str,
    merged: Sequence[str],
    into: str,
    load: LoadEncoder,
    fitting: Fitting = "auto",
) -> Memory:
    """Make one category of several: it keeps all exemplars, and the others' names as aliases.

    The categories below the others follow. The same image in several of them is kept once. The one
    that stays may be named among them, and may be a mere branch.

    Raises:
        NotFoundError: The memory or a category is not there; nothing is changed.
        InputError: No other category is named than the one that stays.
    """
    with changing(memory_folder(home, name)) as memory:
        draft = Draft.after(memory)
        others = [other for other in dict.fromkeys(merged) if other != into]
        numbers = [_number(draft, memory, other) for other in others]
        if (target := draft.find(into)) is None and _is_branch(memory, into):
            target = draft.put(Category(name=into))
        if target is None:
            raise _no_category(memory, into, others[0] if others else "")
        if not others:
            raise InputError(f"'{into}' cannot be merged into itself.", "Name others too.")
        group = [_category(draft, number) for number in (target, *numbers)]
        kept = group[0]
        inside = {category.name for category in group}
        above = (category.parent for category in group if category.parent not in inside)
        for gone in group[1:]:
            names = [n for n in (gone.name, *gone.aliases) if n not in (kept.name, *kept.aliases)]
            kept = kept.model_copy(
                update={
                    "aliases": (*kept.aliases, *names),
                    "description": kept.description or gone.description,
                    "metadata": {**gone.metadata, **kept.metadata},
                }
            )
        kept = kept.model_copy(update={"parent": next(filter(None, above), "")})
        for number, gone in zip(numbers, group[1:], strict=True):
            for child in memory.categories.children(gone.name):
                below = int(memory.categories.ids[child])
                if below not in (target, *numbers):
                    draft.put(_category(draft, below).model_copy(update={"parent": into}), below)
            draft.forget(number)
        draft.put(kept, target)
        refuse_cycle(kept, draft)
        columns = memory.categories.columns(np.array(numbers))
        _move(draft, memory, memory.entries.rows_of("image", columns), target)
        texts = memory.entries.rows_of("text", columns)
        draft.remove(memory.entries.id_of(int(row)) for row in texts)
        _rewrite_text(draft, memory, target, kept, load, wanted=len(texts) > 0)
        return draft.commit("ready", fitting)


def move_entries(
    home: Path,
    name: str,
    entries: Sequence[int],
    to: str,
    load: LoadEncoder,
    fitting: Fitting = "auto",
) -> Memory:
    """Give exemplars to another category, as after a wrong label; a category left empty goes.

    One of which the category has the same image already is only removed. A branch that becomes a
    category by them gets a text, where the memory has texts.

    Raises:
        NotFoundError: The memory, an entry or the category is not there; nothing is changed.
        InputError: An entry is no exemplar.
    """
    with changing(memory_folder(home, name)) as memory:
        draft = Draft.after(memory)
        target = _number(draft, memory, to)
        rows = _rows(memory, entries)
        modalities = memory.entries.fields(rows)["modality"]
        if (modalities != 0).any():
            entry = entries[int(np.flatnonzero(modalities)[0])]
            raise InputError(f"Entry {entry} is a text, no exemplar.", "Move exemplars only.")
        left = np.unique(memory.entries.columns[rows])
        _move(draft, memory, rows, target)
        left = left[memory.categories.ids[left] != target]
        _drop_empty(draft, memory, left)
        if len(left) and target not in with_entries(memory):
            kept = _category(draft, target)
            _rewrite_text(draft, memory, target, kept, load, wanted=memory.has_texts)
        return draft.commit("ready", fitting)


def remove_from_memory(
    home: Path,
    name: str,
    categories: Sequence[str] = (),
    entries: Sequence[int] = (),
    fitting: Fitting = "auto",
) -> Memory:
    """Forget whole categories, or single entries; a category without entries goes too.

    One that others are below stays as a branch, with the parent it had and nothing else, so that
    they stay where they are in the tree; it goes when it is removed with or after them. Where it
    had no parent their own records name it, and nothing of it has to stay.

    Raises:
        NotFoundError: The memory, a category or an entry is not there; nothing is changed.
        InputError: It is a ready memory, or a branch is named of which nothing is known but what
            is below it.
        BusyError: Somebody else is writing to it.
    """
    with changing(memory_folder(home, name)) as memory:
        draft = Draft.after(memory)
        on_record = [
            c for c in categories if not _is_branch(memory, c) or draft.find(c) is not None
        ]
        numbers = [_number(draft, memory, category) for category in on_record]
        forget_categories(draft, memory, numbers, _rows(memory, entries))
        for category in categories:
            if _is_branch(memory, category):
                _require_nothing_below(draft, memory, category)
        return draft.commit("ready", fitting)


def forget_categories(
    draft: Draft, memory: Memory, numbers: Sequence[int], rows: NDArray[np.int64] = _NO_ROWS
) -> None:
    """Forget categories with all their entries; those that others are below stay as branches.

    Args:
        draft: Of the generation that follows `memory`.
        memory: As it is.
        numbers: Ids of categories that it has.
        rows: Of single entries to forget, which may leave other categories empty.
    """
    gone = memory.categories.columns(np.array(numbers, np.int64))
    for modality in memory.entries.modalities:
        rows = np.union1d(rows, memory.entries.rows_of(modality, gone)).astype(np.int64)
    draft.remove(memory.entries.id_of(int(row)) for row in rows)
    for number in numbers:
        draft.put(_place_of(_category(draft, number)), number)
    _drop_empty(draft, memory, np.union1d(gone, memory.entries.columns[rows]))


def _place_of(category: Category) -> Category:
    """What is left of a category that is only a branch."""
    return Category(name=category.name, parent=category.parent)


def _is_branch(memory: Memory, name: str) -> bool:
    """Whether a name is one that others are below, and nothing else is known of it."""
    column = memory.categories.find(name)
    if column is not None:
        category = memory.categories[column]
        if memory.entries.known[column] or category != _place_of(category):
            return False
    return len(memory.categories.children(name)) > 0


def _require_nothing_below(draft: Draft, memory: Memory, branch: str) -> None:
    below = memory.categories.ids[memory.categories.children(branch)]
    if left := [c.name for number in below.tolist() if (c := draft.category(number))]:
        raise InputError(
            f"'{branch}' is a branch with {len(left)} right below it: {', '.join(left[:3])}"
            f"{', …' if len(left) > 3 else ''}. There is nothing else to forget.",
            "Remove these too, or give them another parent: "
            f"{shlex.join(['rar-agent', 'memory', 'update', memory.name, left[0]])} --parent P",
        )


def _drop_empty(draft: Draft, memory: Memory, columns: np.ndarray) -> None:
    """Forget those categories that have no entry left, unless they say where others belong."""
    entries = memory.entries
    left = np.zeros(len(memory.categories), bool)
    for modality in entries.modalities:
        rows = entries.rows_of(modality, columns)
        kept = rows[~np.isin(entries.fields(rows)["id"], draft.removed)]
        left[entries.columns[kept]] = True
    empty = {}  # numbers, and what was below each
    for column in columns[~left[columns]]:
        number = int(memory.categories.ids[column])
        if (category := draft.category(number)) is not None:
            below = memory.categories.children(category.name)
            empty[number] = memory.categories.ids[below].tolist()
            if draft.category(number) == Category(name=category.name):
                empty[number] = []  # those below it say as much
    while gone := [n for n, below in empty.items() if not any(map(draft.category, below))]:
        for number in gone:  # one that goes may have been all that was below another
            draft.forget(number)
            del empty[number]


def _move(draft: Draft, memory: Memory, rows: np.ndarray, target: int) -> None:
    """Write exemplars again under another category, each image once; nothing is encoded."""
    column = memory.categories.columns(np.array([target]))
    own = memory.entries.rows_of("image", column)
    rows = rows[memory.entries.columns[rows] != column[0]]
    draft.remove(memory.entries.id_of(int(row)) for row in rows)
    known = {bytes(content) for content in memory.entries.fields(own)["content"]}
    new: dict[bytes, int] = {}
    for row, content in zip(rows, memory.entries.fields(rows)["content"], strict=True):
        if bytes(content) not in known:
            new.setdefault(bytes(content), int(row))
    moved = [
        NewEntry(
            target,
            content.hex(),
            memory.entries.source(row),
            thumbnail=memory.entries.thumbnail(row),
        )
        for content, row in new.items()
    ]
    draft.add_segment("image", moved, memory.entries.vectors(np.array([*new.values()], np.int64)))


def _rewrite_text(
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
    except (TypeError, ValueError) as error:
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


def _rows(memory: Memory, entries: Sequence[int]) -> np.ndarray:
    rows = [(entry, memory.entries.row_of(entry)) for entry in dict.fromkeys(entries)]
    for entry, row in rows:
        if row is None:
            raise NotFoundError(
                f"Memory '{memory.name}' has no entry {entry}.",
                f"See rar-agent memory show {memory.name} --category CATEGORY",
            )
    return np.array([row for _, row in rows], np.int64)


def _category(draft: Draft, number: int) -> Category:
    category = draft.category(number)
    assert category is not None  # noqa: S101 - its number was found
    return category


def _number(draft: Draft, memory: Memory, category: str) -> int:
    number = draft.find(category)
    if number is None:
        raise _no_category(memory, category)
    return number


def _no_category(
    memory: Memory, category: str, merged: str = "", branches: Sequence[str] = ()
) -> NotFoundError:
    """The error for a name; `merged` is what was to become part of it, `branches` would do too."""
    meant = alike(category, [*(other.name for other in memory.categories), *branches])
    hints = [f"Did you mean {', '.join(meant)}?"] if meant else []
    if merged:
        rename = shlex.join(["rar-agent", "memory", "rename", memory.name, merged, category])
        hints.append(f"To make it, rename one of them first: {rename}")
    return NotFoundError(
        f"Memory '{memory.name}' has no category '{category}'.",
        " ".join(hints) or f"See rar-agent memory show {memory.name}",
    )
