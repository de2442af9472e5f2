"""The shipped prompts: that none changes, and what each says, as files that show every edit.

UPDATE_SNAPSHOTS=1 writes the files again.
"""

import hashlib
import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.images import to_picture
from rar_agent.prompts import Message, check, find_prompt, find_prompts, load_prompt
from rar_agent.prompts.prompt import SUPPLIED
from tests.conftest import draw

SHIPPED = {
    "agent@1": "ad2eabaed3c8",
    "alone@1": "864c9930ae9c",
    "choice@1": "25144a443ae7",
    "describe@1": "11db4e8dd616",
    "field-guide@1": "0cfc3f667b14",
    "guess@1": "11e2c952c076",
    "pairwise@1": "4bf71fc0c2d0",
    "rank-crop@1": "e7c1df58e60a",
    "rank-crops@1": "767a0d091e70",
    "rank-described@1": "160bb0bf0779",
    "rank-exemplars@1": "a540c0a7d4ab",
    "rank@1": "121d23a0920f",
}
"""A shipped version never changes: write a new one instead."""

ASKING = sorted(SHIPPED.keys() - {"agent@1", "field-guide@1", "alone@1", "guess@1", "rank-crops@1"})
"""Those that ask about the lettered candidates of one photo."""

NOWHERE = Path("/nonexistent")
SNAPSHOTS = Path(__file__).parent / "snapshots"
PICTURES = {
    name: to_picture(draw(colour, 1, 32))
    for name, colour in (
        ("photo", "red"),
        ("sparrow 1", "green"),
        ("sparrow 2", "blue"),
        ("finch 1", "black"),
    )
}
NAMES = {picture: name for name, picture in PICTURES.items()}


def option(letter, name, *pictures, aliases="", description=""):
    exemplars = [{"picture": PICTURES[picture]} for picture in pictures]
    return {
        "letter": letter,
        "name": name,
        "aliases": aliases,
        "description": description,
        "exemplars": exemplars,
    }


VALUES = {
    "domain": "bird species",
    "count": 3,
    "example": '"B", "C", "A"',
    "photo": PICTURES["photo"],
    "options": [
        option("A", "Field Sparrow", "sparrow 1", "sparrow 2", description="A pink bill."),
        option("B", "House Finch & <co>", "finch 1", aliases="rosefinch"),
        option("C", "Bachman's Sparrow"),
    ],
}
PAIR = {**VALUES, "count": 2, "options": VALUES["options"][:2]}
CROPS = {
    "domain": "bird species",
    "count": 2,
    "example": '{"1": ["B", "C", "A"], "2": ["B", "A"]}',
    "crops": [
        {"number": 1, "photo": PICTURES["photo"], "options": VALUES["options"]},
        {"number": 2, "photo": PICTURES["finch 1"], "options": VALUES["options"][:2]},
    ],
}


def said(messages: tuple[Message, ...]) -> str:
    parts = []
    for message in messages:
        parts.append(f"--- {message.role}\n")
        parts += [f"[{NAMES[p]}]" if not isinstance(p, str) else p for p in message.parts]
    return "".join(parts) + "\n"


def test_shipped_prompts_never_change():
    found = {f.reference: f.path for f in find_prompts(NOWHERE)}
    hashes = {
        reference: hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        for reference, path in found.items()
    }
    assert hashes == SHIPPED
    assert {r: load_prompt(r, NOWHERE).sha256 for r in SHIPPED} == SHIPPED


@pytest.mark.parametrize("reference", SHIPPED)
def test_nothing_is_wrong_with_them(reference):
    path = find_prompt(reference, NOWHERE)
    prompt, problems = check(path.read_bytes(), path)
    assert problems == []
    assert "max_tokens" not in prompt.settings  # models that think first would have none left
    if reference != "rank@1":  # shipped before a prompt had to say so much
        assert yaml.safe_load(path.read_bytes())["variables"] == sorted(prompt.variables)
        assert prompt.description
        assert prompt.changelog
        assert prompt.hints


@pytest.mark.parametrize("reference", SHIPPED)
def test_what_they_say(reference):
    values = {"pairwise@1": PAIR, "rank-crops@1": CROPS}.get(reference, VALUES)
    now = said(load_prompt(reference, NOWHERE).render(values))
    file = SNAPSHOTS / f"{reference}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.write_text(now)
    assert now == file.read_text(), "UPDATE_SNAPSHOTS=1 pytest tests/prompts writes it again"


def test_no_snapshot_is_of_nothing():
    assert {file.stem for file in SNAPSHOTS.glob("*.txt")} == set(SHIPPED)


@pytest.mark.parametrize("reference", ASKING)
def test_they_show_the_photo_once_and_each_option(reference):
    messages = load_prompt(reference, NOWHERE).render(PAIR)
    assert [message.role for message in messages] == ["system", "user"]
    shown = [part for part in messages[1].parts if not isinstance(part, str)]
    assert shown.count(PICTURES["photo"]) == 1
    assert len(shown) == (4 if reference == "rank-exemplars@1" else 1)
    for line in ("A. Field Sparrow", "B. House Finch & <co>"):
        assert any(text.startswith(line) for text in messages[1].text.splitlines())
    assert "{{" not in messages[0].text + messages[1].text


def test_those_that_ask_without_retrieval_show_the_photo_once():
    for reference, names in (("alone@1", True), ("guess@1", False)):
        messages = load_prompt(reference, NOWHERE).render(VALUES)
        shown = [part for part in messages[1].parts if not isinstance(part, str)]
        assert shown == [PICTURES["photo"]]
        lines = messages[1].text.splitlines()
        assert ("- House Finch & <co> (also: rosefinch)" in lines) == names
        assert ("- Bachman's Sparrow" in lines) == names


def test_the_one_about_several_crops_shows_each_under_its_number_with_its_options():
    system, user = load_prompt("rank-crops@1", NOWHERE).render(CROPS)
    assert system.role == "system"
    pictures = [part for part in user.parts if not isinstance(part, str)]
    assert pictures == [PICTURES["photo"], PICTURES["finch 1"]]
    before, between, after = (part for part in user.parts if isinstance(part, str))
    assert before.endswith("Crop 1:\n")
    assert between.splitlines()[1:] == [
        "Options of crop 1:",
        "A. Field Sparrow: A pink bill.",
        "B. House Finch & <co> (also: rosefinch)",
        "C. Bachman's Sparrow",
        "",
        "Crop 2:",
    ]
    assert after.splitlines()[1:4] == [
        "Options of crop 2:",
        "A. Field Sparrow: A pink bill.",
        "B. House Finch & <co> (also: rosefinch)",
    ]
    assert CROPS["example"] in after
    assert "{{" not in system.text + user.text


MUSTACHE = st.sampled_from(
    ["{{{photo}}}", "{{#options}}", "{{/options}}", "{{=<% %>=}}", "{{> rank}}", "{{!", "}}}", "\0"]
)
TEXT = st.lists(st.text(max_size=8) | MUSTACHE, min_size=1, max_size=4).map("".join)


@given(st.sampled_from(ASKING), st.lists(TEXT, min_size=7, max_size=7))
def test_whatever_is_said_of_candidates_only_fills_its_place(reference, texts):
    """The same as with words in the texts' places, and then the texts in the words' places."""
    fillers = [f"filler{number}" for number in range(7)]
    lines = [" ".join(text.replace("\0", "").splitlines()) for text in texts]
    texts = [text if line else "x" for text, line in zip(texts, lines, strict=True)]
    lines = [line or "x" for line in lines]  # an empty one leaves its section out

    def messages(domain, *of):
        options = [
            option("A", of[0], "sparrow 1", aliases=of[1], description=of[2]),
            option("B", of[3], "finch 1", aliases=of[4], description=of[5]),
        ]
        values = {**PAIR, "domain": domain, "options": options}
        return load_prompt(reference, NOWHERE).render(values)

    def filled(part):
        for filler, line in zip(fillers, lines, strict=True):
            part = part.replace(filler, line) if isinstance(part, str) else part
        return part

    expected = [tuple(map(filled, message.parts)) for message in messages(*fillers)]
    assert [message.parts for message in messages(*texts)] == expected


def test_the_documents_table_has_every_variable_output_and_prompt():
    text = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text()
    for name in {*frozenset().union(*SUPPLIED.values()), *SUPPLIED}:
        assert f"\n| `{name}` |" in text
    for reference in SHIPPED:
        assert f"\n{reference} " in text
        assert load_prompt(reference, NOWHERE).description[:40] in text


def test_the_documents_file_is_a_prompt():
    text = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text()
    [file] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    prompt, problems = check(file.encode(), Path("birds/1.yaml"))
    assert (problems, prompt.output) == ([], "ranking")
