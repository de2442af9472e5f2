"""Which columns of a Hugging Face data set hold the images and their labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rar_agent.errors import InputError
from rar_agent.memory.readers.fields import CATEGORY_COLUMNS, IMAGE_COLUMNS, pick


def find_image_column(features: Mapping[str, Any] | None, asked: str | None, name: str) -> str:
    """The column with the images: the one that is asked for, or the one of Image features.

    Args:
        features: Of the data set, by column; None where they are not known.
        asked: The column's name; None: find it.
        name: Of the data set, for messages.

    Raises:
        InputError: There is no such column, or none or several that could be it.
    """
    from datasets import Image

    if asked is not None:
        return _asked(features, asked, name)
    columns = [c for c, kind in (features or {}).items() if isinstance(kind, Image)]
    return _one(columns, IMAGE_COLUMNS, features, "image", name)


def find_label_column(
    features: Mapping[str, Any] | None, asked: str | None, image_column: str, name: str
) -> str:
    """The column with the categories: as asked, or the one of class labels, or else of text.

    Args:
        features: Of the data set, by column; None where they are not known.
        asked: The column's name; None: find it.
        image_column: The images'.
        name: Of the data set, for messages.

    Raises:
        InputError: There is no such column, it has neither class labels nor text, or there are
            none or several that could be it.
    """
    from datasets import ClassLabel

    if asked is not None:
        column = _asked(features, asked, name)
        kind = features[column] if features is not None else None
        if kind is not None and not isinstance(kind, ClassLabel) and not _is_text(kind):
            raise InputError(
                f"Column '{column}' of '{name}' has neither class labels nor text: {kind}.",
                "Give the numbers names: dataset.cast_column(column, ClassLabel(names=[…])).",
            )
        return column
    known = {c: kind for c, kind in (features or {}).items() if c != image_column}
    columns = [c for c, kind in known.items() if isinstance(kind, ClassLabel)]
    columns = columns or [c for c, kind in known.items() if _is_text(kind)]
    return _one(columns, CATEGORY_COLUMNS, features, "label", name)


def _is_text(kind: object) -> bool:
    return getattr(kind, "dtype", "") in ("string", "large_string")


def _asked(features: Mapping[str, Any] | None, column: str, name: str) -> str:
    if features is not None and column not in features:
        raise InputError(f"'{name}' has no column '{column}'.", f"It has {', '.join(features)}.")
    return column


def _one(
    columns: list[str],
    usual: Iterable[str],
    features: Mapping[str, Any] | None,
    what: str,
    name: str,
) -> str:
    if len(columns) == 1:
        return columns[0]
    column = pick(columns, tuple(usual))
    if column is None:
        there = ", ".join(features) if features else "not known before it is read"
        raise InputError(
            f"'{name}' has {'several columns' if columns else 'no column'} that could be the "
            f"{what}{': ' + ', '.join(columns) if columns else ''}; its columns are {there}.",
            f"Say which one it is ({what}_column=…).",
        )
    return column
