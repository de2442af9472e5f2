"""Several crops in one call, against a real HTTP server that speaks the OpenAI protocol."""

import json
import re
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.errors import BudgetError, ConfigurationError, InputError, ProviderError
from rar_agent.models import Budget, load_chat_model
from rar_agent.prompts import load_prompt
from rar_agent.ranking import CropsRanker, ListwiseRanker
from rar_agent.ranking.crops import _shared
from rar_agent.settings import load_settings
from rar_agent.types import Candidate, Category, Ranking, Usage, sum_usage
from tests.conftest import COLOURS, draw
from tests.openai_server import OpenAIServer, Reply, options_of, pictures_of, size_of

PLACES = 8


def candidate(name, place):
    return Candidate(
        category=Category(name=name), score=-1.0, probability=0.5 / (place + 1), evidence=("image",)
    )


NAMES = [[f"thing {n}-{place}" for place in range(2 + n % 4)] for n in range(PLACES)]
CANDIDATES = [[candidate(name, place) for place, name in enumerate(names)] for names in NAMES]
IMAGES = [draw(COLOURS[n % len(COLOURS)], 70 + n, 90) for n in range(PLACES)]
SEEDS = list(range(40, 40 + PLACES))


def make(url, several="rank-crops@1", prompt="rank-crop@1", budget=None, prices=None, **given):
    options = {"base_url": url, "model": "m", "model_retries": 0, "prices": prices or {}}
    told = {key: given.pop(key) for key in ("model_timeout_s", "cache_mb") if key in given}
    found = load_settings(**options, **told)
    return CropsRanker(
        load_chat_model(found, budget),
        load_prompt(prompt, found.home),
        "things",
        several=load_prompt(several, found.home) if several else None,
        **given,
    )


@dataclass(frozen=True)
class Shown:
    """A crop as a model reads it: names by letter."""

    number: str
    options: dict[str, str]


def crops_of(request):
    content = request["messages"][-1]["content"]
    if len(pictures_of(request)) == 1:
        return [Shown("", options_of(request))]
    text = "\n".join(block["text"] for block in content if block["type"] == "text")
    parts = re.split(r"^Options of crop (\d+):$", text, flags=re.MULTILINE)
    return [
        Shown(number, dict(re.findall(r"^([A-Z])\. (.+)$", part, re.MULTILINE)))
        for number, part in zip(parts[1::2], parts[2::2], strict=True)
    ]


def by_last_name(request):
    """A model that sorts by name, backwards."""
    orders = {
        crop.number: sorted(crop.options, key=crop.options.get, reverse=True)
        for crop in crops_of(request)
    }
    return Reply(json.dumps(orders if "" not in orders else {"ranking": orders[""]}))


def named(ranking, names):
    return [names[position] for position in ranking.order]


def sizes(server):
    return sorted((len(pictures_of(request)) for request in server.requests), reverse=True)


def rank(ranker, count=PLACES):
    found = ranker.rank_all(IMAGES[:count], CANDIDATES[:count], SEEDS[:count])
    assert len(found) == count
    for one, names in zip(found, NAMES, strict=False):
        if isinstance(one, Ranking):
            assert sorted(one.order) == list(range(len(names)))
            assert len(one.probabilities) == len(names)
            assert sum(one.probabilities) == pytest.approx(1)
            assert all(0 <= share <= 1 for share in one.probabilities)
    return found


def refusal(message, status=400):
    return Reply(status=status, body=json.dumps({"error": {"message": message}}).encode())


def test_each_crop_has_its_own_order(server):
    server.answer = by_last_name
    found = rank(make(server.url))
    assert sizes(server) == [6, 2]
    for ranking, names in zip(found, NAMES, strict=True):
        assert named(ranking, names) == sorted(names, reverse=True)
        assert (ranking.parse_status, ranking.repairs) == ("exact", 0)
        assert (ranking.ranker, ranking.model, ranking.prompt) == ("listwise", "m", "rank-crops@1")
        assert ranking.raw.startswith('{"1": [')
    assert [ranking.calls for ranking in found] == [1, 0, 0, 0, 0, 0, 1, 0]
    total = sum_usage(ranking.usage for ranking in found)
    assert (total.input_tokens, total.output_tokens) == (600, 24)


async def test_async_gives_the_same(server):
    server.answer = by_last_name
    ranker = make(server.url)
    assert await ranker.arank_all(IMAGES, CANDIDATES, SEEDS) == rank(ranker)
    assert await ranker.arank_all([], [], []) == []


def test_what_the_model_sees(server):
    server.answer = by_last_name
    rank(make(server.url, image_side=64), 3)
    [request] = server.requests
    assert [max(size_of(picture)) for picture in pictures_of(request)] == [64, 64, 64]
    shown = crops_of(request)
    assert [crop.number for crop in shown] == ["1", "2", "3"]
    assert [sorted(crop.options.values()) for crop in shown] == NAMES[:3]
    kinds = [block["type"] for block in request["messages"][-1]["content"]]
    assert kinds == ["text", "image_url"] * 3 + ["text"]
    schema = request["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["1", "2", "3"]
    assert schema["properties"]["2"]["items"]["enum"] == ["A", "B", "C"]
    assert schema["additionalProperties"] is False


def test_options_are_shown_in_the_order_of_the_crop_s_seed(server):
    """The same as where it is asked about alone, whatever is beside it."""
    server.answer = by_last_name
    rank(make(server.url), 4)
    rank(make(server.url, together=1), 4)
    together, *alone = server.requests
    alone.sort(key=lambda request: sorted(options_of(request).values()))
    assert [crop.options for crop in crops_of(together)] == [options_of(one) for one in alone]


def test_one_alone_is_the_usual_ranker(server):
    server.answer = by_last_name
    usual = ListwiseRanker(
        load_chat_model(load_settings(base_url=server.url, model="m")),
        load_prompt("rank-crop@1", load_settings().home),
        "things",
    )
    expected = [usual.rank(*crop) for crop in zip(IMAGES, CANDIDATES, SEEDS, strict=True)]
    asked = list(server.requests)
    server.requests.clear()
    assert rank(make(server.url, together=1)) == expected
    assert rank(make(server.url, several=None)) == expected
    assert all(request in asked for request in server.requests)
    assert len(server.requests) == 2 * PLACES
    assert rank(make(server.url), 1) == expected[:1]
    assert sum(ranking.calls for ranking in expected) == PLACES


@pytest.mark.parametrize("given", [{"orders": 2}, {"prompt": "rank-exemplars@1"}])
def test_several_orders_and_exemplars_are_for_one_crop_a_call(server, given):
    server.answer = by_last_name
    ranker = make(server.url, **given)
    assert ranker.together == 1
    rank(ranker, 2)
    assert set(sizes(server)) == {1}


def test_what_would_be_asked_is_what_is_asked(server):
    server.answer = by_last_name
    ranker = make(server.url, together=7)
    asked = ranker.questions_all(IMAGES, CANDIDATES, SEEDS)
    assert server.requests == []
    rank(ranker)
    texts = {
        "".join(block.get("text", "") for block in request["messages"][-1]["content"])
        for request in server.requests
    }
    assert {one.messages[-1].text for one in asked} == texts
    assert len(asked) == 2


def test_answers_are_kept(server):
    server.answer = by_last_name
    first = rank(make(server.url, cache_mb=10))
    again = rank(make(server.url, cache_mb=10))
    assert sizes(server) == [6, 2]
    assert [one.order for one in again] == [one.order for one in first]
    total = sum_usage(one.usage for one in again)
    assert (total.cached, total.input_tokens, total.kept_input_tokens) == (2, 0, 600)


def test_names_in_an_answer_are_those_of_the_crop(server):
    def answer(request):
        orders = {crop.number: sorted(crop.options.values()) for crop in crops_of(request)}
        return Reply(json.dumps(orders))

    server.answer = answer
    for ranking, names in zip(rank(make(server.url), 6), NAMES, strict=False):
        assert named(ranking, names) == names
        assert ranking.parse_status == "exact"


def test_a_crop_that_is_left_out_has_failed_alone(server):
    server.script = [Reply('{"1": ["B", "A"], "3": ["B", "A"]}')]
    found = rank(make(server.url), 3)
    assert [one.parse_status for one in found] == ["exact", "failed", "repaired"]
    assert found[1].order == (0, 1, 2)
    assert found[1].raw
    assert sum_usage(one.usage for one in found).input_tokens == 300


@pytest.mark.parametrize("said", ["", "I cannot tell.", "B > A", None])
def test_an_answer_about_no_crop_leaves_retrieval(server, said):
    server.script = [Reply(said)]
    found = rank(make(server.url), 3)
    assert {one.parse_status for one in found} == {"failed"}
    assert [one.order for one in found] == [tuple(range(len(names))) for names in NAMES[:3]]


FAULTS = {
    "429": Reply(status=429),
    "500": Reply(status=500),
    "reset": Reply(fault="reset"),
    "silence": Reply(delay_s=3),
    "no JSON": Reply(body=b"<html>"),
    "other refusal": refusal("The model m does not exist", 404),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_call_that_fails_affects_its_own_crops(server, fault):
    def answer(request):
        hit = any("thing 3-0" in crop.options.values() for crop in crops_of(request))
        return FAULTS[fault] if hit else by_last_name(request)

    server.answer = answer
    found = rank(make(server.url, together=2, model_timeout_s=1 if fault == "silence" else 30))
    failed = [place for place, one in enumerate(found) if isinstance(one, ProviderError)]
    assert failed == [2, 3]
    for ranking, names in zip(found, NAMES, strict=True):
        if isinstance(ranking, Ranking):
            assert named(ranking, names) == sorted(names, reverse=True)


def test_where_no_money_is_left_the_remaining_crops_say_so(server):
    server.answer = by_last_name
    prices = {"openai:m": {"input": 1e4, "output": 0.0}}  # $3 a call
    found = rank(make(server.url, together=2, budget=Budget(4), prices=prices))
    assert len(server.requests) == 1  # whichever call was ready first
    said = [isinstance(one, BudgetError) for one in found]
    assert said[::2] == said[1::2]
    assert sum(said) == PLACES - 2
    answered = [one for one in found if isinstance(one, Ranking)]
    assert sum_usage(one.usage for one in answered).cost == pytest.approx(3)


def takes(server, most, status, message):
    def answer(request):
        sent = len(pictures_of(request))
        if sent > most:
            return refusal(message.format(most=most, sent=sent), status)
        return by_last_name(request)

    server.answer = answer


TOLD = (400, "At most {most} image(s) may be provided in one prompt.")
ONE = (500, "vision model only supports a single image per message")
UNTOLD = (400, "Too many images.")


@pytest.mark.parametrize(
    ("most", "said", "asked", "learnt"),
    [
        (1, TOLD, [6, 1, 1, 1, 1, 1, 1], 1),
        (1, ONE, [6, 1, 1, 1, 1, 1, 1], 1),
        (1, UNTOLD, [6, 3, 3, 1, 1, 1, 1, 1, 1], 1),
        (4, TOLD, [6, 4, 2], 4),
        (5, TOLD, [6, 5, 1], 5),
        (3, UNTOLD, [6, 3, 3], 3),
    ],
)
def test_a_server_that_takes_few_pictures_is_learnt_and_kept(server, most, said, asked, learnt):
    takes(server, most, *said)
    found = rank(make(server.url), 6)
    assert sizes(server) == asked
    for ranking, names in zip(found, NAMES, strict=False):
        assert named(ranking, names) == sorted(names, reverse=True)
        assert ranking.prompt in ("rank-crop@1", "rank-crops@1")
    assert sum(ranking.calls for ranking in found) == len(asked) - sum(n > most for n in asked)
    assert {"temperature", "response_format"} <= set(server.requests[-1])  # nothing else is blamed
    server.requests.clear()
    again = make(server.url)  # as in another process
    assert again._model.capabilities.known.most == learnt
    assert [one.order for one in rank(again, 6)] == [one.order for one in found]
    assert sizes(server) == [n for n in asked if n <= most]


def test_a_server_that_takes_none_is_told_of_at_each_crop_and_nothing_is_learnt(server):
    takes(server, 0, *TOLD)
    ranker = make(server.url)
    found = rank(ranker, 3)
    assert all(isinstance(one, ProviderError) for one in found)
    assert ranker._model.capabilities.known.most is None


def test_fewer_crops_a_call_come_before_smaller_ones(server):
    """What is too large is shrunk once, and then less is sent."""

    def answer(request):
        if sum(max(size_of(one)) for one in pictures_of(request)) > 1_000:
            return refusal("Context size has been exceeded.")
        return by_last_name(request)

    server.answer = answer
    images = [draw("red", n, 300) for n in range(6)]
    for _ in range(5):
        server.requests.clear()
        make(server.url).rank_all(images, CANDIDATES[:6], SEEDS[:6])
    assert sizes(server) == [3, 3]
    assert {size_of(one)[0] for one in pictures_of(server.requests[-1])} == {300}


def test_a_server_that_takes_small_pictures_only_takes_several(server):
    def answer(request):
        if max(max(size_of(one)) for one in pictures_of(request)) > 200:
            return refusal("Image is too large.")
        return by_last_name(request)

    server.answer = answer
    images = [draw("red", n, 300) for n in range(6)]
    for count in (1, 6, 6):
        server.requests.clear()
        make(server.url).rank_all(images[:count], CANDIDATES[:count], SEEDS[:count])
    assert sizes(server) == [6]


def test_what_cannot_be_asked(server):
    with pytest.raises(ConfigurationError, match="not for rankings"):
        make(server.url, several="rank-crop@1")
    with pytest.raises(ConfigurationError, match="cannot read"):
        make(server.url, prompt="rank-crops@1")
    with pytest.raises(InputError, match="0 crops"):
        make(server.url, together=0)
    with pytest.raises(ValueError, match="shorter"):
        make(server.url).rank_all(IMAGES, CANDIDATES, SEEDS[:2])


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_no_candidate_is_lost_whatever_is_said(server_of_module, data):
    whole = json.dumps({str(n): ["B", "A"] for n in range(1, 6)})
    junk = st.sampled_from([*'{}[]",:', "Crop 2", "\n3:", ""]) | st.text(max_size=5)
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(whole)))
        whole = whole[:place] + data.draw(junk) + whole[place + data.draw(st.integers(0, 9)) :]
    server_of_module.script = [Reply(whole)]
    found = rank(make(server_of_module.url, together=5), 5)
    assert all(isinstance(one, Ranking) for one in found)
    assert sum_usage(one.usage for one in found).input_tokens == 300


@pytest.fixture(scope="module")
def server_of_module():
    with OpenAIServer() as running:
        yield running


@given(
    st.builds(
        Usage,
        input_tokens=st.integers(0, 10**6),
        output_tokens=st.integers(0, 10**6),
        cost=st.none() | st.floats(0, 1e3),
        cached=st.integers(0, 1),
        kept_input_tokens=st.integers(0, 10**6),
        kept_cost=st.none() | st.floats(0, 1e3),
    ),
    st.integers(1, 30),
)
def test_what_a_call_took_is_shared_out_whole(usage, count):
    total = sum_usage(_shared(usage, count)).model_dump()
    for name, whole in usage.model_dump().items():
        assert total[name] == (pytest.approx(whole) if isinstance(whole, float) else whole)
