"""Naming categories, and putting together what several rows say of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from rar_agent.errors import InputError
from rar_agent.images.policy import printable
from rar_agent.types import Category


def named(name: str, where: str, **details: Any) -> Category:  # noqa: ANN401 - Category's fields
    """A category of that name, stripped.

    Args:
        name: As it was read.
        where: In what, for the message.
        **details: Other fields of `Category`.

    Raises:
        InputError: It cannot name a category: empty, or too long.
    """
    name = printable(name).strip()
    try:
        return Category(name=name, **details)
    except ValidationError as error:
        raise InputError(
            f"'{name[:60]}' in {printable(where)} cannot name a category: "
            f"{error.errors()[0]['msg'].lower()}.",
            "Rename it.",
        ) from error


def refuse_repeats(names: Iterable[str], where: str, lines: Sequence[int] = ()) -> None:
    """Check that no name stands twice.

    Args:
        names: In their order.
        where: In what, for the message.
        lines: The line of each, where they stand in lines.

    Raises:
        InputError: One does.
    """
    seen: dict[str, int] = {}
    for place, name in enumerate(names):
        if name in seen:
            both = f", in lines {lines[seen[name]]} and {lines[place]}" if lines else ""
            raise InputError(
                f"'{name}' appears twice in {printable(where)}{both}.", "Keep one of them."
            )
        seen[name] = place


class CategoryBook:
    """What is known of each category by name; every detail is the first one given.

    Aliases add up. Of `metadata` each key keeps its first value.
    """

    def __init__(self) -> None:
        self._known: dict[str, Category] = {}

    def add(self, category: Category) -> Category:
        """Take over details that were not known; nothing changes when added again.

        Returns:
            The category with all that is known of it so far.

        Raises:
            InputError: It has another parent or description than before; nothing is taken over.
        """
        known = self._known.get(category.name)
        if known is None:
            self._known[category.name] = category
            return category
        if known == category:
            return known
        for detail in ("parent", "description"):
            before, now = getattr(known, detail), getattr(category, detail)
            if before and now and before != now:
                raise InputError(
                    f"'{category.name}' has the {detail} '{now[:60]}' here, but "
                    f"'{before[:60]}' before.",
                    "Give it once, or the same each time.",
                )
        merged = known.model_copy(
            update={
                "aliases": tuple(dict.fromkeys(known.aliases + category.aliases)),
                "description": known.description or category.description,
                "parent": known.parent or category.parent,
                "metadata": {**category.metadata, **known.metadata},
            }
        )
        self._known[category.name] = merged
        return merged
