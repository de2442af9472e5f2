"""The tree of categories: who is above whom, roll-up, and filters by branch and metadata.

A category's `parent` is the name of the one above it, which need not be a category with entries, or
be listed at all: naming it makes it a branch.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rar_agent.errors import InputError, NotFoundError
from rar_agent.memory.format.categories import Categories
from rar_agent.types import Category

Where = Mapping[str, Any] | Callable[[Category], bool]
"""Metadata that a category must have: a value, or a list of values any of which is enough, or
`{"min": a, "max": b}`; of a list in the metadata any item is enough. Or, from Python, a function
that says of a category whether it may be answered."""


_MANY = 20_000  # names that are all compared with a misspelt one, 6 µs each


@dataclass(frozen=True)
class Filter:
    """Which categories may be answered.

    Attributes:
        only: Names of branches or categories; empty for all.
        where: What their metadata must be; None for anything.
    """

    only: tuple[str, ...] = ()
    where: Where | None = None


class Lookup(Protocol):
    """Finds categories by name and id: an opened memory's, or a draft's."""

    def find(self, name: str) -> int | None:
        """Number of the category of a name."""

    def category(self, number: int) -> Category | None:
        """The category of a number."""


def alike(name: str, known: Iterable[str]) -> list[str]:
    """At most three known names that may have been meant, whatever their case, nearest first."""
    wanted, names = name.casefold(), {other.casefold(): other for other in known}
    if len(names) > _MANY:
        names = {folded: other for folded, other in names.items() if folded[:1] == wanted[:1]}
    return [names[folded] for folded in difflib.get_close_matches(wanted, names)]


def refuse_cycle(category: Category, lookup: Lookup) -> None:
    """Check that no category is above itself.

    Raises:
        InputError: It would be; the message shows the way round.
    """
    way, above = [category.name], category.parent
    while above:
        if above in way:
            raise InputError(
                f"'{above}' would be above itself: {' < '.join([*way, above])}.",
                "Give another parent.",
            )
        way.append(above)
        number = lookup.find(above)
        found = lookup.category(number) if number is not None else None
        above = found.parent if found else ""


class Taxonomy:
    """Branches over the categories of one generation.

    Args:
        categories: In the order of their positions.
    """

    def __init__(self, categories: Categories) -> None:
        self._categories = categories
        self._below: dict[str, NDArray[np.int64]] = {}

    @cached_property
    def _parents(self) -> list[str]:
        return [category.parent for category in self._categories]

    @cached_property
    def _children(self) -> dict[str, list[int]]:
        children: dict[str, list[int]] = {}
        for column, parent in enumerate(self._parents):
            if parent:
                children.setdefault(parent, []).append(column)
        return children

    def above(self, column: int) -> tuple[str, ...]:
        """Names of the branches above a category, nearest first; a cycle ends it."""
        if not self._categories.has_parents:
            return ()
        way: list[str] = []
        name = self._parents[column]
        while name and name not in way:
            way.append(name)
            found = self._categories.find(name)
            name = self._parents[found] if found is not None else ""
        return tuple(way)

    def children(self, name: str) -> list[int]:
        """Positions of the categories right below a name, ascending."""
        return self._children.get(name, [])

    def below(self, name: str) -> NDArray[np.int64]:
        """Positions of a category and of all below it; ascending, empty where it is unknown."""
        if name not in self._below:
            self._below[name] = self._find_below(name)
        return self._below[name]

    def _find_below(self, name: str) -> NDArray[np.int64]:
        found, waiting, seen = set[int](), [name], {name}
        own = self._categories.find(name)
        if own is not None:
            found.add(own)
        while waiting:
            for column in self.children(waiting.pop()):
                found.add(column)
                child = self._categories[column].name
                if child not in seen:
                    seen.add(child)
                    waiting.append(child)
        return np.array(sorted(found), np.int64)

    def branches(self) -> list[str]:
        """Names of all branches, sorted."""
        return sorted(self._children)

    def allowed(self, wanted: Filter) -> NDArray[np.int64]:
        """Positions of the categories that pass a filter.

        Raises:
            NotFoundError: A name is no branch and no category.
            InputError: Nothing passes.
        """
        columns = np.arange(len(self._categories))
        if wanted.only:
            parts = [self.below(name) for name in wanted.only]
            for name, part in zip(wanted.only, parts, strict=True):
                if not len(part):
                    raise self._not_found(name)
            columns = np.unique(np.concatenate(parts))
        if wanted.where is not None:
            passes = _predicate(wanted.where)
            kept = [column for column in columns if passes(self._categories[int(column)])]
            columns = np.array(kept, np.int64)
        if not len(columns):
            raise InputError(
                f"No category passes the filter {wanted.where!r}.",
                "See the metadata with memory show NAME --category CATEGORY.",
            )
        return columns

    def _not_found(self, name: str) -> NotFoundError:
        branches = self.branches()
        meant = alike(name, [*(category.name for category in self._categories), *branches])
        hint = f"Did you mean {', '.join(meant)}? " if meant else ""
        known = ", ".join(branches[:5]) or "none"
        return NotFoundError(
            f"There is no branch or category '{name}'.", f"{hint}Branches: {known}."
        )


def _predicate(where: Where) -> Callable[[Category], bool]:
    if callable(where):
        return where
    conditions: Mapping[str, Any] = where

    def passes(category: Category) -> bool:
        return all(_holds(category.metadata.get(k), v) for k, v in conditions.items())

    return passes


def _holds(value: object, condition: object) -> bool:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(_holds(one, condition) for one in value)
    if isinstance(condition, Mapping) and set(condition) <= {"min", "max"}:
        low, high = condition.get("min", -np.inf), condition.get("max", np.inf)
        if not isinstance(low, int | float) or not isinstance(high, int | float):
            raise InputError(f"{dict(condition)!r} is no range.", "Give numbers as min and max.")
        number = _number(value)
        return number is not None and bool(low <= number <= high)
    if isinstance(condition, Sequence) and not isinstance(condition, str):
        return any(_holds(value, one) for one in condition)
    return value == condition or str(value) == str(condition)


def _number(value: object) -> float | None:
    """A number, also where a table had it as text."""
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None
