"""A memory as pandas data frames, to look at and to count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rar_agent.errors import InputError
from rar_agent.memory.exchange.parts import library, live_parts
from rar_agent.memory.format.manifest import MODALITIES
from rar_agent.memory.memory import Memory

if TYPE_CHECKING:
    import pandas as pd

_CATEGORIES = ("id", "name", "aliases", "description", "parent", "metadata")
_ENTRIES = ("id", "category", "modality", "source", "content", "length", "bias")


def to_dataframe(
    memory: Memory, what: Literal["categories", "entries"] = "categories"
) -> pd.DataFrame:
    """A memory's categories or entries as a data frame.

    Args:
        memory: An opened memory.
        what: `categories`: a row each, with its id, name, aliases (a list), description, parent,
            metadata (a dictionary) and its numbers of entries (`images`, `texts`, `heads`; a
            branch of which more is known than its name is a row too, and has none);
            `entries`: a row each, with its id, category (name), modality, source, content (sha256,
            hex), length and bias, as `ENTRY` has them. Vectors and thumbnails are left out.

    Raises:
        ConfigurationError: pandas is not installed.
        InputError: `what` is neither.
    """
    pandas = library("pandas")
    if what == "categories":
        frame = _categories(memory, pandas)
    elif what == "entries":
        frame = _entries(memory, pandas)
    else:
        raise InputError(f"There are no '{what}' of a memory.", "Ask for categories or entries.")
    return frame


def _categories(memory: Memory, pandas: object) -> pd.DataFrame:
    columns: dict[str, list[object]] = {field: [] for field in _CATEGORIES}
    for number, category in zip(memory.categories.ids.tolist(), memory.categories, strict=True):
        columns["id"].append(number)
        for field in _CATEGORIES[1:]:
            value = getattr(category, field)
            columns[field].append(list(value) if field == "aliases" else value)
    counts = {f"{modality}s": memory.entries.counts(modality) for modality in MODALITIES}
    return pandas.DataFrame({**columns, **counts})  # type: ignore[attr-defined]


def _entries(memory: Memory, pandas: object) -> pd.DataFrame:
    columns: dict[str, list[object]] = {field: [] for field in _ENTRIES}
    for part, categories in live_parts(memory):
        columns["id"] += part.entries["id"].tolist()
        columns["category"] += [memory.categories[int(column)].name for column in categories]
        columns["modality"] += [MODALITIES[code] for code in part.entries["modality"]]
        columns["source"] += [source.decode(errors="replace") for source in part.sources]
        columns["content"] += [bytes(content).hex() for content in part.entries["content"]]
        columns["length"] += part.entries["length"].tolist()
        columns["bias"] += part.entries["bias"].tolist()
    return pandas.DataFrame(columns)  # type: ignore[attr-defined]
