"""Texts that are anybody's, as a model may be told them: bounded, in one line, and marked.

A memory may come from somebody else, and a model that ranks or guides may have obeyed what stands
in a photo. What they say is told as data: a label where labels stand, a line after its word.
"""

from __future__ import annotations

import json
import re
import unicodedata

from pydantic import JsonValue

SHORT = 60
"""Characters of each text that a memory puts into instructions."""

_LONG = 1_000
_MOST_ALIASES = 20
_UNSEEN = {"Cc", "Cf", "Cs"}  # controls, formats such as bidi and tags, half characters
_KEPT = "\n\r\t\u200c\u200d"  # breaks, and joiners that some scripts and emoji are written with
_WORD = r"[^\W_]+(?:[-'\u2019&/][^\W_]+)*"
_LABEL = re.compile(rf"{_WORD}(?: {_WORD}){{0,2}}")


def plain(text: str, most: int = _LONG) -> str:
    """A text as one line of so many characters, without what cannot be seen."""
    text = " ".join(visible(text).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def visible(text: str) -> str:
    """A text without characters that are not seen, or that turn or hide others; breaks stay."""
    return text if text.isprintable() else "".join(map(_seen, text))


def _seen(c: str) -> str:
    if c in _KEPT or unicodedata.category(c) not in _UNSEEN:
        return c
    return " " if c.isspace() else ""


def label(name: str, most: int = _LONG) -> str:
    """A name as it stands in a sentence: up to three words as they are, all else in quotes.

    The quotes are JSON's, so a name cannot end them.
    """
    name = plain(name, most)
    if len(name) <= SHORT and _LABEL.fullmatch(name):
        return name
    return json.dumps(name, ensure_ascii=False)


def bounded(data: JsonValue) -> JsonValue:
    """Plain data whose texts are visible, and no longer than anybody needs.

    Lists of aliases are cut, and metadata is told as one text where it is long.
    """
    if isinstance(data, str):
        data = visible(data)
        return data if len(data) <= _LONG else f"{data[: _LONG - 1]}…"
    if isinstance(data, list):
        return [bounded(one) for one in data]
    if not isinstance(data, dict):
        return data
    found: dict[str, JsonValue] = {}
    for key, value in data.items():
        if key == "metadata" and len(told := json.dumps(value, ensure_ascii=False)) > _LONG:
            value = {"…": plain(told)}
        elif key == "aliases" and isinstance(value, list):
            value = value[:_MOST_ALIASES]
        found[visible(key)] = bounded(value)
    return found
