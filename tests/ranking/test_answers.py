"""Answers of every shape that models give: what a careful reader takes from them is read."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.ranking import parse_ranking
from tests.ranking.answers import load_answers

ANSWERS = list(load_answers())
MOST_MISSED = 0.02


def test_what_is_read_is_what_a_careful_reader_takes():
    wrong = {
        said.text: (said.options, read)
        for said in ANSWERS
        if (read := parse_ranking(said.text, said.names).options) != said.options
    }
    known = {said.text for said in ANSWERS if said.missed}
    assert {text: wrong[text] for text in wrong.keys() - known} == {}
    assert known - wrong.keys() == set(), "these are read now: no miss any more"


def test_the_corpus_is_large_and_few_of_it_are_missed():
    shapes = Counter(said.shape for said in ANSWERS)
    assert len(ANSWERS) >= 300
    assert len({(said.text, said.names) for said in ANSWERS}) == len(ANSWERS)
    assert len(shapes) >= 20
    assert sum(said.missed for said in ANSWERS) <= MOST_MISSED * len(ANSWERS)


def test_repairs_are_what_an_answer_left_out_or_added():
    for said in ANSWERS:
        read = parse_ranking(said.text, said.names)
        assert read.repairs >= len(said.names) - len(read.options)
        assert (read.status == "failed") == (not read.options)
        assert (read.status == "exact") == (read.repairs == 0)


PIECES = st.lists(
    st.sampled_from([piece for said in ANSWERS for piece in said.text.splitlines() if piece]),
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(
    pieces=PIECES,
    names=st.sampled_from(sorted({said.names for said in ANSWERS})),
    cut=st.integers(0, 400),
)
def test_whatever_is_said_only_what_was_shown_is_read_and_once(pieces, names, cut):
    read = parse_ranking("\n".join(pieces)[:cut], names)
    assert len(set(read.options)) == len(read.options)
    assert set(read.options) <= set(range(len(names)))
