"""Categories of an annotation file in COCO's format, as COCO, LVIS and V3Det have them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rar_agent.errors import ConfigurationError, InputError
from rar_agent.images.policy import printable
from rar_agent.memory.readers.categories import refuse_repeats
from rar_agent.memory.readers.fields import category_from, text
from rar_agent.memory.readers.identity import identity_of, unreadable
from rar_agent.memory.readers.sample import Sample
from rar_agent.memory.readers.tree import read_tree
from rar_agent.types import Category

WHOLE = 64_000_000
"""Bytes of a file that is parsed as a whole; of a larger one only the categories are held."""

_DESCRIPTIONS = ("def", "cat_info", "cat_info_gpt", "description", "desc")
"""Keys of what is said of a category, in LVIS, V3Det and elsewhere; the first that says it."""
_BEGINS = re.compile(rb"(\xef\xbb\xbf)?\s*(\{|\[\s*[{\]\"])")
_BOM = b"\xef\xbb\xbf"
_DEPTH = 900
"""How deep a large file may be nested: about as deep as Python's own parser goes."""
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_WHOLE_STRINGS = re.compile(rb'(?:[^"]++|' + _STRING + rb")*+", re.DOTALL)
_STRINGS = re.compile(_STRING, re.DOTALL)
_NO_NUMBER = re.compile(rb"(" + _STRING + rb")|-?Infinity|NaN", re.DOTALL)
_NESTING = np.zeros(256, np.int64)
_NESTING[list(b"[{")], _NESTING[list(b"]}")] = 1, -1


@dataclass(frozen=True)
class AnnotationsReader:
    """The categories that an annotation file lists, by name alone; its boxes are not read.

    Attributes:
        path: JSON with `categories`, or a JSON list of them or of names; see `read_categories`.
        tree: V3Det's category tree; None: parents are the `supercategory` where there is one.

    Raises:
        InputError: A file cannot be read, is not of its format, or a category has no name.
        ConfigurationError: The file is over `WHOLE`, and ijson is not installed.
    """

    path: Path
    tree: Path | None = None

    def __post_init__(self) -> None:
        _ = self._samples

    @cached_property
    def identity(self) -> str:
        """Hash of the categories and branches."""
        parts = (f"{one.branch} {one.category.model_dump_json()}" for one in self._samples)
        return identity_of("annotations", *parts)

    @property
    def count(self) -> int:
        """There are no images."""
        return 0

    def samples(self) -> Iterator[Sample]:
        """One sample a category, by id; with a tree one a branch that is no category, first."""
        yield from self._samples

    @cached_property
    def _samples(self) -> tuple[Sample, ...]:
        place = printable(str(self.path.absolute()))
        categories, branches = _read(self.path, self.tree)
        return (
            *(Sample(one, None, printable(str(self.tree)), branch=True) for one in branches),
            *(Sample(one, None, f"{place}#{one.metadata.get('id', '')}") for one in categories),
        )


def is_annotations(file: Path) -> bool:
    """Whether a file begins as JSON with categories or names does, and no list of lines.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with file.open("rb") as opened:
            return _BEGINS.match(opened.read(4096)) is not None
    except OSError as error:
        raise unreadable(file, error) from error


def read_categories(file: Path, tree: Path | None = None) -> list[Category]:
    """The categories of an annotation file, in the order of their ids.

    A name stays as it was published (`alarm_clock`); where one stands twice, the later one's id is
    put behind it. LVIS's `synonyms` are aliases, `def` or V3Det's `cat_info` is the description,
    COCO's `supercategory` the parent; all else is metadata (`id`, `frequency`, `image_count`, …).

    Args:
        file: JSON with `categories`, or a JSON list of them or of their names.
        tree: V3Det's category tree, which gives parents, and synonyms where there are.

    Raises:
        InputError: A file cannot be read, is not of its format, or a category has no name; two have
            one id, or one name and no ids.
        ConfigurationError: The file is over `WHOLE`, and ijson is not installed.
    """
    return _read(file, tree)[0]


def _read(file: Path, tree: Path | None) -> tuple[list[Category], list[Category]]:
    found = _records(file)
    ids = [one.get("id") for one in found]
    if all(isinstance(one, int) for one in ids):
        found = sorted(found, key=lambda one: int(one["id"]))
    where, taken = printable(str(file)), set[str]()
    categories = []
    for at, record in enumerate(found):
        category = category_of(record, f"{where}, category {record.get('id', at)}")
        if category.name in taken and "id" in record:
            name = f"{category.name} ({record['id']})"
            category = category.model_copy(update={"name": name})
        taken.add(category.name)
        categories.append(category)
    refuse_repeats((one.name for one in categories), where)
    numbered = Counter(str(one.metadata["id"]) for one in categories if "id" in one.metadata)
    for number, count in numbered.most_common(1):
        if count > 1:
            raise InputError(
                f"{count} categories in '{where}' have the id {number}.", "Number them anew."
            )
    return (categories, []) if tree is None else read_tree(tree).placed(categories)


def category_of(record: Mapping[str, Any], where: str) -> Category:
    """A category as an annotation file gives it; see `read_categories`.

    Args:
        record: An item of `categories`.
        where: Which one, for messages.

    Raises:
        InputError: It has no name, or a detail is not of its kind.
    """
    name = text(record.get("name"), "name")
    others = _texts(record.get("synonyms"), "synonyms")
    described = (one for key in _DESCRIPTIONS for one in _texts(record.get(key), key))
    parent = text(record.get("supercategory"), "supercategory")
    said = {"name", "synonyms", "supercategory", *_DESCRIPTIONS}
    row = {
        "aliases": [one for one in map(readable, others) if one != readable(name)],
        "description": next(described, ""),
        "parent": "" if parent == name else parent,  # as COCO's person is below person
        "metadata": {key: value for key, value in record.items() if key not in said},
    }
    return category_from(row, name, where)


def readable(name: str) -> str:
    """A published name as it reads: its underscores are spaces."""
    return " ".join(name.replace("_", " ").split())


def _texts(value: object, key: str) -> list[str]:
    """One text or a list of them, without empty ones."""
    given = value if isinstance(value, list) else [value]
    return [one for one in (text(part, key) for part in given) if one]


def _records(file: Path) -> Sequence[Mapping[str, Any]]:
    """The items of `categories`, as they are written."""
    try:
        found = _parsed(file)
    except OSError as error:
        raise unreadable(file, error) from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"'{printable(str(file))}' is not JSON: {error}.", "Get it again, unzipped."
        ) from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise InputError(
            f"'{printable(str(file))}' has no list of 'categories'.",
            "Give a file in COCO's format, such as lvis_v1_val.json.",
        )
    if not found:
        raise InputError(f"'{printable(str(file))}' lists no category.", "Give another file.")
    nameless = next((at for at, one in enumerate(found, 1) if not one.get("name")), None)
    if nameless:
        raise InputError(
            f"'{printable(str(file))}': item {nameless} of {len(found)} has no 'name'.",
            "Give a file that lists categories; boxes or results alone are none.",
        )
    return found


def _parsed(file: Path) -> object:
    if file.stat().st_size > WHOLE:
        return _streamed(file)
    found = json.loads(file.read_bytes(), parse_constant=lambda _: None)
    return found.get("categories") if isinstance(found, dict) else _named(found)


def _named(listed: object) -> object:
    """A bare list, in which texts are names."""
    if not isinstance(listed, list):
        return listed
    return [{"name": one} if isinstance(one, str) else one for one in listed]


def _streamed(file: Path) -> object:
    """The categories alone; what comes before them is passed over, what comes after is not read."""
    try:
        import ijson
    except ImportError as error:
        raise ConfigurationError(
            f"'{printable(str(file))}' is over {WHOLE // 1_000_000} MB, and reading only its "
            "categories needs ijson, which is not installed.",
            "Run: pip install 'rar-agent[data]'",
        ) from error
    with file.open("rb") as opened:
        begins = opened.read(4096)
        listed = begins.removeprefix(_BOM).lstrip().startswith(b"[")
        opened.seek(len(_BOM) if begins.startswith(_BOM) else 0)
        try:
            where = "" if listed else "categories"
            found = next(ijson.items(_Strict(opened), where, use_float=True), None)
        except ijson.JSONError as error:
            raise ValueError(str(error)) from error
    return _named(found) if listed else found


class _Strict:
    """JSON as ijson takes it: null in place of NaN and Infinity, and not nested too deep for it."""

    def __init__(self, opened: BinaryIO) -> None:
        self._opened, self._rest, self._depth = opened, b"", 0

    def read(self, size: int) -> bytes:
        """What comes next, about `size` bytes; none: it ends.

        Raises:
            ValueError: It is nested too deep.
        """
        while size:
            given = self._opened.read(size)
            data = self._rest + given
            if not given:
                self._rest = b""
                return self._checked(data)
            ends = _WHOLE_STRINGS.match(data)
            cut = ends.end() if ends else 0
            cut = len(data[:cut].rstrip(b"-NaInfity"))  # which may be the beginning of one of these
            self._rest = data[cut:]
            if cut:
                return self._checked(data[:cut])
        return b""

    def _checked(self, data: bytes) -> bytes:
        bare = _STRINGS.sub(b"", data)
        depths = self._depth + _NESTING[np.frombuffer(bare, np.uint8)].cumsum()
        if depths.max(initial=0) > _DEPTH:  # ijson's memory grows with the square of it
            raise ValueError(f"it is nested more than {_DEPTH} deep")
        self._depth = int(depths[-1]) if len(depths) else self._depth
        if b"NaN" in bare or b"Infinity" in bare:
            data = _NO_NUMBER.sub(lambda found: found[1] or b"null", data)
        return data
