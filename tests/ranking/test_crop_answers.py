"""One answer about several crops: total, and no crop gets what was said of another."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.ranking import parse_crops, parse_ranking
from rar_agent.ranking.options import LETTERS
from tests.ranking.test_parser import NAMES, NOISE

THREE = [
    [("gull",), ("tern",), ("skua", "jaeger")],
    [("oak",), ("ash",), ("elm",), ("yew",)],
    [("red fox",), ("grey wolf",)],
]
RIGHT = [[1, 0, 2], [3, 1, 0, 2], [1, 0]]


def read(text, names=THREE):
    return [list(parsed.options) for parsed in parse_crops(text, names)]


@pytest.mark.parametrize(
    "text",
    [
        '{"1": ["B","A","C"], "2": ["D","B","A","C"], "3": ["B","A"]}',
        '```json\n{"3": ["B","A"], "1": ["B","A","C"], "2": ["D","B","A","C"]}\n``` Done!',
        '<think>{"1": ["C"]}</think>{"1": ["B","A","C"], "2": ["D","B","A","C"], "3": ["B","A"]}',
        '{"1": ["A","B","C"]} No: {"1": ["B","A","C"], "2": ["D","B","A","C"], "3": ["B","A"]}',
        '{"1": ["B","A","C"]}\n{"2": ["D","B","A","C"]}\n{"3": ["B","A"]}',
        '{"crop 1": ["b","a","c"], "crop_2": ["d","b","a","c"], "Crop #3": ["b","a"]}',
        '{"1": "B > A > C", "2": "D, B, A, C", "3": "B, A"}',
        '{"crops": {"1": ["B","A","C"], "2": ["D","B","A","C"], "3": ["B","A"]}}',
        '{"rankings": [{"crop": 1, "ranking": ["B","A","C"]}, {"crop": 3, "ranking": ["B","A"]},'
        ' {"crop": "2", "ranking": ["D","B","A","C"]}]}',
        '{"1": {"ranking": ["B","A","C"], "seen": "2 of 3"}, "2": {"1": "D", "2": "B", "3": "A",'
        ' "4": "C"}, "3": {"B": 0.7, "A": 0.3}}',
        '{"1": ["tern","gull","jaeger"], "2": ["yew","ash","oak","elm"], "3": ["Grey wolf", "A"]}',
        "{1: ['B','A','C'], 2: ['D','B','A','C'], 3: ['B','A']}",
        '{"1": ["B","A","C"], "2": ["D","B","A","C"] "3": ["B","A"]',
        "Crop 1: B > A > C\nCrop 2: D > B > A > C\nCrop 3: B > A",
        "**Crop 1**\n1. B\n2. A\n3. C\n**Crop 2**\n1. D\n2. B\n3. A\n4. C\n**Crop 3**\n1. B\n2. A",
        "Crop 1: B, A, C; crop 2: D, B, A, C; crop 3: B, A.",
        "1: B, A, C\n2: D, B, A, C\n3: B, A",
        "- Image 2: [D, B, A, C]\n- Image 1: [B, A, C]\n- Image 3: [B, A]",
    ],
)
def test_every_form_of_an_answer_about_all(text):
    assert read(text) == RIGHT
    assert {parsed.status for parsed in parse_crops(text, THREE)} == {"exact"}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        # A crop is left out
        ('{"1": ["B","A","C"], "3": ["B","A"]}', [[1, 0, 2], [], [1, 0]]),
        ('{"1": ["B","A","C"], "2": [], "3": null}', [[1, 0, 2], [], []]),
        # Numbers that were not shown
        ('{"0": ["C","A","B"], "1": ["B","A","C"], "4": ["A","B"]}', [[1, 0, 2], [], []]),
        ("Crop 1: B > A > C\nCrop 7: A > B\nCrop 3: B > A", [[1, 0, 2], [], [1, 0]]),
        # Lists of nobody's
        ('[["B","A","C"], ["D","B","A","C"], ["B","A"]]', [[], [], []]),
        ('{"1": ["B","A","C"], ["C","A","B"], "3": ["B","A"]}', [[1, 0, 2], [], [1, 0]]),
        ('{"1": , ["C","A","B"], "3": ["B","A"]}', [[], [], [1, 0]]),
        ('{"ranking": ["B","A","C"]}', [[], [], []]),
        ("B > A > C", [[], [], []]),
        # Places in one crop's order that look like crops
        ('{"ranking": {"1": "B", "2": "A", "3": "C"}}', [[], [], []]),
        ("1. B\n2. A\n3. C", [[], [], []]),
        ("1: B\n2: A\n3: C", [[], [], []]),
        ('{"1": {"1": "B", "2": "A", "3": "C"}, "2": {"1": "D", "2": "', [[], [], []]),
        # What else has numbers
        ('{"1": ["B","A","C"], "confidence": 2}', [[1, 0, 2], [], []]),
        ('{"1": ["B","A","C"], "top3": ["A","B"]}', [[1, 0, 2], [], []]),
        ('{"1": ["B", "A", 3], "2.5": ["A"]}', [[1, 0], [], []]),
        ("I cannot see 2 or 3 of them.", [[], [], []]),
        # Cut off
        ('{"1": ["B","A","C"], "2": ["D","B', [[1, 0, 2], [3, 1], []]),
        ('{"1": ["B","A","C", "2": ["D","B","A","C"]}', [[1, 0, 2], [3, 1, 0, 2], []]),
        ('{"1": ["B","A","C"], "2":', [[1, 0, 2], [], []]),
        # Said again: the fullest, and of equals the last
        ("Crop 1: A.\nCrop 2: A.\nSo, crop 1: B > A > C\n", [[1, 0, 2], [0], []]),
        ('{"1": ["A","B","C"]} {"1": ["C","A","B"]}', [[2, 0, 1], [], []]),
    ],
)
def test_what_is_said_of_no_crop_or_of_another_is_not_taken_for_one(text, options):
    found = parse_crops(text, THREE)
    assert [list(parsed.options) for parsed in found] == options
    for parsed, names in zip(found, THREE, strict=True):
        assert (parsed.status == "failed") == (not parsed.options)
        if not parsed.options:
            assert parsed.repairs == len(names)


def test_invented_and_repeated_ones_are_counted_for_their_crop_alone():
    found = parse_crops('{"1": ["B","B","Q","A","C"], "2": ["D","B","A","C"], "3": ["A"]}', THREE)
    assert [(p.status, p.repairs) for p in found] == [
        ("repaired", 2),
        ("exact", 0),
        ("repaired", 1),
    ]
    assert [list(p.options) for p in found] == [[1, 0, 2], [3, 1, 0, 2], [0]]


MANY = st.lists(NAMES, min_size=1, max_size=5)
NUMBERED = st.builds(
    lambda parts: "".join(parts),
    st.lists(
        st.sampled_from(
            ['"1": ["A"', "Crop 2", "3:", '{"2": ', "]", "}", "[", "{", '"B"', ",", "\n1: ", "crop"]
        )
        | st.text(max_size=10),
        max_size=30,
    ),
)


def nested(depth):
    return '{"1": ' * depth + '["A"]' + "}" * depth


@settings(max_examples=100, deadline=None)
@given(NOISE | NUMBERED | st.integers(1, 2_000).map(nested), MANY)
def test_the_parser_is_total(text, names):
    found = parse_crops(text, names)
    assert len(found) == len(names)
    for parsed, own in zip(found, names, strict=True):
        assert len(set(parsed.options)) == len(parsed.options)
        assert all(0 <= option < len(own) for option in parsed.options)
        assert (parsed.status == "failed") == (not parsed.options)
        assert (parsed.status == "exact") == (parsed.repairs == 0)


def test_lists_in_lists_in_lists_do_not_make_any_parser_fail():
    for depth in (300, 450, 700, 900):
        assert parse_ranking("[" * depth + "]" * depth, THREE[0]).status == "failed"
        assert len(parse_crops(f'{{"1": {"[" * depth}"B"{"]" * depth}}}', THREE)) == 3
    deepest = ['{"a": ' * n + '{"1": ["B"]}' + "}" * n for n in range(970, 1_000)]
    with ThreadPoolExecutor(1) as thread:  # whose stack has little else: JSON can just be decoded
        found = [thread.submit(parse_crops, text, THREE).result() for text in deepest]
    assert {len(parsed) for parsed in found} == {3}


ORDERS = st.lists(st.integers(2, 6), min_size=2, max_size=8).flatmap(
    lambda sizes: st.tuples(*(st.permutations(range(size)) for size in sizes))
)


def names_of(orders):
    return [[(f"crop{n} thing{option}",) for option in range(len(o))] for n, o in enumerate(orders)]


def said(orders):
    return {str(n): [LETTERS[o] for o in order] for n, order in enumerate(orders, 1)}


@settings(max_examples=60, deadline=None)
@given(ORDERS, st.data())
def test_whatever_crops_are_left_out_or_moved_the_others_are_read_as_they_are(orders, data):
    answer = data.draw(st.permutations(list(said(orders).items())))
    kept = dict(answer[: data.draw(st.integers(0, len(answer)))])
    form = data.draw(st.sampled_from(["json", "indented", "worded", "lines"]))
    text = {
        "json": json.dumps(kept),
        "indented": f"Here it is:\n```json\n{json.dumps(kept, indent=2)}\n```",
        "worded": "\n".join(f"Crop {n}: {' > '.join(order)}" for n, order in kept.items()),
        "lines": "\n".join(f"{n}: {', '.join(order)}" for n, order in kept.items()),
    }[form]
    expected = [list(order) if str(n) in kept else [] for n, order in enumerate(orders, 1)]
    assert read(text, names_of(orders)) == expected


@settings(max_examples=80, deadline=None)
@given(ORDERS, st.data())
def test_an_answer_that_is_cut_says_of_each_crop_the_beginning_of_its_own_order(orders, data):
    whole = json.dumps(said(orders), indent=data.draw(st.sampled_from([None, 1])))
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    for options, order in zip(read(cut, names_of(orders)), orders, strict=True):
        assert options == list(order)[: len(options)]


@settings(max_examples=80, deadline=None)
@given(ORDERS, st.data())
def test_damage_within_one_crop_s_order_leaves_all_others_as_they_are(orders, data):
    """Whatever is said of it, but another crop's number."""
    hit = data.draw(st.integers(0, len(orders) - 1))
    junk = data.draw(st.text(st.characters(exclude_characters="0123456789", codec="utf-8")))
    junk = "".join(sign for sign in junk if not sign.isdigit())
    parts = [f'"{n}": {json.dumps(order)}' for n, order in said(orders).items()]
    place = data.draw(st.integers(parts[hit].index("["), len(parts[hit])))
    end = data.draw(st.integers(place, len(parts[hit])))
    parts[hit] = parts[hit][:place] + junk + parts[hit][end:]
    found = read("{" + ", ".join(parts) + "}", names_of(orders))
    for number, (options, order) in enumerate(zip(found, orders, strict=True)):
        if number != hit:
            assert options in (list(order), [])


@settings(max_examples=80, deadline=None)
@given(ORDERS, st.data())
def test_a_missing_or_other_sign_gives_no_crop_anothers_order(orders, data):
    """Options are told apart by name: none is read under another crop's number."""
    named = {
        str(n): [f"crop{n - 1} thing{option}" for option in order]
        for n, order in enumerate(orders, 1)
    }
    text = json.dumps(named)
    outside = [i for i, sign in enumerate(text) if sign in '[]{},:" ']
    for place in data.draw(st.lists(st.sampled_from(outside), max_size=4)):
        text = text[:place] + data.draw(st.sampled_from(' [],:{}x"')) + text[place + 1 :]
    for options, order in zip(read(text, names_of(orders)), orders, strict=True):
        positions = [list(order).index(option) for option in options]
        assert positions == sorted(positions)
