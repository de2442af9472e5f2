"""The members of a shard that are one sample."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from rar_agent.errors import InputError
from rar_agent.memory.readers.folder import SUFFIXES
from rar_agent.memory.readers.place import Packed, Place, Span
from rar_agent.memory.readers.tar import Member

LONGEST_LABEL = 1_000_000
"""Bytes of a label or of a .json."""

_LABELS = (".cls", ".label", ".txt")  # .txt last: many shards have captions in it
_TEXTS = frozenset({".json", *_LABELS})


@dataclass
class Group:
    """What is kept of the members of one sample: an image, a .json, labels.

    Attributes:
        shard: The tar.
        key: What the members' names have in common.
        parts: By suffix, in small letters.
    """

    shard: Path
    key: str
    parts: dict[str, Member] = field(default_factory=dict)

    def take(self, suffix: str, member: Member) -> None:
        """Keep a member if it is of use: of images `key.jpg` before `key.seg.png`."""
        kept = suffix in _TEXTS
        if is_image(suffix):
            old = self._image_suffix()
            kept = old is None or (old not in SUFFIXES and suffix in SUFFIXES)
            if kept and old is not None:
                del self.parts[old]
        if kept:
            self.parts[suffix] = member

    @property
    def where(self) -> str:
        """Of the image, or of the sample where it has none."""
        image = self._image_suffix()
        return f"{self.shard}/{self.parts[image].name if image else self.key}"

    def image(self, most: int) -> tuple[bytes | None, Place]:
        """Its encoded image, where that was read, and its place.

        Args:
            most: Bytes that it may have.

        Raises:
            InputError: There is none, or it is empty or over the limit.
        """
        suffix = self._image_suffix()
        if suffix is None:
            raise InputError("The sample has no image.", f"Read are {', '.join(sorted(SUFFIXES))}.")
        member = self.parts[suffix]
        if member.size > most:
            raise InputError(
                f"The image has {member.size:,} bytes, which is over the limit.",
                "Scale it down, or raise RAR_MAX_BYTES.",
            )
        if not member.size:
            raise InputError("The image is empty (0 bytes).", "Check the shard.")
        if member.offset is None:
            return member.data, Packed(self.shard, member.number, member.size)
        return member.data, Span(self.shard, member.offset, member.size)

    def row(self) -> dict[str, object]:
        """What its .json says, as a row of a table; empty without one.

        Raises:
            InputError: It is not JSON, or too long.
        """
        written = self._text(".json")
        if not written:
            return {}
        try:
            found = json.loads(written)
        except (ValueError, RecursionError) as error:
            raise InputError(f"The sample's .json is not JSON: {error}.", "Correct it.") from error
        if not isinstance(found, dict):
            return {"category": found}
        return found

    def label(self) -> str | int:
        """What its .cls, .label or .txt says, a class or its number; empty without one.

        Raises:
            InputError: It is not text, or too long.
        """
        written = next(filter(None, map(self._text, _LABELS)), "")
        if written.removeprefix("-").isdecimal() and written.isascii() and len(written) < 20:
            return int(written)
        return written

    def _image_suffix(self) -> str | None:
        return next((s for s in self.parts if s not in _TEXTS), None)

    def _text(self, suffix: str) -> str:
        member = self.parts.get(suffix)
        if member is None:
            return ""
        if member.data is None or len(member.data) > LONGEST_LABEL:
            raise InputError(
                f"The sample's {suffix} has {member.size:,} bytes.",
                f"A label has at most {LONGEST_LABEL:,}.",
            )
        try:
            return member.data.decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            raise InputError(f"The sample's {suffix} is not UTF-8.", "Write it anew.") from error


def is_image(suffix: str) -> bool:
    """Whether a member with that suffix (`.jpg`, `.seg.png`) is an image."""
    return f".{suffix.rpartition('.')[2]}" in SUFFIXES


def split(name: str) -> tuple[str, str]:
    """A member's name as key and suffix; both empty where it is no part of a sample.

    `a/0001.seg.png` → `a/0001` and `.seg.png`, in small letters.
    """
    folder, slash, file = name.rpartition("/")
    stem, dot, suffix = file.partition(".")
    return (f"{folder}{slash}{stem}", f".{suffix.lower()}") if stem and dot and suffix else ("", "")
