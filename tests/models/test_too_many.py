"""Servers that take few pictures in a request: the messages are those of the servers named."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.errors import ProviderError
from rar_agent.images import to_picture
from rar_agent.models import Question, load_chat_model
from rar_agent.models.oversize import pictures_of as pictures_in
from rar_agent.models.too_many import fewer
from rar_agent.prompts import Message, load_prompt
from rar_agent.ranking import ListwiseRanker
from rar_agent.settings import load_settings
from rar_agent.types import Candidate, Category, Exemplar
from tests.conftest import draw
from tests.openai_server import Reply, pictures_of, size_of

# With {most} pictures taken, {sent} sent.
TOLD = {
    "vLLM, older": (400, "At most {most} image(s) may be provided in one request."),
    "vLLM": (400, "At most {most} image(s) may be provided in one prompt."),
    "vLLM, some models": (
        400,
        "You set image={most} (or defaulted to 1) in `--limit-mm-per-prompt`, but passed {sent} "
        "image items in the same prompt.",
    ),
    "Anthropic": (400, "messages: too many images and documents: {sent} + 0 > {most}"),
    "Anthropic, another": (400, "Too much media: 0 document pages + {sent} images > {most}"),
    "OpenAI": (400, "Too many images in request. Max is {most}."),
    "GitHub": (
        413,
        "Too many images in request: {sent} images provided, but the model supports a maximum of "
        "{most} images.",
    ),
    "Groq": (400, "Too many images provided. This model supports up to {most} images"),
    "a proxy": (
        400,
        "request contains {sent} images, exceeding the maximum of {most} allowed per request",
    ),
}
ONE = {
    "Ollama": (500, "vision model only supports a single image per message"),
    "Ollama, Mllama": (
        500,
        "this model only supports one image while more than one image requested",
    ),
}
UNTOLD = {"one": (400, "Too many images."), "another": (400, "Max images exceeded")}


def picture(seed):
    return to_picture(draw("red", seed, 64))


def chat(server, **options):
    return load_chat_model(
        load_settings(base_url=server.url, model="m", model_retries=0, **options)
    )


def takes(server, most, status, said):
    """Let a server take so many pictures."""

    def answer(request):
        sent = len(pictures_of(request))
        if sent <= most:
            return Reply("A > B > C")
        message = said.format(most=most, sent=sent)
        body = json.dumps({"error": {"message": message, "code": status}})
        return Reply(status=status, body=body.encode())

    server.answer = answer


@pytest.fixture
def ranker(server):
    """Of three categories with two exemplars each."""
    candidates = [
        Candidate(
            category=Category(name=name),
            score=-1.0,
            probability=0.3,
            evidence=("image",),
            exemplars=tuple(
                Exemplar(entry=2 * number + n, source=f"{name}-{n}.png", similarity=0.5)
                for n in range(2)
            ),
        )
        for number, name in enumerate(("red", "green", "blue"))
    ]

    def rank(**options):
        model, home = chat(server, **options), load_settings().home
        prompt = load_prompt("rank-exemplars@1", home)
        found = ListwiseRanker(
            model, prompt, "colours", exemplar_image=lambda one: draw("red", one.entry, 64)
        )
        return found.rank(draw("red", 50, 600), candidates, 0)

    return rank


def counts(server):
    return [len(pictures_of(request)) for request in server.requests]


@pytest.mark.parametrize("name", TOLD)
def test_what_a_server_says_is_learnt(server, ranker, name):
    takes(server, 4, *TOLD[name])
    assert ranker().parse_status == "exact"
    assert counts(server) == [7, 4]  # the photo, and one exemplar of each
    server.requests.clear()
    assert ranker().parse_status == "exact"
    assert counts(server) == [4]
    assert {"temperature"} <= set(server.requests[-1])  # nothing else is blamed for it


@pytest.mark.parametrize("name", ONE)
def test_a_server_that_takes_one(server, ranker, name):
    takes(server, 1, *ONE[name])
    assert ranker().parse_status == "exact"
    assert counts(server) == [7, 1]


@pytest.mark.parametrize("name", UNTOLD)
@pytest.mark.parametrize(("most", "asked"), [(4, [7, 4]), (3, [7, 4, 1])])
def test_a_server_that_does_not_say_how_many(server, ranker, name, most, asked):
    takes(server, most, *UNTOLD[name])
    assert ranker().parse_status == "exact"
    assert counts(server) == asked


def test_a_picture_that_cannot_be_left_out(server):
    takes(server, 1, *TOLD["vLLM, older"])
    question = Question((Message("user", ("Which?", picture(1), picture(2))),))
    with pytest.raises(ProviderError, match="2 cannot be left out: take another prompt") as caught:
        chat(server).ask(question)
    assert "At most 1 image(s)" in caught.value.message
    assert counts(server) == [2]
    takes(server, 0, *TOLD["vLLM"])
    with pytest.raises(ProviderError, match="1 cannot be left out"):
        chat(server).ask(Question((Message("user", ("Which?", picture(1))),)))


def test_too_many_and_too_large(server, ranker):
    """One is learnt after the other, and neither for the other."""

    def answer(request):
        if len(pictures_of(request)) > 4:
            return refusal("At most 4 image(s) may be provided in one request.")
        if max(max(size_of(one)) for one in pictures_of(request)) > 300:
            return refusal("Context size has been exceeded.")
        return Reply("A > B > C")

    def refusal(said):
        return Reply(status=400, body=json.dumps({"error": {"message": said}}).encode())

    server.answer = answer
    assert ranker().parse_status == "exact"
    assert counts(server) == [7, 4, 4, 4]
    known = chat(server).capabilities
    assert known.known.most == 4
    assert known.side(4) == known.side(7) is not None
    assert known.side(3) is None


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_each_option_keeps_as_many_as_there_is_room_for(exemplars, most):
    spare, photo = replace(picture(1), optional=True), picture(9)
    options = [part for many in exemplars for part in ("option", *[spare] * many)]
    question = Question((Message("user", (*options, "photo", photo)),))
    fitted = fewer(question, most)
    assert (fitted is question) == (most > sum(exemplars))
    told = "".join("." if part == spare else str(part) for part in fitted.messages[0].parts)
    kept = [text.count(".") for text in told.partition("photo")[0].split("option")[1:]]
    each = max(kept)
    assert kept == [min(many, each) for many in exemplars]
    assert sum(kept) < max(1, most)
    assert kept == exemplars or sum(min(many, each + 1) for many in exemplars) >= most
    assert pictures_in(fitted)[-1] == photo
