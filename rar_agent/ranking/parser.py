"""From a model's answer to a permutation: total, and it says how much it repaired.

It never raises, and never loses, invents or repeats an option: what the answer leaves out comes
after what it names, in retrieval order.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rar_agent.ranking.json_answers import json_values, tokens_in
from rar_agent.ranking.options import LETTERS

LONGEST = 20_000
"""Characters of an answer that are read, thoughts left out: the last ones."""

_THOUGHT = re.compile(
    r"<(think|thinking|thought)>.*?(?:</\1>|\Z)|◁think▷.*?(?:◁/think▷|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_BEFORE = re.compile(
    r"\A.*(?:</think(?:ing)?>|◁/think▷|<\|channel\|>final<\|message\|>)", re.DOTALL | re.IGNORECASE
)
_MARKUP = re.compile(r"\*+|__+|`+|\$|<\|[^|<>]*\|>|\\(?:boxed|text)|\bN/A\b")
_SIGNS = str.maketrans("\u2019\u2013\u2014", "'--")
_PAIR = re.compile(r"<(\w+)>([^<>]*)</\1>")

# Words stand apart but for the scripts that write no spaces, and for Korean's particles.
_WORD = r"[^\W\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]"
_LONE = re.compile(rf"(?<!{_WORD})(?<![-'&])[A-Z](?!{_WORD})(?![-'+#&]\w|[+#])")
_VERB = (
    r"(?:is|has|seems|looks|fits|matches|as|and|or|because|since|would|could|might|best|first)\b"
)
_ARTICLE = re.compile(rf"A\s+(?!{_VERB})\w")
_PRONOUN = re.compile(r"I\s+[a-z]|I'")
_SENTENCE = re.compile(r"(?:\A|[.!?。]\s+|\n|[\"“])[\s\"'“(-]*\Z")

_LINE = re.compile(
    r"^\W*(?:(?:rank|top|no|option)?\W*\d{1,2}(?:st|nd|rd|th)?(?:\W+|(?=[A-Z]\b)))?(?P<rest>.*)$",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"^\W*\d{1,2}\s*\W", re.MULTILINE)
_LETTERED = re.compile(
    r"^\W*(?:option\s+)?(?P<letter>[A-Z])(?:\W*$|\s*[.):\]-]\s+\S|\s*[|:(=])", re.IGNORECASE
)
_AT_END = re.compile(r"\(([A-Z])\)\W*$")
_SAID = re.compile(
    r"(?i:answer|option|choice|letter|pick|choose|say|with|leaves|be|is|it's|:|=)"
    r"(?i:\s+is)?[\s:=\"'({]*(?P<letter>[A-Z](?![\w'+#-])|[a-z](?=\W*\Z))"
)  # a small letter before a word is an article
_FIRST = re.compile(r"\W*(?P<letter>[A-Z])(?:\s*[.,:)]|\s+[-(])")
_NOT = re.compile(
    r"(?:\b(?:not|nor|neither|nicht|pas|не|rather than|instead of|rules? out|kein\w*)|n't|不是)"
    r"\W+(?:(?:an?|the|option|options|eine?n?)\s+)?\W*\Z",
    re.IGNORECASE,
)
_REVERSED = re.compile(r"least[ _](?:likely[ _])?(?:to|first)(?![a-z])", re.IGNORECASE)

_FEW = 3  # words between two letters of one list

Reading = list[int | None]
"""Options in the order of a reading; None for what was never shown."""

Names = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Parsed:
    """What an answer says.

    Attributes:
        options: Distinct options it names, best first; may be fewer than were shown.
        status: `exact`: each option once and nothing else; `failed`: none.
        repairs: Options missing, repeated or not shown.
    """

    options: tuple[int, ...]
    status: Literal["exact", "repaired", "failed"]
    repairs: int


def parse_ranking(text: str, names: Names) -> Parsed:
    """Read a ranking out of an answer in JSON, or in whatever it came.

    Args:
        text: The answer.
        names: Of each option, in the order shown: its name and aliases.
    """
    text = without_thoughts(text)[-LONGEST:]
    plain = _plain(text)
    readers = (
        (_from_json, text),
        (_from_letters, plain),
        (_from_lines, plain),
        (_from_runs, plain),
        (_from_answer, plain),
        (_from_names, text),
        (_from_lone_letters, plain),
    )
    for read, form in readers:
        readings = [reading for reading in read(form, names) if _named(reading)]
        if readings:
            # The fullest one, and of equals the last: what comes before it is thinking aloud.
            found = max(reversed(readings), key=lambda reading: len(_named(reading)))
            options = _named(found)
            extra = len(found) - len(options)  # repeated or never shown
            repairs = extra + len(names) - len(options)
            if _REVERSED.search(text):
                options = options[::-1]
            return Parsed(options, "repaired" if repairs else "exact", repairs)
    return Parsed((), "failed", len(names))


def without_thoughts(text: str) -> str:
    """What an answer says after its thinking aloud, where that is marked."""
    return _BEFORE.sub("", _THOUGHT.sub(" ", text)).strip()


def _plain(text: str) -> str:
    """Without what only shows how a text looks; full-width signs as usual ones."""
    text = unicodedata.normalize("NFKC", text).replace("\\succ", ">").translate(_SIGNS)
    return _PAIR.sub(r"\n\2\n", _MARKUP.sub("", text))


def _named(reading: Reading) -> tuple[int, ...]:
    """Distinct options of a reading, in its order."""
    return tuple(dict.fromkeys(option for option in reading if option is not None))


def _resolve(token: object, names: Names) -> int | None:
    """The option that a token means: its letter, its name or an alias, or what begins so."""
    text = str(token).strip()
    alone = re.fullmatch(r"\W*([A-Za-z])\W*", text)
    if alone:  # letters were asked for, so a category named "B" does not claim one
        return _letter(alone[1], names)
    folded = _fold(text)
    begun = [
        (len(name), option)
        for option, own in enumerate(names)
        for name in map(_fold, own)
        if name and (name == folded or re.match(rf"{re.escape(name)}\W*(?:[(:,|]|\s-)", folded))
    ]
    if begun:
        return max(begun, key=lambda found: found[0])[1]
    lettered = _LETTERED.match(text) or _AT_END.search(text)
    return _letter(lettered[1], names) if lettered else None


def _letter(letter: str, names: Names) -> int | None:
    position = LETTERS.index(letter.upper())
    return position if position < len(names) else None


def _from_json(text: str, names: Names) -> list[Reading]:
    """Every JSON value in the answer."""

    def resolve(token: object) -> int | None:
        return _resolve(token, names)

    try:
        return [[resolve(t) for t in tokens_in(value, resolve)] for value in json_values(text)]
    except RecursionError:  # lists in lists in lists
        return []


def _from_letters(text: str, names: Names) -> list[Reading]:
    """Nothing but letters and separators, such as `b, a, c`, on a line or in all; or `BAC`."""
    readings: list[Reading] = []
    for part in (text, *re.findall(r"\[([^\[\]]*)(?:\]|\Z)", text), *text.splitlines()):
        words = re.findall(r"[^\W_]+", part)
        whole = part is text or not text.endswith("]")
        letters = [word for word in words if not word.isdigit()]
        if letters and all(re.fullmatch("[A-Za-z]", word) for word in letters):
            if len(letters) > 1 or (part is text and len(words) == 1):
                readings.append([_resolve(word, names) for word in letters])
            elif whole and text.endswith(part) and "[" in text:  # cut off after the first
                readings.append([_resolve(letters[0], names)])
    together = text.strip()
    if len(together) == len(names) > 1 and set(together.upper()) == set(LETTERS[: len(names)]):
        readings.append([_resolve(letter, names) for letter in together])
    return readings


def _from_lines(text: str, names: Names) -> list[Reading]:
    """A list with one option a line, numbered, lettered or in a table; other lines are talk."""
    found = []
    for line in text.splitlines():
        matched = _LINE.match(line)
        for part in (line, matched["rest"] if matched else "", line.partition(":")[2]):
            option = _resolve(part, names) if part.strip() else None
            if option is not None:
                found.append(option)
                break
    listed = len(found) > 1 or len(_NUMBERED.findall(text)) > 1
    return [[*found]] if found and listed else []


def _lone(text: str) -> Iterator[re.Match[str]]:
    """Letters that stand alone, and are neither an article nor a pronoun."""
    for letter in _LONE.finditer(text):
        start = letter.start()
        article = _ARTICLE.match(text, start) and _SENTENCE.search(text[max(0, start - 20) : start])
        if not article and not _PRONOUN.match(text, start):
            yield letter


def _from_runs(text: str, names: Names) -> list[Reading]:
    """Letters with few words between them: `B > A > C`, `B first, then A, and C last`."""
    runs: list[list[re.Match[str]]] = []
    for letter in _lone(text):
        gap = text[runs[-1][-1].end() : letter.start()] if runs else "\n"
        if re.search(r"[.!?。\n]", gap) or len(re.findall(r"[^\W\d_]+", gap)) > _FEW:
            runs.append([])
        runs[-1].append(letter)
    lists = [run for run in runs if len(run) > 1]
    readings = [_sure_first(text, run, names) for run in lists]
    said = list(_SAID.finditer(text))
    whole = any(len(_named(reading)) == len(names) for reading in readings)
    # What is concluded from comparing some counts, not they.
    concluded = lists and said and said[-1].start() > lists[-1][-1].end()
    return [] if concluded and not whole else readings


def _sure_first(text: str, letters: Sequence[re.Match[str]], names: Names) -> Reading:
    """Letters in their order, those that are only ruled out last."""
    out = [bool(_NOT.search(text[max(0, m.start() - 30) : m.start()])) for m in letters]
    ordered = sorted(range(len(letters)), key=lambda i: out[i])
    return [_letter(letters[i][0], names) for i in ordered]


def _from_answer(text: str, names: Names) -> list[Reading]:
    """A single letter said to be the answer, or standing at its beginning."""
    lone = {letter.start() for letter in _lone(text)}
    first = _FIRST.match(text)
    if first and first.start("letter") in lone:
        return [[_letter(first["letter"], names)]]
    return [
        [_letter(said["letter"], names)]
        for said in _SAID.finditer(text)
        if said["letter"].islower() or said.start("letter") in lone
    ]


def _from_lone_letters(text: str, names: Names) -> list[Reading]:
    """Letters anywhere: the last one that is not ruled out comes first."""
    letters = [one for one in _lone(text) if _letter(one[0], names) is not None]
    return [_sure_first(text, letters[::-1], names)]


def _from_names(text: str, names: Names) -> list[Reading]:
    """Names in running text, by where each is first mentioned; longer names hide shorter ones.

    Those that are only ruled out come last.
    """
    folded = _fold(text)
    spoken = sorted(
        ((_fold(name), option) for option, own in enumerate(names) for name in own),
        key=lambda pair: -len(pair[0]),
    )
    places: dict[int, tuple[bool, int]] = {}
    for name, option in spoken:
        if not name or re.fullmatch("[a-z]", name):
            continue
        pattern = re.compile(rf"(?<!{_WORD}){re.escape(name)}(?!{_WORD})")
        for found in pattern.finditer(folded):
            place = found.start()
            ruled_out = bool(_NOT.search(folded[max(0, place - 30) : place]))
            places[option] = min((ruled_out, place), places.get(option, (True, len(folded))))
        folded = pattern.sub(lambda m: "\0" * len(m[0]), folded)
    options: list[int] = sorted(places, key=lambda option: places[option])
    return [[*options]]


def _fold(text: str) -> str:
    text = text.casefold().replace("\u2019", "'").replace("_", " ")
    return re.sub(r"\s+", " ", text).strip(" \"'`.*")
