"""From the columns of a row, or the keys of an object, to a category."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Collection, Iterable, Mapping

from rar_agent.errors import InputError
from rar_agent.images.policy import printable
from rar_agent.memory.readers.categories import named
from rar_agent.types import Category

CATEGORY_COLUMNS = ("category", "label", "name", "class")
"""Names of the column that says which category it is; the first that is there counts."""
IMAGE_COLUMNS = ("image", "path", "file_name", "url")
"""Names of the column that says where the image is; the first that is there counts."""

_DETAILS = ("aliases", "description", "parent", "metadata")
_DEEPEST = 20  # levels of metadata


def pick(columns: Iterable[str], wanted: Collection[str]) -> str | None:
    """The first wanted column that is there, in any case and with any spaces around it."""
    there = {column.strip().lower(): column for column in columns}
    return next((there[name] for name in wanted if name in there), None)


def category_from(
    row: Mapping[str, object], name: str, where: str, apart: Collection[str | None] = ()
) -> Category:
    """The category that a row gives, with its details.

    Args:
        row: Columns and their values.
        name: What the category is called.
        where: Which row, for messages.
        apart: Columns that are no metadata: the category's own, the image's.

    Raises:
        InputError: The name is empty or too long, or a detail is not of its kind.
    """
    if not name:
        raise InputError("The category is empty.", "Name the category of each row.")
    column = {detail: pick(row, (detail,)) for detail in _DETAILS}
    value = {detail: row.get(c) if c else None for detail, c in column.items()}
    others = {c: row[c] for c in row if c not in column.values() and c not in apart}
    return named(
        name,
        where,
        aliases=_aliases(value["aliases"]),
        description=text(value["description"], "description"),
        parent=text(value["parent"], "parent"),
        metadata=_metadata(others) | _metadata(_object(value["metadata"])),
    )


def text(value: object, column: str) -> str:
    """A value as text, stripped: nothing is empty, a whole number is its digits.

    Raises:
        InputError: It is neither text, nor a whole number, nor missing.
    """
    if isinstance(value, str):
        return printable(value).strip()
    if value is None or (isinstance(value, float) and math.isnan(value)):  # pandas' nothing
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InputError(f"'{column}' is a {type(value).__name__}, not text.", "Write it as text.")


def _aliases(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        parts = [text(part, "aliases") for part in value]
    else:
        parts = [part.strip() for part in text(value, "aliases").split(";")]
    return tuple(dict.fromkeys(filter(None, parts)))


def _object(value: object) -> Mapping[str, object]:
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"'metadata' is not JSON: {error}.", 'Write an object: {"key": "value"}.'
            ) from error
    if isinstance(value, Mapping):
        return value
    if text(value, "metadata"):
        raise InputError(
            f"'metadata' is a {type(value).__name__}, not an object.",
            'Write an object: {"key": "value"}.',
        )
    return {}


def _metadata(values: Mapping[str, object]) -> dict[str, object]:
    kept = {printable(str(key)).strip(): _plain(value) for key, value in values.items()}
    return {key: value for key, value in kept.items() if value not in (None, "")}


def _plain(value: object, depth: int = 0) -> object:
    """The value as plain JSON; None for what JSON has no value for."""
    if depth > _DEEPEST:
        raise InputError(f"Metadata is nested more than {_DEEPEST} deep.", "Make it flatter.")
    if isinstance(value, str):
        return printable(value).strip()
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {printable(str(k)): _plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, depth + 1) for v in value]
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return None if value is None or isinstance(value, bytes) else printable(str(value))
