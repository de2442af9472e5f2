"""The tree of categories: who is above whom, roll-up, and filters by branch and metadata.

A category's `parent` is the name of the one above it, which need not be a category with entries, or
be listed at all: naming it makes it a branch.
"""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
`{"min": a, "max": b}`; None for nothing under that key. Of a list in the metadata any item is
enough. Or, from Python, a function that says of a category whether it may be answered."""


_MANY = 20_000  # names that are all compared with a misspelt one, 6 µs each
_LISTED = 5  # names that a hint shows


@dataclass(frozen=True)
class Filter:
    """Which categories may be answered.

    Attributes:
        only: Names of branches or categories; empty for all.
        where: What their metadata must be; None for anything.
    """

    only: tuple[str, ...] = ()
    where: Where | None = None

    def __str__(self) -> str:
        """As it is typed at the command line."""
        words = [word for name in self.only for word in ("--only", name)]
        if callable(self.where):
            return f"{shlex.join(words)} where a function says so".strip()
        for key, value in (self.where or {}).items():
            words += ["--where", f"{key}={_written(value)}"]
        return shlex.join(words)


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

    @cached_property
    def _places(self) -> list[tuple[str, str]]:
        """Name and parent of each category."""
        return self._categories.places()

    @cached_property
    def _column(self) -> dict[str, int]:
        return {name: column for column, (name, _) in enumerate(self._places)}

    @cached_property
    def _children(self) -> dict[str, list[int]]:
        children: dict[str, list[int]] = {}
        for column, (_, parent) in enumerate(self._places):
            if parent:
                children.setdefault(parent, []).append(column)
        return children

    def above(self, column: int) -> tuple[str, ...]:
        """Names of the branches above a category, nearest first; a cycle ends it."""
        if not self._categories.has_parents:
            return ()
        way: dict[str, None] = {}
        name = self._places[column][1]
        while name and name not in way:
            way[name] = None
            found = self._column.get(name)
            name = self._places[found][1] if found is not None else ""
        return tuple(way)

    def children(self, name: str) -> list[int]:
        """Positions of the categories right below a name, ascending."""
        return self._children.get(name, [])

    def below(self, name: str) -> NDArray[np.int64]:
        """Positions of a category and of all below it; ascending, empty where it is unknown."""
        return np.sort(self._order[slice(*self._span(name))])

    def is_below(self, columns: NDArray[np.int64], name: str) -> NDArray[np.bool_]:
        """(k,) whether each of some categories is of a name, or below it."""
        first, end = self._span(name)
        rank = self._rank[columns]
        inside: NDArray[np.bool_] = (first <= rank) & (rank < end)
        return inside

    def _span(self, name: str) -> tuple[int, int]:
        """Where a name and all below it begin and end in `_order`; the same twice if unknown."""
        return self._spans.get(name, (0, 0))

    @cached_property
    def _rank(self) -> NDArray[np.int64]:
        """(c,) place of each category in `_order`."""
        rank = np.empty(len(self._order), np.int64)
        rank[self._order] = np.arange(len(rank))
        return rank

    @property
    def _order(self) -> NDArray[np.int64]:
        """(c,) positions depth first, so that all below a name stand together."""
        return self._walked[0]

    @property
    def _spans(self) -> dict[str, tuple[int, int]]:
        return self._walked[1]

    @cached_property
    def _walked(self) -> tuple[NDArray[np.int64], dict[str, tuple[int, int]]]:
        order: list[int] = []
        spans: dict[str, tuple[int, int]] = {}
        tops = [name for name, parent in self._places if not parent]
        tops += [name for name in self._children if name not in self._column]
        for top in tops:
            self._walk(top, order, spans)
        for column, (name, _) in enumerate(self._places):
            if name not in spans:  # in a cycle, or below one: there each name is below each other
                way = self.above(column)
                ring = way[way.index(self._places[self._column[way[-1]]][1]) :]
                self._walk(ring[0], order, spans)
                spans.update(dict.fromkeys(ring, spans[ring[0]]))
        return np.array(order, np.int64), spans

    def _walk(self, top: str, order: list[int], spans: dict[str, tuple[int, int]]) -> None:
        """Put a name and all below it behind what there is."""
        waiting: list[tuple[str, int | None]] = [(top, None)]
        while waiting:
            name, first = waiting.pop()
            if first is not None:
                spans[name] = first, len(order)
            elif name not in spans:
                spans[name] = len(order), len(order)
                waiting.append((name, len(order)))
                if name in self._column:
                    order.append(self._column[name])
                waiting += [(self._places[child][0], None) for child in self.children(name)]

    def branches(self) -> list[str]:
        """Names of all branches, sorted."""
        return sorted(self._children)

    def allowed(self, wanted: Filter) -> NDArray[np.int64]:
        """Positions of the categories that pass a filter.

        Raises:
            NotFoundError: A name is no branch and no category, or no metadata has a key.
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
            if not callable(wanted.where):
                self._require_keys(wanted.where)
            columns = columns[self._passing(wanted.where, columns)]
        if not len(columns):
            raise InputError(
                f"No category passes the filter {wanted}.",
                self._why_none(wanted)
                or "See the metadata with memory show NAME --category CATEGORY.",
            )
        return columns

    def _passing(self, where: Where, columns: NDArray[np.int64]) -> NDArray[np.bool_]:
        passes = _predicate(where)
        return np.array([passes(self._categories[int(column)]) for column in columns], bool)

    @cached_property
    def _keys(self) -> list[str]:
        """Keys of all metadata, in the order in which they first come."""
        return list(
            dict.fromkeys(key for category in self._categories for key in category.metadata)
        )

    def _require_keys(self, where: Mapping[str, Any]) -> None:
        for key in where:
            if key not in self._keys:
                known = ", ".join(self._keys[:_LISTED]) or "none"
                hint = f"{_did_you_mean(alike(key, self._keys))}Keys: {known}."
                raise NotFoundError(f"No category has metadata '{key}'.", hint)

    def _why_none(self, wanted: Filter) -> str:
        """Which condition holds for no category at all, and what does; empty where each does."""
        if wanted.where is None or callable(wanted.where):
            return ""
        everything = np.arange(len(self._categories))
        for key, condition in wanted.where.items():
            if not self._passing({key: condition}, everything).any():
                values = dict.fromkeys(
                    text
                    for category in self._categories
                    for value in _each(category.metadata.get(key))
                    if (text := _written(value))
                )
                meant = [f"{key}={value}" for value in alike(_written(condition), values)]
                known = f"{', '.join([*values][:_LISTED])}{', …' if len(values) > _LISTED else ''}"
                return f"{_did_you_mean(meant)}'{key}' is one of {known}."
        return "Each part of it holds for some category, and no category has them all."

    def _not_found(self, name: str) -> NotFoundError:
        branches = self.branches()
        meant = alike(name, [*(category.name for category in self._categories), *branches])
        known = ", ".join(branches[:_LISTED]) or "none"
        return NotFoundError(
            f"There is no branch or category '{name}'.",
            f"{_did_you_mean(meant)}Branches: {known}.",
        )


def _predicate(where: Where) -> Callable[[Category], bool]:
    if callable(where):
        return where
    conditions: Mapping[str, Any] = where

    def passes(category: Category) -> bool:
        return all(_holds(category.metadata.get(k), v) for k, v in conditions.items())

    return passes


def _holds(value: object, condition: object) -> bool:
    if condition is None or condition == "":
        return not any(_written(one) for one in _each(value))
    if isinstance(condition, Sequence) and not isinstance(condition, str):
        return any(_holds(value, one) for one in condition)
    return any(_is(one, condition) for one in _each(value))


def _is(value: object, condition: object) -> bool:
    """Whether one thing in the metadata is as a condition says."""
    if isinstance(condition, Mapping) and set(condition) <= {"min", "max"}:
        low, high = condition.get("min", -np.inf), condition.get("max", np.inf)
        if not isinstance(low, int | float) or not isinstance(high, int | float):
            raise InputError(f"{dict(condition)!r} is no range.", "Give numbers as min and max.")
        number = _number(value)
        return number is not None and bool(low <= number <= high)
    if isinstance(value, bool) or isinstance(condition, bool):  # in a table, True is a text
        return _written(value).casefold() == _written(condition).casefold()
    return value is not None and (value == condition or _written(value) == _written(condition))


def _each(value: object) -> Iterator[object]:
    """What a list holds, or the one thing."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        for one in value:
            yield from _each(one)
    else:
        yield value


def _written(value: object) -> str:
    """As it is typed: a text as it is, nothing as nothing, all else as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, default=str)


def _did_you_mean(names: Sequence[str]) -> str:
    return f"Did you mean {', '.join(names)}? " if names else ""


def _number(value: object) -> float | None:
    """A number, also where a table had it as text."""
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None
