"""Letters by log-probability and in words, against a real HTTP server."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.errors import ConfigurationError, ProviderError
from rar_agent.models import load_chat_model
from rar_agent.prompts import load_prompt
from rar_agent.ranking import ChoiceRanker, PairwiseRanker
from rar_agent.ranking.letters import CHOSEN_ODDS, letter_distribution
from rar_agent.ranking.options import LETTERS, shown_orders
from rar_agent.settings import load_settings
from tests.conftest import draw
from tests.openai_server import Reply, options_of
from tests.ranking.test_listwise import CANDIDATES, NAMES

PHOTO = draw("red", 1)
BELIEFS = dict(zip(NAMES, (0.1, 0.6, 0.05, 0.25), strict=True))


def ranker(server, way=ChoiceRanker, orders=1, prompt="choice@1"):
    settings = load_settings(model="test-model", base_url=server.url, model_retries=0)
    return way(load_chat_model(settings), load_prompt(prompt, settings.home), "birds", orders)


def believes(beliefs, letters=None):
    """A model with a belief about names, and a liking for letters."""

    def answer(request):
        shown = options_of(request)
        weights = {c: beliefs[n] * (letters or {}).get(c, 1.0) for c, n in shown.items()}
        total = sum(weights.values())
        logprobs = {c: math.log(w / total) for c, w in weights.items()}
        best = max(logprobs, key=logprobs.get)
        return Reply(best, logprobs=dict(sorted(logprobs.items(), key=lambda p: -p[1])))

    return answer


def test_log_probabilities_are_the_distribution(server):
    server.answer = believes(BELIEFS)
    ranking = ranker(server).rank(PHOTO, CANDIDATES, 4)
    assert ranking.probabilities == pytest.approx(list(BELIEFS.values()))
    assert ranking.order == (1, 3, 0, 2)
    assert (ranking.parse_status, ranking.repairs, ranking.calls) == ("exact", 0, 1)
    request = server.requests[-1]
    assert request["logprobs"] is True
    assert request["top_logprobs"] == 20
    assert request["temperature"] == 0
    assert request["max_tokens"] <= 3
    assert "response_format" not in request


@pytest.mark.parametrize("seed", range(4))
def test_all_rotations_cancel_a_liking_for_a_letter(server, seed):
    server.answer = believes(dict.fromkeys(NAMES, 0.25), {"A": 1000.0})
    ranking = ranker(server, orders=0).rank(PHOTO, CANDIDATES, seed)
    assert ranking.probabilities == pytest.approx([0.25] * 4)
    assert ranking.order == (0, 1, 2, 3)
    assert ranking.calls == len(server.requests) == 4
    assert ranking.usage.input_tokens == 1200


@given(st.integers(1, 26), st.integers(0, 99), st.integers(0, 26))
def test_rotations_put_each_candidate_at_each_letter_at_most_once(count, seed, orders):
    shown = np.array(shown_orders(count, seed, orders))
    assert len(shown) == (count if orders == 0 else min(orders, count))
    assert all(sorted(row) == list(range(count)) for row in shown.tolist())
    assert all(len(set(column)) == len(shown) for column in shown.T.tolist())


def test_letters_in_words_count_by_fixed_odds(server):
    server.answer = lambda request: Reply(
        next(letter for letter, name in options_of(request).items() if name == NAMES[2])
    )
    ranking = ranker(server).rank(PHOTO, CANDIDATES, 4)
    assert ranking.order == (2, 0, 1, 3)
    rest = 1 / (CHOSEN_ODDS + 3)
    assert ranking.probabilities == pytest.approx([rest, rest, CHOSEN_ODDS * rest, rest])
    assert ranking.parse_status == "exact"


def test_what_refuses_log_probabilities_is_asked_without_them_and_remembered(server):
    server.refuses = {"logprobs"}
    server.script = [Reply("B")]
    for _ in range(2):
        assert ranker(server).rank(PHOTO, CANDIDATES, 1).parse_status == "exact"
    assert ["logprobs" in request for request in server.requests] == [True, False, False]
    assert "max_completion_tokens" not in server.requests[-1]  # it may think first


def test_what_thinks_first_is_let_finish_once(server):
    def answer(request):
        if "max_tokens" in request:
            return Reply("<think>Hm", finish="length", logprobs={"<think>": -0.01, "I": -5.0})
        return Reply("<think>Hm, maybe A? No.</think>The answer is B.")

    server.answer = answer
    one = ranker(server)
    rankings = [one.rank(PHOTO, CANDIDATES, seed) for seed in range(5)]
    chosen = [shown_orders(4, seed, 1)[0][1] for seed in range(5)]
    assert [ranking.order[0] for ranking in rankings] == chosen
    assert [ranking.calls for ranking in rankings] == [2, 2, 2, 1, 1]  # the first were paid for too
    assert [ranking.usage.input_tokens for ranking in rankings] == [600, 600, 600, 300, 300]
    assert rankings[0].parse_status == "repaired"


def test_one_odd_answer_does_not_cost_the_log_probabilities(server):
    odd, good = iter([True]), believes(BELIEFS)
    server.answer = lambda request: (
        Reply("I cannot", finish="length", logprobs={"I": -0.1})
        if next(odd, False)
        else good(request)
    )
    one = ranker(server)
    one.rank(PHOTO, CANDIDATES, 1)
    assert one.rank(PHOTO, CANDIDATES, 2).probabilities == pytest.approx(list(BELIEFS.values()))


def test_a_liking_for_letters_is_not_taken_out_of_words(server):
    server.answer = lambda _: Reply("A")
    settings = load_settings(model="test-model", base_url=server.url, model_retries=0)
    model, prompt = load_chat_model(settings), load_prompt("choice@1", settings.home)
    liking = ChoiceRanker(model, prompt, "birds", prior=(0.8, 0.1, 0.05, 0.05))
    assert liking.rank(PHOTO, CANDIDATES, 1).order[0] == shown_orders(4, 1, 1)[0][0]


@pytest.mark.parametrize("text", ["", "I cannot tell.", None])
def test_no_letter_leaves_retrieval_and_says_so(server, text):
    server.script = [Reply(text)]
    ranking = ranker(server).rank(PHOTO, CANDIDATES, 1)
    assert ranking.parse_status == "failed"
    assert ranking.order == (0, 1, 2, 3)
    assert ranking.probabilities == pytest.approx([0.25] * 4)


def test_one_failed_order_is_no_failed_ranking(server):
    right = believes(BELIEFS)
    failing = iter([True])
    server.answer = lambda request: Reply(status=500) if next(failing, False) else right(request)
    ranking = ranker(server, orders=0).rank(PHOTO, CANDIDATES, 1)
    assert ranking.order == (1, 3, 0, 2)
    assert (ranking.parse_status, ranking.repairs, ranking.calls) == ("repaired", 1, 3)
    server.answer = lambda _: Reply(status=500)
    with pytest.raises(ProviderError):
        ranker(server, orders=0).rank(PHOTO, CANDIDATES, 1)


async def test_async_gives_the_same(server):
    server.answer = believes(BELIEFS, {"B": 3.0})
    for way, prompt in ((ChoiceRanker, "choice@1"), (PairwiseRanker, "pairwise@1")):
        both = ranker(server, way, 2, prompt)
        assert await both.arank(PHOTO, CANDIDATES, 5) == both.rank(PHOTO, CANDIDATES, 5)


def test_pairs_are_asked_in_both_orders_and_a_liking_for_a_letter_cancels(server):
    server.answer = believes(BELIEFS, {"A": 9.0})
    ranking = ranker(server, PairwiseRanker, prompt="pairwise@1").rank(PHOTO, CANDIDATES, 1)
    finalists = np.array(list(BELIEFS.values()))[:3]
    expected = [*(finalists / finalists.sum() * 3 / 4), 1 / 4]
    assert ranking.probabilities == pytest.approx(expected)
    assert ranking.calls == len(server.requests) == 6
    pairs = [tuple(options_of(request).values()) for request in server.requests]
    assert len(set(pairs)) == 6
    assert all(len(set(pair)) == 2 and NAMES[3] not in pair for pair in pairs)


def test_two_candidates_are_one_pair(server):
    server.answer = believes(BELIEFS)
    ranking = ranker(server, PairwiseRanker, prompt="pairwise@1").rank(PHOTO, CANDIDATES[:2], 1)
    assert ranking.probabilities == pytest.approx([1 / 7, 6 / 7])
    assert ranking.calls == 2


def test_a_prompt_for_another_kind_of_answer_is_refused(server):
    with pytest.raises(ConfigurationError, match=r"rank@1 asks for a ranking.*choice"):
        ranker(server, prompt="rank@1")


@given(
    st.lists(st.floats(-30, 0), min_size=2, max_size=26),
    st.integers(1, 20),
    st.sampled_from(["{}", " {}", "({}", "{}.", "**{}", "▁{}"]),
)
def test_a_distribution_over_exactly_the_letters(logprobs, told, spelling):
    letters = LETTERS[: len(logprobs)]
    known = sorted(zip(letters, logprobs, strict=True), key=lambda pair: -pair[1])[:told]
    token = {spelling.format(letter): logprob for letter, logprob in known}
    found = letter_distribution([token], letters)
    if sum(math.exp(p) for _, p in known) < 0.1:
        assert found is None
        return
    assert found.shape == (len(letters),)
    assert found.sum() == pytest.approx(1)
    assert (found > 0).all()
    untold = [letters.index(letter) for letter in letters if letter not in dict(known)]
    least = found[letters.index(known[-1][0])]
    assert all(found[place] <= least + 1e-9 for place in untold)


def test_the_token_that_is_about_letters_is_read():
    tokens = [
        {"\n": -0.01, "A": -4.0},
        {" **": -0.01},
        {"B": math.log(0.7), " b": math.log(0.1), "A": math.log(0.2)},
        {"A": -0.001},
    ]
    assert letter_distribution(tokens, ["A", "B"]) == pytest.approx([0.2, 0.8])
    assert letter_distribution([{"The": -0.1, "A": -9.0}], ["A", "B"]) is None
    assert letter_distribution([], ["A", "B"]) is None
    words = [{"This": -0.05, "B": -3.0}, {" is": -0.01}, {" a": -0.05, " the": -3.0}]
    assert letter_distribution(words, ["A", "B"]) is None
