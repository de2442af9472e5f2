"""How much a model likes a letter, over HTTP, from none to nothing else."""

import numpy as np
import pytest

from rar_agent.loop import run
from rar_agent.models import load_chat_model
from rar_agent.prompts import load_prompt
from rar_agent.ranking import ChoiceRanker, ListwiseRanker
from rar_agent.ranking.options import shown_orders
from rar_agent.ranking.order_bias import order_bias
from rar_agent.settings import load_settings
from tests.conftest import draw
from tests.openai_server import Reply, options_of
from tests.ranking.test_choice import BELIEFS, believes
from tests.ranking.test_listwise import CANDIDATES, NAMES

PHOTO = draw("red", 1)


def found(server, way=ChoiceRanker, prompt="choice@1", images=3):
    settings = load_settings(model="test-model", base_url=server.url, model_retries=0)
    ranker = way(load_chat_model(settings), load_prompt(prompt, settings.home), "birds")
    return order_bias(
        [run(ranker.aread(PHOTO, CANDIDATES, shown_orders(4, seed, 0))) for seed in range(images)]
    )


@pytest.mark.parametrize("way", [(ChoiceRanker, "choice@1"), (ListwiseRanker, "rank@1")])
def test_a_model_that_always_answers_a_is_all_bias(server, way):
    server.answer = lambda request: (
        Reply("A", logprobs={"A": 0.0, "B": -99.0, "C": -99.0, "D": -99.0})
        if way[0] is ChoiceRanker
        else Reply("A")
    )
    bias = found(server, *way)
    assert bias.bias == pytest.approx(1.0)
    assert max(bias.prior) == bias.prior[0]
    assert bias.prior[1:] == pytest.approx([bias.prior[1]] * 3)
    assert bias.images == 3


def test_a_model_without_a_liking_has_none(server):
    server.answer = believes(BELIEFS)
    bias = found(server)
    assert bias.bias == pytest.approx(0.0, abs=1e-6)
    assert bias.prior == pytest.approx([0.25] * 4)


def test_the_prior_is_the_liking_and_dividing_by_it_gives_the_belief_back(server):
    liking = {"A": 6.0, "B": 1.0, "C": 2.0, "D": 1.0}
    server.answer = believes(BELIEFS, liking)
    bias = found(server)
    assert 0.1 < bias.bias < 0.9
    assert bias.prior == pytest.approx(np.array(list(liking.values())) / 10, rel=1e-3)
    settings = load_settings(model="test-model", base_url=server.url)
    model, prompt = load_chat_model(settings), load_prompt("choice@1", settings.home)
    for seed in range(4):
        ranking = ChoiceRanker(model, prompt, "birds", prior=bias.prior).rank(
            PHOTO, CANDIDATES, seed
        )
        assert ranking.probabilities == pytest.approx(list(BELIEFS.values()), rel=2e-3)
        assert ranking.calls == 1


def test_the_prior_leaves_retrievals_order_to_a_model_that_always_answers_a(server):
    server.answer = believes(dict.fromkeys(NAMES, 0.25), {"A": 1e5})
    bias = found(server)
    settings = load_settings(model="test-model", base_url=server.url)
    ranker = ChoiceRanker(
        load_chat_model(settings),
        load_prompt("choice@1", settings.home),
        "birds",
        prior=bias.prior,
    )
    ranking = ranker.rank(PHOTO, CANDIDATES, 5)
    assert ranking.probabilities == pytest.approx([0.25] * 4, abs=1e-3)


def test_images_without_all_rotations_say_nothing(server):
    server.answer = lambda request: Reply(
        "no idea" if options_of(request)["A"] == NAMES[0] else "A"
    )
    assert found(server) is None
