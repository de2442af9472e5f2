"""The mustache tags of a template, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

Kind = Literal["value", "escaped", "section", "inverted", "end", "comment", "partial", "other"]

WITHIN: Mapping[str, str] = {
    "letter": "options",
    "name": "options",
    "aliases": "options",
    "description": "options",
    "exemplars": "options",
    "picture": "exemplars",
    "number": "crops",
}
"""Variables that there are within a section only."""

WITHIN_CROPS: Mapping[str, str] = {**WITHIN, "photo": "crops", "options": "crops"}
"""The same, of a prompt that shows several crops."""

LISTS = frozenset({"crops", "options", "exemplars"})
"""Variables that are sections, a turn for each thing in them."""

PICTURES = frozenset({"photo", "picture"})
"""Variables that are pictures."""

_TAG = re.compile(r"\{\{(?:\{(?P<raw>.*?)\}\}\}|(?P<tag>.*?)\}\})", re.DOTALL)
_KINDS: Mapping[str, Kind] = {
    "#": "section",
    "^": "inverted",
    "/": "end",
    "!": "comment",
    ">": "partial",
    "&": "value",
    "=": "other",
    "{": "other",
}


@dataclass(frozen=True)
class Tag:
    """A tag of a template.

    Attributes:
        text: As it is written.
        kind: `value` where it is put in as it is, `escaped` where HTML-escaped.
        key: The variable it names.
        start: Where in the template.
        within: Sections around it, the outermost first; inverted ones with a `^`.
    """

    text: str
    kind: Kind
    key: str
    start: int
    within: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fault:
    """Something wrong with a tag."""

    tag: Tag
    message: str
    fix: str


def read_template(template: str, supplied: frozenset[str]) -> tuple[list[Tag], list[Fault]]:
    """The tags that name a variable, and all that is wrong with any.

    Args:
        template: Mustache.
        supplied: Variables that there are.
    """
    tags, faults, around = list[Tag](), list[Fault](), list[Tag]()
    for tag in _tags(template):
        within = tuple(("^" if s.kind == "inverted" else "") + s.key for s in around)
        tag = Tag(tag.text, tag.kind, tag.key, tag.start, within)
        if tag.kind == "comment":
            continue
        if tag.kind == "end":
            if tag.key not in [section.key for section in around]:
                message = f"is not mustache: {tag.text} closes what is not open"
                faults.append(Fault(tag, message, f"Open it before, with {{{{#{tag.key}}}}}."))
                continue
            while (section := around.pop()).key != tag.key:
                faults.append(_unclosed(section))
            continue
        if fault := _fault(tag, supplied):
            faults.append(fault)
        if tag.key in supplied:
            tags.append(tag)
        if tag.kind in ("section", "inverted"):
            around.append(tag)
    faults += map(_unclosed, around)
    return tags, faults


def supplied_are(key: str, supplied: frozenset[str]) -> str:
    """What to write in place of a variable that is not supplied."""
    near = get_close_matches(key.casefold(), sorted(supplied), 1)
    meant = f"Is it '{near[0]}'? " if near else ""
    return f"{meant}Supplied are {', '.join(sorted(supplied))}."


def _tags(template: str) -> Iterator[Tag]:
    place = 0
    while (start := template.find("{{", place)) >= 0:
        found = _TAG.match(template, start)
        if found is None:
            yield Tag(template[start:].split("\n")[0], "other", "", start)
            return
        place = found.end()
        if found["raw"] is not None:
            yield Tag(found[0], "value", found["raw"].strip(), start)
        else:
            kind = _KINDS.get(found["tag"][:1], "escaped")
            key = found["tag"] if kind == "escaped" else found["tag"][1:]
            yield Tag(found[0], kind, key.strip(), start)


def _unclosed(section: Tag) -> Fault:
    message = f"is not mustache: {section.text} is not closed"
    return Fault(section, message, f"Close it, with {{{{/{section.key}}}}}.")


def _fault(tag: Tag, supplied: frozenset[str]) -> Fault | None:
    key, raw = tag.key, f"{{{{{{{tag.key}}}}}}}"
    section = f"{{{{#{key}}}}}…{{{{/{key}}}}}"
    if tag.kind == "partial":
        return Fault(tag, f"includes '{key}', and a prompt is one file", "Write the text out.")
    if tag.kind == "other" or not key:
        written = " ".join(tag.text.split())[:40]
        return Fault(tag, f"is not mustache: {written}", "Write {{{variable}}}.")
    if key not in supplied:
        return Fault(tag, f"uses {key}, which is not supplied", supplied_are(key, supplied))
    if key in LISTS and tag.kind not in ("section", "inverted"):
        return Fault(tag, f"puts in {key}, which is a list", f"Write {section}.")
    if tag.kind == "escaped":
        return Fault(tag, f"uses {tag.text}, which HTML-escapes it", f"Write {raw}.")
    outer = (WITHIN_CROPS if "crops" in supplied else WITHIN).get(key)
    if outer and outer not in tag.within:
        message = f"uses {key} outside {{{{#{outer}}}}}, where there is none"
        return Fault(tag, message, f"Put it between {{{{#{outer}}}}} and {{{{/{outer}}}}}.")
    return None
