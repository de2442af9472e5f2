"""A memory of guessed names: by a model over HTTP, to the report's cACC."""

import json

import pytest

from rar_agent.errors import InputError, ProviderError
from rar_agent.evaluation.publish import publish
from rar_agent.evaluation.run import prepare_run, read_run
from rar_agent.evaluation.suite import Suite
from rar_agent.memory import open_memory
from rar_agent.settings import load_settings
from tests.conftest import COLOURS
from tests.evaluation.seeing import colour_of
from tests.openai_server import Reply

GUESSES = {"red": "Crimson Spot", "green": "leaf dot", "blue": "sky dot"}
"""What the model calls some colours, which nobody told it; the others by their name."""


@pytest.fixture
def prepare(drawings, server, tmp_path):
    images = str(drawings.test[0].file.parents[2])

    def make(model="test-model", out="out"):
        suite = Suite(
            name="free",
            dataset={"images": images, "domain": "coloured discs"},
            protocol={"kind": "vocabulary-free", "images": 2, "seeds": [1]},
            memory={"encoder": "builtin", "texts": False},
            ranker={"model": model, "base_url": server.url},
            ways=["knn", "retrieval", "alone"],
            limit=12,
        )
        settings = load_settings(home=tmp_path / "home", device="cpu")
        return prepare_run(suite, settings, tmp_path / out), settings

    return make


def guess(request):
    seen = colour_of(request)
    return Reply(json.dumps({"name": GUESSES.get(seen, f"{seen} dot")}))


def test_names_are_guessed_learnt_and_measured(prepare, server, tmp_path):
    server.answer = guess
    run, settings = prepare()
    assert run.go_on().failed == 0
    memory = open_memory(tmp_path / "out" / "memories", "vocabulary-free-seed1")
    names = {category.name for category in memory.categories}
    assert {"Crimson Spot", "leaf dot", "sky dot"} < names
    assert not names & set(COLOURS)  # no label reached it
    _, records, _ = read_run(run.folder)
    assert {record.truth for record in records} == set(COLOURS)
    assert all(record.alone.names[0] in names for record in records)
    assert records[0].asked_alone.prompt == "guess@1"
    found = {
        (one.way, one.name): one
        for one in publish(run.folder, settings).metrics
        if one.cell == "vocabulary-free"
    }
    for way in ("knn", "retrieval", "alone"):
        assert found[way, "top-1"].value == 0  # no guess is a published name
    assert found["alone", "cACC"].value == 1.0  # it calls each colour one thing
    assert found["retrieval", "cACC"].value > 0.9
    assert 0.2 < found["alone", "sACC"].value < 0.95
    asked = len(server.requests)
    again, _ = prepare()
    assert again.go_on().known == 12
    assert len(server.requests) == asked


def test_what_was_guessed_is_kept_where_the_model_fails(prepare, server, tmp_path):
    calls = []

    def sometimes(request):
        calls.append(request)
        return guess(request) if len(calls) < 6 else Reply(status=400)

    server.answer = sometimes
    run, _ = prepare()
    with pytest.raises(ProviderError, match="of 12 images have no guessed name"):
        run.go_on()
    kept = (tmp_path / "out" / "memories" / "vocabulary-free-seed1.guesses.jsonl").read_text()
    done = sum('"failed": false' in line for line in kept.splitlines())
    assert done == 5
    server.answer = guess
    before = len(server.requests)
    assert prepare()[0].go_on().failed == 0
    assert len(server.requests) - before == (12 - done) + 12  # guesses, and the test images


def test_somebody_has_to_guess(prepare, server):
    with pytest.raises(InputError, match="simulated:1, which guesses no names"):
        prepare("simulated:1", "other")[0].go_on()
    server.script = [Reply("I do not know what this could be, nor would I want to say anything.")]
    with pytest.raises(InputError, match="No name could be read in 12 answers"):
        prepare()[0].go_on()
