"""A model in this process behind the rankers: numerics, not accuracy."""

import numpy as np
import pytest

from rar_agent.errors import ConfigurationError
from rar_agent.images import to_picture
from rar_agent.models import Question, load_chat_model
from rar_agent.models.messages import as_langchain
from rar_agent.prompts import load_prompt
from rar_agent.ranking import ChoiceRanker, ListwiseRanker, PairwiseRanker
from rar_agent.ranking.options import shown_orders, values_of
from rar_agent.settings import load_settings
from tests.conftest import draw
from tests.ranking.test_listwise import CANDIDATES

PHOTO = draw("red", 1)


@pytest.fixture
def chat(folders):
    return load_chat_model(load_settings(model=f"local:{folders('llava')}", device="cpu"))


def test_the_distribution_is_the_exact_scores(chat, tmp_path):
    prompt = load_prompt("choice@1", tmp_path)
    ranking = ChoiceRanker(chat, prompt, "birds").rank(PHOTO, CANDIDATES, 3)
    shown = shown_orders(4, 3, 1)[0]
    values = values_of(prompt, to_picture(PHOTO), CANDIDATES, shown, "birds")
    scores = np.exp(chat.model.score_options(as_langchain(prompt.render(values)), list("ABCD")))
    expected = np.empty(4)
    expected[shown] = scores / scores.sum()
    assert ranking.probabilities == pytest.approx(expected.tolist(), abs=1e-5)
    assert (ranking.parse_status, ranking.calls, ranking.usage.cost) == ("exact", 1, 0.0)


def test_pairs_and_rotations(chat, tmp_path):
    rotated = ChoiceRanker(chat, load_prompt("choice@1", tmp_path), "birds", 0)
    ranking = rotated.rank(PHOTO, CANDIDATES, 3)
    assert ranking.calls == 4
    assert sum(ranking.probabilities) == pytest.approx(1)
    pairs = PairwiseRanker(chat, load_prompt("pairwise@1", tmp_path), "birds")
    assert pairs.rank(PHOTO, CANDIDATES, 3).calls == 6


async def test_async_gives_the_same(chat, tmp_path):
    ranker = ChoiceRanker(chat, load_prompt("choice@1", tmp_path), "birds", 2)
    assert await ranker.arank(PHOTO, CANDIDATES, 3) == ranker.rank(PHOTO, CANDIDATES, 3)


def test_a_list_is_written_out_and_read_as_far_as_it_goes(chat, tmp_path):
    ranking = ListwiseRanker(chat, load_prompt("rank@1", tmp_path), "birds").rank(
        PHOTO, CANDIDATES, 3
    )
    assert sorted(ranking.order) == [0, 1, 2, 3]
    assert ranking.parse_status in ("exact", "repaired", "failed")  # a random model's words
    assert ranking.usage.output_tokens > 0


def test_a_model_that_is_not_there_is_no_providers_fault(tmp_path):
    with pytest.raises(ConfigurationError, match="nowhere"):
        load_chat_model(load_settings(model=f"local:{tmp_path / 'nowhere'}")).ask(
            Question(load_prompt("choice@1", tmp_path).render({"options": [], "photo": ""}))
        )
