"""Prompts judged: on equal images and candidates, by a model over HTTP."""

import json

import pytest

from rar_agent.errors import InputError, NotFoundError
from rar_agent.evaluation.judge import prepare_trial
from rar_agent.evaluation.run import read_run
from rar_agent.evaluation.suite import Suite
from rar_agent.settings import load_settings
from tests.evaluation.seeing import colour_of
from tests.openai_server import Reply, options_of

PROMPT = """
name: mine
version: 1
description: A user's own.
system: Mine.
user: |
  {{#options}}
  {{{letter}}}. {{{name}}}
  {{/options}}
  Answer {"ranking": [{{{example}}}]}
output: ranking
"""


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home" / "prompts" / "mine"
    folder.mkdir(parents=True)
    (folder / "1.yaml").write_text(PROMPT)
    return tmp_path / "home"


@pytest.fixture
def suite(drawings, server):
    images = str(drawings.test[0].file.parents[2])
    return Suite(
        name="discs",
        title="Discs <b>",
        dataset={"images": images, "caution": "only discs"},
        protocol={"shots": [1], "seeds": [1]},
        memory={"encoder": "builtin"},
        k=3,
        ranker={"model": "test-model", "base_url": server.url},
        ways=("retrieval", "ranked"),
        limit=12,
    )


def answers(request):
    """Right with the user's prompt; with the other one, by the letter alone."""
    options = options_of(request)
    letters = sorted(options)
    if request["messages"][0]["content"].startswith("Mine."):
        letters.sort(key=lambda letter: options[letter] != colour_of(request))
    return Reply(json.dumps({"ranking": letters}))


def trial(suite, home, out, prompts=("rank@1", "mine@1")):
    settings = load_settings(home=home, device="cpu", cache_mb=10)
    return prepare_trial(suite, prompts, settings, out, "rar x")


def test_equal_images_and_candidates_a_price_and_a_page(suite, home, tmp_path, server):
    server.answer = answers
    first = trial(suite, home, tmp_path / "out")
    assert server.requests == []
    assert first.go_on() == 0
    assert len(server.requests) == 24
    paths, found = first.judge()
    rank, mine = (read_run(run.folder)[1] for run in first.runs.values())
    assert [r.retrieval for r in rank] == [r.retrieval for r in mine]
    assert {r.ranking.prompt for r in mine} == {"mine@1"}
    [comparison] = found.comparisons
    assert (comparison.all.pairs, comparison.other_candidates) == (12, 0)
    assert found.judged[1].spent.tokens == 312
    assert found.choice is None
    assert "stay with rank@1" in found.reason

    page, short, whole = (path.read_text() for path in paths)
    assert "Discs &lt;b&gt;: rank@1, mine@1" in page
    assert "http" not in page.split("How it was made")[0].replace("http-equiv", "")
    for part in (
        "only discs",
        "+system: Mine.",
        "data:image/jpeg",
        ", wrong",
        "mine@1: right",
        "rar x",
    ):
        assert part in page
    assert found.reason in short.replace("\\", "")
    assert json.loads(whole)["recommendation"]["choice"] is None

    again = trial(suite, home, tmp_path / "out")
    assert again.go_on() == 0
    assert len(server.requests) == 24
    more = suite.model_copy(update={"limit": 18})
    assert trial(more, home, tmp_path / "more").go_on() == 0
    assert len(server.requests) == 36  # of twelve images each, what was answered is kept


def test_what_cannot_be_judged_is_refused_before_anything_is_asked(suite, home, tmp_path, server):
    def refused(kind, *prompts, **ranker):
        own = suite.ranker.model_copy(update=ranker)
        with pytest.raises(kind) as caught:
            trial(suite.model_copy(update={"ranker": own}), home, tmp_path, prompts)
        return str(caught.value)

    assert "each once" in refused(InputError, "rank@1")
    assert "each once" in refused(InputError, "rank@1", "rank@1")
    assert "simulated:0.8, which reads no prompt" in refused(
        InputError, "rank@1", "mine@1", model="simulated:0.8"
    )
    assert "none, which reads no prompt" in refused(InputError, "rank@1", "mine@1", model=None)
    assert "which no ranker reads" in refused(InputError, "rank@1", "agent@1")
    assert "rank@7" in refused(NotFoundError, "rank@1", "rank@7")
    assert server.requests == []


def test_prompts_of_another_way_and_failed_rankings_are_said(suite, home, tmp_path, server):
    def half(request):
        mine = request["messages"][0]["content"].startswith("Mine.")
        return answers(request) if mine else Reply(status=400)

    server.answer = half
    asked = trial(suite, home, tmp_path, ("mine@1", "choice@1"))
    assert asked.runs["choice@1"].described["suite"]["ranker"]["way"] == "choice"
    asked.go_on()
    page = asked.judge()[0].html.read_text()
    assert "choice@1 does not fit listwise ranking" in page
    assert "choice@1: 12 rankings failed" in page
