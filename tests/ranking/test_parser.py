import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.ranking import parse_ranking
from rar_agent.ranking.parser import LETTERS, LONGEST

BIRDS = [
    ("Bachman's Sparrow",),
    ("Chipping Sparrow", "Spizella passerina"),
    ("Sparrow",),
    ("A-frame, old",),
    ("Field Sparrow",),
]


def parsed(text, names=BIRDS):
    result = parse_ranking(text, names)
    return list(result.options), result.status, result.repairs


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ('{"ranking": ["B", "A", "C", "E", "D"]}', [1, 0, 2, 4, 3]),
        ('```json\n{"ranking": ["B","A","C","E","D"]}\n```', [1, 0, 2, 4, 3]),
        ('Sure! Here it is: {"ranking": ["B","A","C","E","D"]}. Hope it helps!', [1, 0, 2, 4, 3]),
        ('["b", "a", "c", "e", "d"]', [1, 0, 2, 4, 3]),
        ('{"answer": {"x": 1}, "order": ["B","A","C","E","D"]}', [1, 0, 2, 4, 3]),
        ("B > A > C > E > D", [1, 0, 2, 4, 3]),
        ("B, A, C, E, D", [1, 0, 2, 4, 3]),
        ("[B, A, C, E, D]", [1, 0, 2, 4, 3]),
        ("I would sort them as B > A > C > E > D.", [1, 0, 2, 4, 3]),
        ("1. B\n2. A\n3. C\n4. E\n5. D", [1, 0, 2, 4, 3]),
        (
            "1. Chipping Sparrow\n2. Bachman’s sparrow\n3. Sparrow\n4. Field Sparrow\n"
            "5. A-frame, old",
            [1, 0, 2, 4, 3],
        ),
        (
            "B. Chipping Sparrow\nA. Bachman's Sparrow\nC. Sparrow\nE. Field Sparrow\n"
            "D. A-frame, old",
            [1, 0, 2, 4, 3],
        ),
        (
            "['Chipping Sparrow', 'Bachman's Sparrow', 'Sparrow', 'Field Sparrow', 'A-frame, old']",
            [1, 0, 2, 4, 3],
        ),
        (
            '<think>Maybe A? ["A"]</think>{"ranking": ["B","A","C","E","D"]}',
            [1, 0, 2, 4, 3],
        ),
        (
            '{"ranking": ["spizella passerina", "A", "C", "E", "D"]}',
            [1, 0, 2, 4, 3],
        ),
    ],
)
def test_answers_that_name_every_option_once_are_exact(text, options):
    assert parsed(text) == (options, "exact", 0)


@pytest.mark.parametrize(
    ("text", "options", "repairs"),
    [
        ('{"ranking": ["B", "A"]}', [1, 0], 3),  # lost three
        ('{"ranking": ["B", "B", "A", "C", "E", "D"]}', [1, 0, 2, 4, 3], 1),  # repeated one
        ('{"ranking": ["B", "House Finch", "A", "C", "E", "D"]}', [1, 0, 2, 4, 3], 1),  # invented
        ('{"ranking": ["B", "Z", "A", "C", "E", "D"]}', [1, 0, 2, 4, 3], 1),  # beyond the letters
        ("B", [1], 4),
        ("It is surely a Chipping Sparrow, not a Field Sparrow.", [1, 4], 3),
        ('{"ranking": ["B", "A", "C"', [1, 0, 2], 2),  # cut off
    ],
)
def test_what_is_missing_repeated_or_invented_is_counted(text, options, repairs):
    assert parsed(text) == (options, "repaired", repairs)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "I cannot help with that.",
        "{}",
        "[]",
        "null",
        '{"ranking": []}',
        "A photo of a house.",
        "<think>B",
    ],
)
def test_answers_that_name_nothing_fail(text):
    assert parsed(text) == ([], "failed", 5)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (
            "Comparing A, B, C, D and E: the crest fits C best.\nRanking: C, A, D, B, E",
            [2, 0, 3, 1, 4],
        ),
        ("Options A, B look alike. Final answer: D > C > B > A > E", [3, 2, 1, 0, 4]),
        (
            'First idea {"ranking": ["A","B","C","D","E"]}, but no. '
            'Final: {"ranking": ["E","D","C","B","A"]}',
            [4, 3, 2, 1, 0],
        ),
    ],
)
def test_the_conclusion_counts_not_the_thinking(text, options):
    assert parsed(text) == (options, "exact", 0)


@pytest.mark.parametrize(
    "text", ["Answer: B", "The answer is B.", '{"answer": "B"}', "Final answer: **B**"]
)
def test_a_single_answer_comes_first(text):
    assert parsed(text) == ([1], "repaired", 4)


def test_categories_named_by_letters_do_not_claim_them():
    signs = [("C",), ("A",), ("B",)]
    assert parsed('{"ranking": ["A", "B", "C"]}', signs) == ([0, 1, 2], "exact", 0)


def test_a_short_name_inside_a_longer_one_is_not_counted():
    assert parsed("Most likely the field sparrow, then the chipping sparrow.")[0] == [4, 1]


NOISE = st.text(max_size=200) | st.sampled_from(
    [
        "[" * 5_000,
        "{" * 5_000,
        '["A"' * 300,
        "\0",
        "A" * 30_000,
        "[[[[]]]]",
        '{"ranking": {"a": []}}',
    ]
)
NAMES = st.lists(
    st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=3), min_size=1, max_size=26
)


@settings(max_examples=300, deadline=None)
@given(text=NOISE, names=NAMES)
def test_the_parser_is_total(text, names):
    result = parse_ranking(text, names)
    assert len(set(result.options)) == len(result.options)
    assert all(0 <= option < len(names) for option in result.options)
    assert (result.status == "failed") == (not result.options)
    assert (result.status == "exact") == (result.repairs == 0)


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(8)), st.sampled_from(["json", "chain", "lines", "list"]))
def test_any_permutation_survives_any_form(order, form):
    letters = [LETTERS[option] for option in order]
    text = {
        "json": json.dumps({"ranking": letters}),
        "chain": " > ".join(letters),
        "lines": "\n".join(f"{i}. {letter}" for i, letter in enumerate(letters, 1)),
        "list": f"My ranking: [{', '.join(letters)}]",
    }[form]
    result = parse_ranking(text, [(f"name {i}",) for i in range(8)])
    assert (list(result.options), result.status) == (list(order), "exact")


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("The answer is a tabby cat.", 2),
        ("The best choice is a tabby.", 2),
        ("My answer: a tabby", 2),
        ("The answer is A.", 0),
        ("answer: b", 1),
        ("The answer is **C**, a tabby.", 2),
    ],
)
def test_an_article_is_no_option(text, option):
    names = [("Egyptian cat",), ("tiger cat",), ("tabby", "tabby cat")]
    assert parse_ranking(text, names).options[0] == option


@pytest.mark.parametrize("begin", ["<think>", "", "◁think▷"])
def test_thoughts_may_be_longer_than_what_is_read(begin):
    thought = "It might be option C, for the bill is short. " * (2 * LONGEST // 40)
    end = "◁/think▷" if begin.startswith("◁") else "</think>"
    assert parsed(f'{begin}{thought}{end}["B", "A"]', [("gull",), ("tern",)]) == (
        [1, 0],
        "exact",
        0,
    )


def test_of_a_long_answer_the_end_is_read():
    thought = "It might be option C, for the bill is short.\n" * (2 * LONGEST // 40)
    assert parsed(f'{thought}["B", "A"]', [("gull",), ("tern",)])[0] == [1, 0]
