"""A server that misbehaves: no candidate is lost, and each image is repaired or degraded."""

import asyncio
import gzip
import json
import random
import shutil
from hashlib import sha256

import pytest

from rar_agent import Recognition, Recognizer
from rar_agent.images import to_picture
from rar_agent.memory import create_memory, read_folder
from rar_agent.types import Candidate, Category
from tests.conftest import COLOURS, draw
from tests.openai_server import Reply, options_of, pictures_of

NAMES = (
    "Bachman's Sparrow",
    'the "King" [of birds], crowned',
    "O'Hara-Smith's warbler (old)",
    "Spatz, gewöhnlicher",
    "麻雀",
    "Sparrow",
)
GOOD = Reply('{"ranking": ["B", "A", "C", "D", "E"]}')


@pytest.fixture(scope="module")
def place(tmp_path_factory, builtin, discs):
    folder = tmp_path_factory.mktemp("faulty")
    for name, colour in zip(NAMES, COLOURS, strict=True):
        shutil.copytree(discs / f"{colour}_discs", folder / "images" / name)
    create_memory(folder, "birds", builtin, read_folder(folder / "images"), domain="birds")
    return folder


@pytest.fixture
def load(place, server):
    def loaded(**options):
        given = {"model": "m", "base_url": server.url, "skip_ranking_at": 1.01, "device": "cpu"}
        return Recognizer("birds", home=place, **{**given, "model_retries": 0, **options})

    return loaded


@pytest.fixture(scope="module")
def retrieved(place):
    """What retrieval alone answers, best first."""
    found = Recognizer("birds", home=place, device="cpu").recognize(draw("red", 99))
    return [c.category.name for c in found.categories]


def names_of(found):
    return [c.category.name for c in found.categories]


GZIP = {"Content-Encoding": "gzip"}
FAULTS = {
    "429": Reply(status=429),
    "429, Retry-After": Reply(status=429, headers={"Retry-After": "1"}),
    "429, milliseconds": Reply(status=429, headers={"retry-after-ms": "30"}),
    "500": Reply(status=500),
    "503": Reply(status=503, headers={"retry-after-ms": "30"}),
    "reset": Reply(fault="reset"),
    "reset late": Reply("A" * 5_000, fault="reset late"),
    "cut": Reply("A" * 5_000, fault="cut"),
    "cut chunk": Reply("A" * 5_000, fault="cut chunk"),
    "stall": Reply("A" * 5_000, fault="stall"),
    "drip": Reply(fault="drip"),
    "drip headers": Reply(fault="drip headers"),
    "silence": Reply(delay_s=2),
}


ENDLESS = {"stall", "drip", "drip headers", "silence"}
HALF = b'{"id": "1", "object": "chat.completion", "choices": [{"index": 0, "mess'
EVENT = b'data: {"id": "1", "choices": [{"index": 0, "delta": {"content": "{\\"ranking'
BODIES = {
    "no JSON": Reply(body=b"<html>"),
    "half of it": Reply(body=HALF),
    "half of a stream": Reply(body=EVENT, headers={"Content-Type": "text/event-stream"}),
    "a stream of nothing": Reply(body=b"\n", headers={"Content-Type": "text/event-stream"}),
    "half of an archive": Reply(body=gzip.compress(HALF)[:-12], headers=GZIP),
    "no archive": Reply(body=HALF, headers=GZIP),
    "no choices": Reply(body=b"{}"),
    "null": Reply(body=b"null"),
}


def patience(fault):
    """A timeout where one is met, and else one that a busy machine does not meet."""
    return {"model_timeout_s": 0.8 if fault in ENDLESS else 30}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_ends_without_an_answer_is_asked_again_by_the_sdk_alone(server, load, fault):
    server.script = [FAULTS[fault], GOOD]
    found = load(model_retries=1, **patience(fault)).recognize(draw("red", 99))
    assert (found.trace.parse_status, found.trace.degraded) == ("exact", False)
    assert len(server.requests) == 2
    assert server.requests[0] == server.requests[1]
    if fault == "429, Retry-After":
        assert server.times[1] - server.times[0] >= 1


@pytest.mark.parametrize("fault", [*FAULTS, *BODIES])
async def test_what_never_answers_leaves_retrieval_and_says_why(server, load, retrieved, fault):
    server.script = [(FAULTS | BODIES)[fault]]
    recognizer = load(**patience(fault))
    for found in (
        recognizer.recognize(draw("red", 99)),
        await recognizer.arecognize(draw("red", 99)),
    ):
        assert names_of(found) == retrieved
        assert found.trace.degraded
        assert found.trace.reason.startswith("Model 'openai:m' at http://127.0.0.1")
        assert found.trace.parse_status == "not_asked"
    assert len(server.requests) == 2


def by_name(*names):
    """A model that answers with the letters of names."""

    def answer(request):
        letters = {name: letter for letter, name in options_of(request).items()}
        return Reply(json.dumps({"ranking": [letters.get(name, name) for name in names]}))

    return answer


SAID = {
    "refusal": (Reply("no", refusal="I will not."), "degraded"),
    "empty": (Reply(""), "degraded"),
    "nothing": (Reply(None), "degraded"),
    "blank": (Reply(" \n"), "degraded"),
    "wrong letters": (Reply('{"ranking": ["X", "Y", "Z"]}'), "degraded"),
    "other talk": (Reply("What a beautiful photo!"), "degraded"),
    "cut by length": (Reply('{"ranking": ["B", "A', finish="length"), "repaired"),
    "cut before it began": (Reply('{"ranking": [', finish="length"), "degraded"),
    "prose": (Reply("I think B fits best, then D."), "repaired"),
    "fences": (Reply('```json\n{"ranking": ["B", "A", "C", "D", "E"]}\n```'), "exact"),
    "invented": (Reply('{"ranking": ["B", "Dodo", "A", "C", "D", "E"]}'), "repaired"),
    "duplicated": (Reply('{"ranking": ["B", "B", "A", "C", "D", "E"]}'), "repaired"),
    "too few": (Reply('{"ranking": ["B"]}'), "repaired"),
    "another language": (Reply("答案是 B，其次是 A。"), "repaired"),
    "a name with an apostrophe": (Reply("It is O'Hara-Smith's warbler (old)."), "repaired"),
    "a name with a comma": (Reply("Spatz, gewöhnlicher"), "repaired"),
    "a name with brackets": (Reply('1. the "King" [of birds], crowned\n2. 麻雀'), "repaired"),
}


@pytest.mark.parametrize("said", SAID)
def test_whatever_is_said_no_candidate_is_lost(server, load, retrieved, said):
    reply, expected = SAID[said]
    server.script = [reply]
    found = load(k=6).recognize(draw("red", 99))
    trace = found.trace
    assert sorted(names_of(found)) == sorted(NAMES)
    assert sum(c.probability for c in found.categories) == pytest.approx(
        sum(c.retrieval_probability for c in found.categories)
    )
    assert trace.usage.input_tokens == 300  # it was paid for, whatever came of it
    if expected == "degraded":
        assert (trace.degraded, trace.parse_status) == (True, "failed")
        assert trace.reason.startswith("the model's answer names none of the options")
        assert names_of(found)[: len(retrieved)] == retrieved
    else:
        assert (trace.degraded, trace.parse_status) in [(False, "repaired"), (False, expected)]


def test_names_in_json_are_read_whatever_is_in_them(server, load):
    server.script = [Reply(json.dumps({"ranking": list(NAMES)}, ensure_ascii=False))]
    assert load(k=6).recognize(draw("red", 99)).trace.parse_status == "exact"


async def test_no_answer_of_another_image_is_used(server, load):
    """60 calls at once, each image with an answer of its own, every third request faulty."""
    chance = random.Random(5)

    def answer(request):
        if chance.random() < 1 / 3:
            reply = chance.choice(list(FAULTS.values()))
            if reply.headers.get("Retry-After") or reply.delay_s:
                reply = Reply(status=503, headers={"retry-after-ms": "20"})
            return reply
        (picture,) = pictures_of(request)
        names = sorted(options_of(request).values())
        random.Random(sha256(picture).hexdigest()).shuffle(names)
        return by_name(*names)(request)

    server.answer = answer
    ranker = load(k=6, model_retries=1, **patience("drip")).services.ranker
    candidates = [_candidate(name, n) for n, name in enumerate(NAMES)]
    images = [draw("red", 1_000 + n) for n in range(60)]
    rankings = await asyncio.gather(
        *(ranker.arank(image, candidates, n) for n, image in enumerate(images)),
        return_exceptions=True,
    )
    answered = 0
    for image, ranking in zip(images, rankings, strict=True):
        if isinstance(ranking, Exception):
            assert "failed" in str(ranking)
            continue
        answered += 1
        expected = sorted(NAMES)
        random.Random(sha256(to_picture(image).jpeg).hexdigest()).shuffle(expected)
        assert [NAMES[position] for position in ranking.order] == expected
    assert answered > 30


def _candidate(name, place):
    return Candidate(
        category=Category(name=name),
        score=-1.0 - place,
        probability=0.3 / (place + 1),
        evidence=("image",),
    )


def test_what_was_paid_before_a_later_question_failed_is_counted(server, load):
    """Two orders are asked; one answer has its letter, the other is cut, and then fails."""
    given = {"A": -0.1, "B": -3.0, "C": -4.0, "D": -5.0, "E": -6.0}
    cut = Reply("Hm", finish="length", logprobs={"Hm": -0.01})
    first = []

    def answer(request):
        if not request.get("logprobs"):
            return Reply(status=500)
        first.append(request)
        return Reply("A", logprobs=given, finish="length") if len(first) == 1 else cut

    server.answer = answer
    trace = load(ranker="choice", orders=2).recognize(draw("red", 99)).trace
    assert (trace.degraded, trace.parse_status) == (False, "repaired")
    assert trace.usage.input_tokens == 600
    server.answer = None
    server.script = [cut, Reply(status=500)]
    trace = load(ranker="choice").recognize(draw("red", 99)).trace
    assert (trace.degraded, trace.parse_status, trace.usage.input_tokens) == (True, "failed", 300)


def test_a_batch_has_a_result_for_each_image_whatever_happens(server, load):
    chance = random.Random(3)
    replies = [*FAULTS.values(), *(reply for reply, _ in SAID.values()), GOOD]
    quick = [r for r in replies if not r.delay_s and "Retry-After" not in r.headers]
    server.answer = lambda _: chance.choice(quick)
    images = [draw(colour, 300 + n) for n in range(4) for colour in COLOURS]
    results = load(**patience("drip")).recognize_batch(images)
    assert len(results) == len(images)
    for found in results:
        assert isinstance(found, Recognition)
        assert len(set(names_of(found))) == 5
        assert found.trace.degraded == (found.trace.parse_status in ("failed", "not_asked"))
        assert bool(found.trace.reason) == found.trace.degraded
