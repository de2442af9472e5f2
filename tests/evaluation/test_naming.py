"""Names out of answers, whatever form they come in; and which names fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.errors import ConfigurationError
from rar_agent.evaluation.naming import Namer, _recognised, one_spelling, spoken_names, that_fit
from rar_agent.prompts import load_prompt
from rar_agent.types import Category


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"name": "House Finch"}', ["House Finch"]),
        ('{"names": ["House Finch", "Purple Finch"]}', ["House Finch", "Purple Finch"]),
        (
            'Here:\n```json\n{"why": "a red head", "name": "House Finch"}\n```',
            ["House Finch"],
        ),
        ('<think>Is it {"name": "Wren"}?</think>{"name": "Chuck-will\'s-widow"}',
         ["Chuck-will's-widow"]),
        ("1. **House Finch**\n2) Purple Finch.", ["House Finch", "Purple Finch"]),
        ("- House Finch\n- Ram C/V Cargo Van 2012", ["House Finch", "Ram C/V Cargo Van 2012"]),
        ('["House Finch", {"name": "Wren"}]', ["House Finch", "Wren"]),
        ("Honda Civic 2012", ["Honda Civic 2012"]),
        ('{"names": ["1. Blue Jay", "2) Wren"]}', ["Blue Jay", "Wren"]),
        ("", []),
        ("...", []),
        ('{"name": ""}', []),
    ],
)  # fmt: skip
def test_names_are_found(text, names):
    assert list(spoken_names(text)) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"name": "A name of a car that is longer than any usual name of birds"}',
         ["A name of a car that is longer than any usual name of birds"]),
        ("Blue Jay.", ["Blue Jay"]),
        ("Sure! Here it is:\nBlue Jay", []),
        ("I cannot identify the bird in this photo.", []),
        ('{"name": null}', []),
    ],
)  # fmt: skip
def test_any_name_is_json_or_one_short_line(text, names):
    assert list(spoken_names(text, any_name=True)) == names


@given(st.text(), st.booleans())
def test_any_text_is_read(text, any_name):
    for name in spoken_names(text, any_name):
        assert 0 < len(name) <= 200
        assert "\n" not in name


def test_a_name_comes_before_an_alias_and_what_means_two_means_neither():
    options = [
        Category(name="stag", aliases=("deer", "buck")),
        Category(name="deer", aliases=("buck",)),
        *(Category(name=name) for name in ("C", "C++", "C#")),
    ]
    known = _recognised(options)
    assert (known["deer"], known["stag"]) == ("deer", "stag")
    assert "buck" not in known
    assert [known[name] for name in ("C", "C++", "C#")] == ["C", "C++", "C#"]
    assert "c" not in known


NAMES = st.lists(
    st.text("abcdefgh ", min_size=1, max_size=30).filter(str.strip), max_size=30, unique=True
)


@given(NAMES, st.integers(1, 200), st.integers(0, 5))
def test_what_fits_is_drawn_by_the_seed_and_within_the_tokens(names, tokens, seed):
    options = [Category(name=name) for name in names]
    kept = that_fit(options, tokens, seed)
    assert kept == that_fit(options, tokens, seed)
    assert {one.name for one in kept} <= set(names)
    assert len({one.name for one in kept}) == len(kept)
    assert bool(kept) == bool(names)
    if len(kept) > 1:
        assert sum(len(one.name) for one in kept) <= 3 * tokens
    more = that_fit(options, 2 * tokens, seed)
    assert more[: len(kept)] == kept


def test_one_spelling_a_name():
    said = ["house finch", "House Finch", "House Finch", "Wren", "House-Finch"]
    assert one_spelling(said) == {
        "house finch": "House Finch",
        "House Finch": "House Finch",
        "House-Finch": "House Finch",
        "Wren": "Wren",
    }


def test_a_prompt_has_to_ask_for_what_is_wanted(tmp_path):
    with pytest.raises(ConfigurationError, match="alone@1 asks for a names, and name is wanted"):
        Namer(None, load_prompt("alone@1", tmp_path), "", (), 512)
