"""recognize --explain: what it shows is what a server gets, and a server gets nothing else."""

import asyncio
import base64
import getpass
import hashlib
import json
import re
import shutil

import pytest
from PIL import Image

from rar_agent import Recognizer
from rar_agent.explained import listed as words_for
from rar_agent.explained import options_of
from rar_agent.graph.preview import watched
from rar_agent.settings import load_settings
from tests.conftest import draw
from tests.openai_server import Reply, pictures_of

SECRETS = ("where-i-live", "who-i-am", "my-screen", "holiday-with-eve", "Users-eve")


@pytest.fixture
def photo(tmp_path):
    """A photo that tells much about its owner, by its name too."""
    folder = tmp_path / "Users-eve"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x010E] = "where-i-live"
    exif[0x013B] = "who-i-am"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    path = folder / "holiday-with-eve.jpg"
    draw("red", 99, 200).save(path, exif=exif, icc_profile=b"my-screen", comment=b"who-i-am")
    return path


@pytest.fixture
def asked(colours, server, monkeypatch):
    """Settings of a model that is always asked."""
    monkeypatch.setenv("RAR_MEMORY", "colours")
    monkeypatch.setenv("RAR_SKIP_RANKING_AT", "1.01")
    monkeypatch.setenv("RAR_MODEL", "m")
    monkeypatch.setenv("RAR_BASE_URL", server.url)
    server.script = [Reply("A", logprobs={"A": -0.1, "B": -2.5})]
    return server


def texts_of(request):
    found = []
    for message in request["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        found += [block["text"] for block in blocks if block["type"] == "text"]
    return found


@pytest.mark.parametrize(
    ("prompt", "ranker", "options"),
    [
        ("rank@1", "listwise", {}),
        ("choice@1", "choice", {"reasoning_effort": "low"}),
        ("rank-exemplars@1", "listwise", {}),
        ("pairwise@1", "pairwise", {}),
    ],
)
def test_what_is_shown_is_what_is_sent(asked, photo, prompt, ranker, options):
    settings = load_settings(prompt=prompt, ranker=ranker, model_options=options, device="cpu")
    recognizer = Recognizer(settings=settings)
    with watched(recognizer.services) as seen:
        recognizer.recognize(photo)
    sent = sorted(asked.requests, key=lambda request: texts_of(request))
    shown = sorted(
        seen.exchanges,
        key=lambda e: [p for m in e.question.messages for p in m.parts if isinstance(p, str)],
    )
    assert len(sent) == len(shown) == (2 if ranker == "pairwise" else 1)
    for request, exchange in zip(sent, shown, strict=True):
        parts = [part for message in exchange.question.messages for part in message.parts]
        assert texts_of(request) == [part for part in parts if isinstance(part, str)]
        assert pictures_of(request) == [part.jpeg for part in parts if not isinstance(part, str)]
        beside = {k: v for k, v in request.items() if k not in ("messages", "model", "stream")}
        assert beside == {**options_of(exchange), **seen.options}
        assert (request["model"], request["stream"]) == ("m", False)
    assert seen.options == options


def test_what_is_printed_is_what_is_sent(rar, asked, photo, tmp_path):
    page = tmp_path / "page.html"
    done = rar("recognize", photo, "--explain", "--ranker", "choice", "--html", page)
    assert done.status == 0, done.err
    [request] = asked.requests
    [picture] = pictures_of(request)
    for text in texts_of(request):
        assert text.strip() in done.out
    digest = hashlib.sha256(picture).hexdigest()[:12]
    assert re.search(rf"JPEG 200x200, [\d.]+ kB, no metadata, sha256 {digest}", done.out)
    assert f"1 request to openai:m at {asked.url}/ (this machine)" in done.out
    assert "top_logprobs 20" in done.out
    assert "answer: 300+12 tokens, cost unknown, stop" in done.out
    assert "'A' -0.10, 'B' -2.50" in done.out
    shown = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page.read_text())
    assert [base64.b64decode(one) for one in shown] == [picture]


@pytest.mark.parametrize("prompt", ["rank@1", "rank-exemplars@1"])
def test_nothing_else_is_sent(rar, asked, photo, monkeypatch, prompt):
    monkeypatch.setenv("USER", "eve-the-user")
    assert rar("recognize", photo, "--prompt", prompt).status == 0
    [received] = asked.received
    request = asked.requests[-1]
    prompted = json.dumps(texts_of(request)).count("colours")  # a word of the prompt's, too
    assert received.count(b"colours") == prompted
    seen = received + b"".join(pictures_of(request)) + json.dumps(request).encode()
    for secret in (*SECRETS, "eve-the-user", str(photo.parent), b"Exif", b"ICC_PROFILE"):
        assert (secret if isinstance(secret, bytes) else secret.encode()) not in seen
    head = received.decode().split("\n\n")[0].splitlines()[1:]
    told = {line.partition(":")[0].casefold() for line in head}
    assert {name for name in told if not name.startswith("x-stainless-")} == {
        *("host", "accept", "accept-encoding", "connection", "content-type", "content-length"),
        *("authorization", "user-agent"),
    }
    assert not {f"x-stainless-{what}" for what in ("os", "arch", "runtime-version")} & told
    if getpass.getuser() != "root":  # a word that a prompt could hold
        assert getpass.getuser().encode() not in seen


def test_keys_among_the_options_are_not_shown(rar, asked, photo, monkeypatch):
    options = {"api_key": "sk-very-secret", "reasoning_effort": "low"}
    monkeypatch.setenv("RAR_MODEL_OPTIONS", json.dumps(options))
    done = rar("recognize", photo, "--explain")
    assert b"sk-very-secret" in asked.received[0]
    assert 'set for the model: api_key (not shown), reasoning_effort "low"' in done.out
    assert "sk-very-secret" not in done.out + done.err


def test_of_unknown_options_no_value_is_shown():
    options = {
        "azure_ad_token": "hidden",
        "aws_session_token": "hidden",
        "huggingfacehub_api_token": "hidden",
        "openai_proxy": "http://me:hidden@proxy",
        "default_headers": {"Authorization": "hidden"},
        "extra_body": {"api_key": "hidden", "chat_template_kwargs": {"enable_thinking": False}},
    }
    listed = words_for(options)
    assert "hidden" not in listed
    assert "chat_template_kwargs {enable_thinking false}" in listed


def test_what_went_is_shown_and_how_often(rar, asked, photo):
    asked.refuses = {"max_tokens"}
    again = Reply(status=429, headers={"retry-after-ms": "1"})
    asked.script = [again, Reply("A", logprobs={"A": -0.1, "B": -2.5})]
    done = rar("recognize", photo, "--explain", "--ranker", "choice")
    assert "3 requests to openai:m" in done.out
    assert re.search(r"request 2 of 2: .*, sent 2 times\n.*max_completion_tokens 3", done.out)
    last = asked.requests[-1]
    assert (last["max_completion_tokens"], "max_tokens" in last) == (3, False)


def test_what_was_refused_and_shrunk_is_shown_too(rar, asked, photo):
    asked.refuses = {"response_format"}
    done = rar("recognize", photo, "--explain")
    assert "2 requests" in done.out
    assert "--- no answer" in done.out
    assert "Unsupported parameter: 'response_format'" in done.out


def test_a_kept_answer_is_not_sent_again(rar, asked, photo, monkeypatch):
    monkeypatch.setenv("RAR_CACHE_MB", "5")
    rar("recognize", photo)
    done = rar("recognize", photo, "--explain")
    assert "Nothing was sent to openai:m: it answered this before." in done.out
    assert len(asked.requests) == 1
    assert "no metadata" in done.out


def test_why_a_model_was_not_asked(rar, asked, photo, monkeypatch):
    monkeypatch.setenv("RAR_SKIP_RANKING_AT", "0")
    done = rar("recognize", photo, "--explain")
    assert "Nothing was sent to openai:m: retrieval is calibrated and at least" in done.out
    assert asked.requests == []


def test_without_a_model_nothing_is_sent(rar, colours, photo):
    done = rar("recognize", photo, "--memory", "colours", "--explain")
    assert "Nothing was sent anywhere: no model is set" in done.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--explain", "--json"], "Give one of them"),
        (["--html", "page.html"], "Give --explain too"),
        (["--explain", "--html", "no/such/page.html"], "cannot be written"),
        (["--explain", "--example"], "--explain shows one image, not 2"),
    ],
)
def test_bad_ways_to_explain(rar, colours, photo, arguments, says):
    done = rar("recognize", photo, "--memory", "colours", *arguments)
    assert done.status == 2
    assert says in done.err


def test_a_model_in_this_process_sends_nothing_away(rar, colours, photo, tmp_path, monkeypatch):
    pytest.importorskip("transformers", reason="the extra local is not installed")
    from tests.models.local import tiny

    folder = tiny.build("qwen", tmp_path / "qwen")
    monkeypatch.setenv("RAR_SKIP_RANKING_AT", "1.01")
    asked = ("recognize", photo, "--memory", "colours", "--model", f"local:{folder}", "--explain")
    done = rar(*asked, "--ranker", "choice", "--k", "3")
    assert done.status == 0, done.err
    assert "in this process: nothing left this machine" in done.out
    assert 'scored ["A", "B"' in done.out
    assert re.search(r"'[ABC]' -\d", done.out)
    shutil.rmtree(folder)


def test_who_watches_sees_what_is_asked_there_and_nothing_of_others(asked):
    recognizer = Recognizer(device="cpu")

    async def one(seed):
        with watched(recognizer.services) as seen:
            found = await recognizer.arecognize(draw("red", seed))
        return found.image, [
            (found.image, part.jpeg)
            for exchange in seen.exchanges
            for message in exchange.question.messages
            for part in message.parts
            if not isinstance(part, str)
        ]

    async def both():
        return await asyncio.gather(one(1), one(2))

    asked.script = [Reply("A", delay_s=0.2)]
    (_, first), (_, second) = asyncio.run(both())
    assert len(first) == len(second) == 1
    assert first[0][1] != second[0][1]
    recognizer.recognize(draw("red", 3))  # watched by nobody
    assert len(first) == len(second) == 1
