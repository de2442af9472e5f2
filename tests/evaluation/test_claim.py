"""The paper's claim as a suite: retrieval, a model alone, and both, among ever more categories."""

import json

import pytest

from rar_agent.evaluation.publish import publish
from rar_agent.evaluation.run import prepare_run
from rar_agent.evaluation.suite import Suite
from rar_agent.settings import load_settings
from tests.conftest import COLOURS
from tests.evaluation.seeing import colour_of
from tests.openai_server import Reply, options_of


def sees(request):
    """Right whenever the colour is among the options; billed by the word."""
    seen, words = colour_of(request), len(str(request["messages"][-1]["content"][0]).split())
    options = options_of(request)
    if options:
        letters = sorted(options, key=lambda letter: options[letter] != seen)
        return Reply(json.dumps({"ranking": letters}), usage=(words, 10))
    return Reply(json.dumps({"names": [seen, *COLOURS]}), usage=(words, 10))


@pytest.fixture
def run(drawings, server, tmp_path):
    server.answer = sees
    suite = Suite(
        name="claim",
        dataset={"images": str(drawings.test[0].file.parents[2])},
        protocol={"kind": "categories", "counts": [2, 6], "shots": 1, "seeds": [1]},
        memory={"encoder": "builtin"},
        k=2,
        ranker={"model": "openai:test-model", "base_url": server.url},
        metrics=["top-1", "input tokens", "cost"],
        limit=8,
    )
    prices = {"openai:test-model": {"input": 1.0, "output": 2.0}}
    settings = load_settings(home=tmp_path / "home", device="cpu", prices=prices)
    prepared = prepare_run(suite, settings, tmp_path / "out")
    assert prepared.go_on().failed == 0
    return publish(prepared.folder, settings)


def test_accuracy_tokens_and_money_of_each_way(run):
    found = {(m.way, m.cell, m.name): m for m in run.metrics if m.value is not None}
    few, many = "2 categories", "6 categories"
    for way in ("knn", "retrieval", "ranked", "alone"):
        assert {(way, cell, "top-1") in found for cell in (few, many)} == {True}
    assert found["alone", few, "top-1"].value == found["alone", many, "top-1"].value == 1.0
    bound = found["retrieval", many, "recall@k"].value
    assert found["ranked", many, "top-1"].value <= bound
    alone = [found["alone", cell, "input tokens"].value for cell in (few, many)]
    ranked = [found["ranked", cell, "input tokens"].value for cell in (few, many)]
    assert alone[1] >= alone[0] + 4  # four more lines to read
    assert ranked[0] == ranked[1]  # two candidates, of however many
    dollars = found["alone", many, "cost"].value
    assert dollars == pytest.approx(1e3 * (alone[1] * 1.0 + 10 * 2.0) / 1e6)


def test_the_page_draws_them(run):
    page = run.paths.html.read_text("utf-8")
    for title in (
        "Accuracy by categories that are known",
        "Tokens by categories that are known",
        "Cost against accuracy",
    ):
        assert title in page
    summary = run.paths.markdown.read_text("utf-8")
    assert summary.index("top-1") < summary.index("input tokens") < summary.index("cost")
