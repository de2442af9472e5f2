"""What a probe finds of servers that differ."""

import json

import pytest

from rar_agent.errors import ProviderError
from rar_agent.models.probe import probe, unreachable
from tests.models.test_differences import chat, sides, takes
from tests.openai_server import Reply

SEES = {"A": -0.1, "B": -2.0}


def found(server, **options):
    """Findings by what was looked at, as the next process reads them."""
    probe(chat(server, **options), 300)
    known = chat(server, **options).capabilities.known
    return {finding.what: (finding.found, bool(finding.fix)) for finding in known.probed}


def obedient(request):
    """A server that does all that it is asked."""
    form = request.get("response_format")
    if form:
        [key] = form["json_schema"]["schema"]["required"]
        return Reply(json.dumps({key: "A"}), usage=(90, 9))
    return Reply("A", logprobs=SEES, usage=(90, 1))


def test_a_server_that_does_all(server):
    server.answer = obedient
    usage = probe(chat(server, prices={"test-model": {"input": 1, "output": 0}}), 300)
    assert (usage.input_tokens, usage.cost) == (360, pytest.approx(0.00036))
    assert sides(server) == [64, 64, 64, 300]
    server.requests.clear()
    assert found(server) == {
        "pictures": ("seen: red is called red", False),
        "largest picture": ("300 pixels a side, as RAR_IMAGE_SIDE says", False),
        "temperature": ("0 taken", False),
        "JSON schema": ("kept to", False),
        "log-probabilities": ("told: 2 alternatives", False),
    }
    assert not chat(server).capabilities.refused


def test_a_server_that_ignores_what_it_does_not_know(server):
    server.ignores_logprobs = True
    server.script = [Reply("A")]
    what = found(server)
    assert what["JSON schema"] == ("taken, and ignored: no harm done", False)
    assert what["log-probabilities"] == ("taken, and not told", True)
    model = chat(server)
    assert not model.takes("logprobs")  # which choice would pay for in vain
    assert model.takes("schema")


def test_a_model_that_thinks_first(server):
    server.script = [Reply("A", usage=(90, 448), logprobs={"<think>": -0.1})]
    what = found(server)
    assert "448 tokens for a letter" in what["thinking"][0]
    assert what["log-probabilities"] == ("of another beginning than the letter: '<think>'", True)
    assert what["limit on tokens"] == ("ignored: 448 for a letter", False)
    assert not chat(server).takes("logprobs")


def test_a_server_that_refuses(server):
    server.script = [Reply("A", logprobs=SEES)]
    server.refuses = {"temperature", "response_format", "logprobs"}
    what = found(server)
    assert what["temperature"] == ("refused", False)
    assert "not taken" in what["JSON schema"][0]
    assert what["log-probabilities"] == ("refused", True)
    assert chat(server).capabilities.refused == {"temperature", "schema", "logprobs"}
    server.refuses = set()  # it was brought up to date
    server.answer = obedient
    assert found(server)["temperature"] == ("0 taken", False)
    assert not chat(server).capabilities.refused


def test_the_largest_picture(server):
    server.answer = takes(150 * 150)
    assert found(server)["largest picture"] == ("133 pixels a side: larger ones are shrunk", False)
    assert chat(server).capabilities.side(1) == 133


@pytest.mark.parametrize("says", ["image input is not supported", "is not a multimodal model"])
def test_a_model_that_takes_no_pictures(server, says):
    server.answer = takes(0, 500, says)
    what = found(server)
    assert says in what["pictures"][0]
    assert what["pictures"][1]
    assert list(what) == ["pictures"]


def test_a_model_that_does_not_look_at_pictures(server):
    server.script = [Reply("I see no picture.")]
    assert found(server)["pictures"] == ("taken, but red is called 'I see no picture.'", True)


def test_a_server_that_answers_nothing(server):
    model = chat(server)
    model.capabilities.refuse(["schema"])
    server.script = [Reply(status=500)]
    with pytest.raises(ProviderError, match="500"):
        probe(model, 300)
    assert chat(server).capabilities.refused == {"schema"}  # it is not forgotten for that


def test_names_that_servers_know_by_others(server):
    server.models = ["test-model:latest"]
    assert unreachable(chat(server)) is None
    server.models = ["/models/any.gguf"]
    assert "no 'test-model'" in unreachable(chat(server))
    server.owner = "llamacpp"
    assert unreachable(chat(server)) is None
    server.models = None  # the route is not there
    assert unreachable(chat(server)) is None


def test_the_list_is_asked_for_without_telling_of_this_machine(server):
    assert unreachable(chat(server)) is None
    [received] = server.received
    assert b"user-agent" in received.lower()
    for what in (b"os", b"arch", b"runtime"):
        assert b"x-stainless-" + what not in received.lower()
