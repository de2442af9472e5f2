"""The answers in answers.txt, which says how it is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Said:
    """An answer, and what a careful reader takes from it.

    Attributes:
        names: Of the options, in the order shown: each its name and aliases.
        shape: What kind of answer it is.
        text: As the model gave it.
        options: That it names, best first.
        missed: Whether the parser is known to read something else.
    """

    names: tuple[tuple[str, ...], ...]
    shape: str
    text: str
    options: tuple[int, ...]
    missed: bool


def load_answers() -> Iterator[Said]:
    """All of them, in the file's order."""
    text = Path(__file__).with_name("answers.txt").read_text(encoding="utf-8")
    for group in text.split("\n== ")[1:]:
        head, *answers = group.split("\n%% ")
        names = tuple(tuple(line.split(" | ")) for line in head.splitlines()[1:])
        for answer in answers:
            mark, _, said = answer.partition("\n")
            shape, letters, *missed = mark.split()
            options = tuple(ord(letter) - ord("A") for letter in letters if letter != "-")
            yield Said(names, shape, said.rstrip("\n"), options, missed == ["miss"])
