"""The listwise ranker against a real HTTP server that speaks the OpenAI protocol."""

import base64
import io
import json
import re

import pytest
from PIL import Image

from rar_agent.errors import ProviderError
from rar_agent.models import load_chat_model
from rar_agent.prompts import load_prompt
from rar_agent.ranking import ListwiseRanker
from rar_agent.settings import load_settings
from rar_agent.types import Candidate, Category
from tests.conftest import draw
from tests.openai_server import Reply

NAMES = ["Bachman's Sparrow", "Chipping Sparrow", "Field Sparrow & co", "House <Finch>"]
CANDIDATES = [
    Candidate(
        category=Category(name=name, aliases=("alias",) if i == 1 else ()),
        score=-1.0 - i,
        probability=0.4 / (i + 1),
        evidence=("image",),
    )
    for i, name in enumerate(NAMES)
]


@pytest.fixture
def ranker(server):
    settings = load_settings(model="test-model", base_url=server.url, model_retries=0)
    return ListwiseRanker(
        load_chat_model(settings), load_prompt("rank@1", settings.home), "bird species"
    )


def shown(server):
    """Letters and names as the model saw them in the last request."""
    text = server.requests[-1]["messages"][1]["content"][0]["text"]
    return dict(re.findall(r"^([A-Z])\. (.+?)(?: \(also: .*\))?$", text, re.MULTILINE))


def answer_with(server, ranker, names, seed=7):
    """Let the model answer with these names, as letters of the order it will be shown."""
    server.script = [Reply("{}")]
    ranker.rank(draw("red", 1), CANDIDATES, seed)
    letters = {name: letter for letter, name in shown(server).items()}
    server.script = [Reply(json.dumps({"ranking": [letters[name] for name in names]}))]
    return ranker.rank(draw("red", 1), CANDIDATES, seed)


def test_the_answer_orders_the_candidates(server, ranker):
    wanted = [NAMES[2], NAMES[0], NAMES[3], NAMES[1]]
    ranking = answer_with(server, ranker, wanted)
    assert [NAMES[position] for position in ranking.order] == wanted
    assert ranking.parse_status == "exact"
    assert sum(ranking.probabilities) == pytest.approx(1)
    assert max(ranking.probabilities) == ranking.probabilities[2]
    assert (ranking.usage.input_tokens, ranking.usage.output_tokens) == (300, 12)
    assert (ranking.model, ranking.prompt) == ("test-model", "rank@1")


def test_what_the_model_sees(server, ranker):
    server.script = [Reply("{}")]
    ranker.rank(draw("red", 1, 1500), CANDIDATES, 3)
    request = server.requests[-1]
    system, user = request["messages"]
    assert "bird species" in system["content"]
    assert sorted(shown(server).values()) == sorted(NAMES)  # nothing HTML-escaped
    assert list(shown(server)) == ["A", "B", "C", "D"]
    url = user["content"][1]["image_url"]["url"]
    image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert max(image.size) == 768
    schema = request["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["ranking"]["items"]["enum"] == ["A", "B", "C", "D"]


def test_the_order_shown_depends_on_the_seed_not_on_retrieval(server, ranker):
    server.script = [Reply("{}")]
    orders = set()
    for seed in range(12):
        ranker.rank(draw("red", 1), CANDIDATES, seed)
        orders.add(tuple(shown(server).values()))
    assert len(orders) > 6
    ranker.rank(draw("red", 1), CANDIDATES, 11)
    again = tuple(shown(server).values())
    ranker.rank(draw("red", 1), CANDIDATES, 11)
    assert again == tuple(shown(server).values())


def test_what_the_answer_leaves_out_follows_in_retrieval_order(server, ranker):
    ranking = answer_with(server, ranker, [NAMES[2]])
    assert ranking.order == (2, 0, 1, 3)
    assert (ranking.parse_status, ranking.repairs) == ("repaired", 3)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(""),
        Reply("I cannot tell."),
        Reply("no", refusal="I will not."),
        Reply('{"ranking": [', finish="length"),
        Reply(None),
    ],
)
def test_answers_without_a_ranking_leave_the_retrieval_order_and_say_so(server, ranker, reply):
    server.script = [reply]
    ranking = ranker.rank(draw("red", 1), CANDIDATES, 1)
    assert ranking.order == (0, 1, 2, 3)
    assert ranking.parse_status == "failed"
    assert ranking.raw


def test_never_the_previous_answer(server, ranker):
    first = answer_with(server, ranker, [NAMES[3], NAMES[2], NAMES[1], NAMES[0]])
    server.script = [Reply("no idea")]
    second = ranker.rank(draw("blue", 1), CANDIDATES, 7)
    assert first.order == (3, 2, 1, 0)
    assert second.order == (0, 1, 2, 3)


def test_a_server_without_schemas_is_asked_again_once_and_remembered(server, ranker):
    server.refuses = {"response_format"}
    server.script = [Reply("A > B > C > D")]
    for _ in range(2):
        assert ranker.rank(draw("red", 1), CANDIDATES, 1).parse_status == "exact"
    assert ["response_format" in request for request in server.requests] == [True, False, False]


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_faults_are_provider_errors(server, ranker, status):
    server.script = [Reply(status=status)]
    with pytest.raises(ProviderError, match=f"scripted {status}"):
        ranker.rank(draw("red", 1), CANDIDATES, 1)


def test_nonsense_from_the_server_is_a_provider_error(server, ranker):
    for body in (b"<html>gateway</html>", b"{}", b'{"choices": []}'):
        server.script = [Reply(body=body)]
        with pytest.raises(ProviderError):
            ranker.rank(draw("red", 1), CANDIDATES, 1)


async def test_async_gives_the_same(server, ranker):
    server.script = [Reply("C > A > B > D")]
    assert await ranker.arank(draw("red", 1), CANDIDATES, 5) == ranker.rank(
        draw("red", 1), CANDIDATES, 5
    )
    server.script = [Reply(status=500)]
    with pytest.raises(ProviderError):
        await ranker.arank(draw("red", 1), CANDIDATES, 5)
