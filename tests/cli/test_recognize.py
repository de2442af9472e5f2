"""recognize: coverage, error rates, branches, filters; and how answers look."""

import json

import numpy as np
import pytest
from PIL import Image

from rar_agent.cli import show
from rar_agent.types import Branch, Category, RankedCategory, Recognition, Trace
from tests.conftest import draw
from tests.openai_server import Reply


@pytest.fixture
def red(tmp_path):
    path = tmp_path / "it.png"
    draw("red", 99).save(path)
    return path


def answers(done):
    return [json.loads(line) for line in done.out.splitlines()]


def names(answer):
    return [ranked["category"]["name"] for ranked in answer["categories"]]


def test_branches_are_shown(rar, colours, red):
    done = rar("recognize", red, "--memory", "colours")
    assert done.status == 0, done.err
    first, *_ = (line for line in done.out.splitlines() if line.startswith("warm"))
    assert first.split()[-1] == "2"


def test_only_some_categories(rar, colours, red):
    asked = ("recognize", red, "--memory", "colours", "--json")
    assert names(answers(rar(*asked, "--only", "cold"))[0])[0] != "red"
    both = answers(rar(*asked, "--only", "blue", "--only", "warm"))[0]
    assert set(names(both)) == {"red", "orange", "blue"}
    assert set(names(answers(rar(*asked, "--where", "hot=true"))[0])) == {"red", "orange"}
    few = answers(rar(*asked, "--where", "letters=[4,5]", "--where", "hot=false"))[0]
    assert set(names(few)) == {"blue", "green", "black"}
    between = answers(rar(*asked, "--where", 'letters={"min": 6}'))[0]
    assert set(names(between)) == {"orange", "purple"}


def test_a_coverage_and_an_error_rate(rar, colours, red):
    asked = ("recognize", red, "--memory", "colours", "--json")
    sure = answers(rar(*asked, "--coverage", "0.9"))[0]
    assert names(sure)[0] == "red"
    assert len(names(sure)) < 5
    assert answers(rar(*asked, "--error-rate", "0.1"))[0]["decision"] == "accepted"
    refused = answers(rar(*asked, "--error-rate", "0.001"))[0]
    assert refused["decision"] == "abstained"
    assert "cannot be promised" in refused["trace"]["abstained"]


def test_what_has_no_such_metadata(rar, colours, red):
    rar("memory", "update", "colours", "blue", "--set", "hot=", "--set", "letters=")
    asked = ("recognize", red, "--memory", "colours", "--json")
    assert names(answers(rar(*asked, "--where", "letters="))[0]) == ["blue"]
    some = names(answers(rar(*asked, "--where", "letters=[3,null]"))[0])
    assert set(some) == {"red", "blue"}


def test_under_a_filter_nothing_is_promised(rar, colours, red):
    asked = ("recognize", red, "--memory", "colours")
    said = "note: under a filter nothing is promised: calibration, error rates and coverages"
    assert said not in rar(*asked).err
    for narrowed in (["--only", "cold"], ["--where", "hot=true"], ["--only", "warm", "--json"]):
        assert said in rar(*asked, *narrowed).err
    for colour in ("orange", "blue", "green"):
        rar("memory", "remove", "colours", colour, "--no-fit")  # and no longer calibrated
    assert said not in rar(*asked, "--only", "warm").err


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--only", "loud"], 2, "no branch or category 'loud'"),
        (["--where", "hot"], 2, "Write --where key=value"),
        (["--where", "hot=maybe"], 2, "No category passes the filter --where hot=maybe."),
        (["--where", "hto=true"], 2, "No category has metadata 'hto'.\n  fix: Did you mean hot?"),
        (["--where", "hto="], 2, "Did you mean hot?"),
        (
            ["--only", "warm", "--where", "hot=false"],
            2,
            "No category passes the filter --only warm --where hot=false.",
        ),
        (["--coverage", "1"], 3, "Setting 'coverage'"),
        (["--coverage", "95"], 2, "Did you mean 0.95?"),
        (["--error-rate", "5"], 2, "Did you mean 0.05?"),
        (["--error-rate", "0"], 3, "Setting 'error_rate'"),
        (["--coverage", "0.9", "--k", "3"], 2, "--coverage takes the place of --k"),
        (["--coverage", "0.9", "--method", "knn"], 2, "no candidate set can be promised"),
    ],
)
def test_bad_values(rar, colours, red, arguments, status, says):
    done = rar("recognize", red, "--memory", "colours", *arguments)
    assert (done.status, done.out) == (status, "")
    assert says in done.err


def test_the_sheet_shows_thumbnails_of_files_that_have_gone(rar, colours, red, tmp_path):
    done = rar("recognize", red, "--memory", "colours", "--k", "1", "--sheet", "sheet.png")
    assert done.status == 0, done.err
    cell = np.asarray(Image.open(tmp_path / "sheet.png").crop((188, 10, 356, 178)))
    assert (cell[..., 0].astype(int) - cell[..., 2] > 150).mean() > 0.1  # red discs


def recognition(**changes):
    trace = Trace(
        memory="birds",
        generation=1,
        encoder="e",
        device="cpu",
        precision="fp32",
        method="gda",
        calibrated=True,
        probability_means="calibrated",
        ranker="none",
        abstained="not sure enough: 0.41 is under 0.80",
    )
    warblers = Branch(name="warblers", probability=0.94, categories=30)
    ranked = RankedCategory(
        category=Category(name="pine warbler"),
        probability=0.41,
        retrieval_probability=0.41,
        evidence=("image",),
    )
    fields = {
        "image": "0" * 64,
        "source": "it.png",
        "decision": "abstained",
        "categories": (ranked,),
        "branches": (warblers, Branch(name="passerines", probability=0.991, categories=400)),
        "branch": warblers,
        "familiarity": 0.02,
        "trace": trace,
    }
    return Recognition(**{**fields, **changes})


def printed(part, capsys):
    show.out.print(part)
    return capsys.readouterr().out


def test_an_abstained_answer_says_what_is_sure(capsys):
    shown = printed(show.one(recognition()), capsys)
    assert "not sure which, but: warblers 94.0 %" in shown
    assert "unusual: only 2.0 % of known images" in shown
    assert "abstained, but: warblers 94.0 %" in printed(show.many([recognition()]), capsys)
    usual = printed(show.one(recognition(familiarity=0.4, branch=None, branches=())), capsys)
    assert "unusual" not in usual
    assert "branch" not in usual


def test_no_candidates_at_all(capsys):
    nothing = recognition(categories=(), branches=(), branch=None)
    assert "nothing" in printed(show.many([nothing]), capsys)
    assert "abstained" in printed(show.one(nothing), capsys)


def test_how_the_model_ranks_is_chosen(rar, colours, red, server, monkeypatch):
    monkeypatch.setenv("RAR_SKIP_RANKING_AT", "1.01")
    asked = ("recognize", red, "--memory", "colours", "--json", "--k", "4", "--base-url")
    asked = (*asked, server.url, "--model", "m")
    server.script = [Reply("A")]
    done = rar(*asked, "--ranker", "choice", "--orders", "0")
    trace = answers(done)[0]["trace"]
    assert (trace["ranker"], trace["prompt"], len(server.requests)) == ("choice", "choice@1", 2)
    trace = answers(rar(*asked, "--prompt", "describe@1"))[0]["trace"]
    assert (trace["ranker"], trace["prompt"]) == ("listwise", "describe@1")


def test_a_model_that_was_given_is_not_advised(rar, colours, red, server, monkeypatch):
    asked = ("recognize", red, "--memory", "colours")
    given = (*asked, "--base-url", server.url, "--model", "m")
    alone = rar(*asked).out
    assert "ranked by: retrieval alone, no model was asked" in alone
    assert alone.strip().endswith(f"recognize {red} --memory colours --model openai:gpt-5-mini")
    monkeypatch.setenv("RAR_SKIP_RANKING_AT", "0.01")
    skipped = rar(*given).out
    assert "not ranked: retrieval is calibrated" in skipped
    assert "ranked by: retrieval alone, m was not asked" in skipped
    monkeypatch.setenv("RAR_SKIP_RANKING_AT", "1.01")
    server.script = [Reply("no letters")]
    unread = rar(*given).out
    assert "degraded to the retrieval order: the model's answer names none" in unread
    assert "asked to no use: m, rank@1, 300+12 tokens, cost unknown, answer failed" in unread
    assert server.requests
    for said in (skipped, unread):
        assert "no model was asked" not in said
        assert "--model" not in said


def test_a_memory_of_names_is_advised_photos(rar, tmp_path, monkeypatch, photo):
    monkeypatch.setenv("RAR_HOME", str(tmp_path / "home"))
    (tmp_path / "names.txt").write_text("tabby cat\nespresso\n")
    assert rar("memory", "create", "named", "--names", "names.txt").status == 0
    done = rar("recognize", photo, "--memory", "named")
    assert "Teach it photos, from a folder with a folder a category:" in done.out
    assert "  rar-agent memory add named --images FOLDER" in done.out


def test_why_some_of_many_are_degraded_is_said_once(rar, colours, tmp_path, server, monkeypatch):
    monkeypatch.setenv("RAR_SKIP_RANKING_AT", "1.01")
    monkeypatch.setenv("RAR_MODEL_RETRIES", "0")
    for number in range(3):
        draw("red", 99 + number).save(tmp_path / f"{number}.png")
    asked = ("recognize", "0.png", "1.png", "2.png", "--memory", "colours")
    assert "degraded" not in rar(*asked).out
    server.script = [Reply(status=500)]
    done = rar(*asked, "--base-url", server.url, "--model", "m")
    assert done.status == 0
    assert done.out.count("degraded to the retrieval order") == 1
    assert "degraded to the retrieval order, 3 images: " in done.out
    assert "500" in done.out
    assert "--model" not in done.out


def test_many_different_reasons_are_cut(capsys):
    trace = recognition().trace
    traces = [
        trace.model_copy(update={"degraded": True, "reason": f"reason {number}"})
        for number in (0, 0, 1, 2, 3, 4, 5, 6)
    ]
    shown = printed(show.many([recognition(trace=one) for one in traces]), capsys)
    assert "degraded to the retrieval order, 2 images: reason 0" in shown
    assert "1 image: reason 4" in shown
    assert "reason 5" not in shown
    assert "… and for 2 other reasons; see --json" in shown


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--prompt", "rank@1"], 2, "--prompt says how a model ranks, and there is none"),
        (["--orders", "2"], 2, "--orders says how a model ranks"),
        (["--model", "openai:m", "--ranker", "best"], 3, "Setting 'ranker' = 'best' is not valid"),
        (["--model", "openai:m", "--prompt", "rank@77"], 2, "There is no prompt 'rank@77'"),
        (["--model", "openai:m", "--prompt", "choice@1"], 3, "asks for a letter"),
    ],
)
def test_a_way_to_rank_that_cannot_be(rar, colours, red, monkeypatch, arguments, status, says):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    done = rar("recognize", red, "--memory", "colours", *arguments)
    assert (done.status, done.out) == (status, "")
    assert says in done.err
