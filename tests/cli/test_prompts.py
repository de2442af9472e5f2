"""prompts: list, show, lint, render, diff, new."""

import json
import re
from pathlib import Path

import pytest

from rar_agent.cli import show
from rar_agent.prompts import load_prompt
from tests.cli.conftest import row
from tests.conftest import draw
from tests.openai_server import Reply
from tests.prompts.test_library import VALID, write


@pytest.fixture
def own(tmp_path, monkeypatch):
    """An empty RAR_HOME."""
    home = tmp_path / "own-home"
    home.mkdir()
    monkeypatch.setenv("RAR_HOME", str(home))
    return home


@pytest.fixture
def red(tmp_path):
    path = tmp_path / "it.png"
    draw("red", 99).save(path)
    return path


# list, show


def test_the_list_says_whose_each_is_and_what_uses_it(rar, own, monkeypatch):
    write(own, VALID)
    write(own, VALID.replace("version: 2", "version: 1"), "1")
    monkeypatch.setenv("RAR_PROMPT", "rank@2")
    done = rar("prompts", "list")
    assert done.status == 0
    assert row(done.out, "choice@1")[-2:] == ["shipped", "choice"]
    assert row(done.out, "describe@1")[1] == "described-ranking"
    assert row(done.out, "rank@1")[-6:] == ["yours,", "hides", "the", "shipped", "one", "listwise"]
    assert row(done.out, "rank@2")[-3:] == ["yours", "you", "(RAR_PROMPT)"]
    assert str(own / "prompts") in done.out


def test_the_list_has_prompts_that_are_not_valid(rar, own):
    write(own, VALID.replace("{{{name}}}", "{{name}}"))
    done = rar("prompts", "list")
    assert done.status == 0
    assert "not valid: rar-agent prompts lint rank@2" in done.out


def test_a_prompt_is_shown_with_its_hash(rar, own):
    done = rar("prompts", "show", "describe@1")
    prompt = load_prompt("describe@1", own)
    head, about, empty, *file = done.out.splitlines()
    path = rar("prompts", "show", "describe@1", "--path").out.strip()
    assert head == f"describe@1 {prompt.sha256}: {path}"
    assert about.startswith("asks for a described-ranking, of aliases, count, ")
    assert (empty, file) == ("", Path(path).read_text().splitlines())


# lint


def test_every_problem_is_told_with_its_line(rar, own):
    path = write(own, VALID.replace("{{{domain}}}", "{{{colour}}}").replace("{{{name}}}", "{{x}}"))
    done = rar("prompts", "lint", "rank@2")
    assert done.status == 3
    assert f"{path}:4: error: uses colour, which is not supplied" in done.out
    assert f"{path}:5: error: uses x, which is not supplied" in done.out
    assert f"{path}:5: error: does not use name" in done.out
    assert "1 prompt: 3 errors" in done.out
    assert rar("prompts", "lint", path).out == done.out


def test_all_prompts_are_checked_without_a_name(rar, own):
    done = rar("prompts", "lint")
    assert (done.status, done.out) == (0, "12 prompts: 0 errors, 0 warnings\n")
    stray = write(own, VALID, "latest")
    done = rar("prompts", "lint")
    assert done.status == 0
    assert f"{stray}: warning: is not found" in done.out
    write(own, VALID.replace("name: rank", "name: bird"))
    done = rar("prompts", "lint")
    assert done.status == 3
    assert "2.yaml:2: error: says it is bird@2" in done.out


def test_advice_is_a_warning(rar, own, tmp_path):
    file = tmp_path / "draft.yaml"
    file.write_text(VALID)
    done = rar("prompts", "lint", file)
    assert done.status == 0
    assert f"{file}:5: warning: does not say what text inside the photo is" in done.out
    assert "1 prompt: 0 errors, 3 warnings" in done.out


# diff


def test_a_difference_is_plain_where_it_is_no_terminal(rar, own):
    write(own, VALID)
    done = rar("prompts", "diff", "rank@1", "rank@2")
    assert done.out.startswith("--- rank@1\n+++ rank@2\n@@ ")
    assert "\n-version: 1\n" in done.out
    assert "\n+version: 2\n" in done.out
    assert "\x1b" not in done.out
    assert rar("prompts", "diff", "rank@1", "rank@1").out == ""


def test_a_difference_has_colours_in_a_terminal(rar, own, monkeypatch):
    monkeypatch.setattr(show.out, "_force_terminal", True)
    monkeypatch.setattr(show.out, "_color_system", show.out._color_system or 1)
    write(own, VALID)
    done = rar("prompts", "diff", "rank@1", own / "prompts" / "rank" / "2.yaml")
    assert "\x1b[31m-version: 1" in done.out
    assert "\x1b[32m+version: 2" in done.out


# new


@pytest.mark.parametrize(
    ("name", "options", "reference", "base"),
    [
        ("rank", [], "rank@2", "rank@1"),
        ("birds", [], "birds@1", "rank@1"),
        ("birds", ["--from", "describe@1"], "birds@1", "describe@1"),
        ("yes", ["--from", "rank-exemplars@1"], "yes@1", "rank-exemplars@1"),
    ],
)
def test_a_new_prompt_can_be_used_at_once(rar, own, name, options, reference, base):
    done = rar("prompts", "new", name, *options)
    assert done.status == 0, done.err
    written, copied = load_prompt(reference, own), load_prompt(base, own)
    assert written.templates == copied.templates
    assert (written.output, written.settings) == (copied.output, copied.settings)
    assert written.changelog == f"From {base}."
    assert f"--prompt {reference}" in done.out
    assert f"RAR_PROMPT={reference}" in done.out
    assert rar("prompts", "lint", reference).out.startswith("1 prompt: 0 errors")


def test_the_next_version_follows_the_newest_of_all(rar, own):
    rar("prompts", "new", "choice")
    path = own / "prompts" / "choice" / "2.yaml"
    path.write_text(path.read_text().replace("expert", "amateur"))
    done = rar("prompts", "new", "choice")
    assert "choice@3, a copy of choice@2" in done.out
    assert "RAR_RANKER=choice RAR_PROMPT=choice@3" in done.out
    assert "amateur" in (own / "prompts" / "choice" / "3.yaml").read_text()
    assert "amateur" not in load_prompt("choice@1", own).templates[0][1]


def test_everything_else_of_the_file_is_kept(rar, own):
    text = VALID.replace("version: 2", 'changelog: |\n  Long.\n  Longer.\n"version": 2  # two')
    write(own, "# mine\n" + text)
    rar("prompts", "new", "rank")
    lines = (own / "prompts" / "rank" / "3.yaml").read_text().splitlines()
    assert lines[:5] == [
        "# mine",
        "",
        "name: rank",
        "changelog: From rank@2.",
        '"version": 3  # two',
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["new", "../evil"], 2, "No prompt can be named '../evil'"),
        (["new", "birds", "--from", "rank@9"], 2, "There is no prompt 'rank@9'"),
        (["show", "rank"], 2, "Write name@version, such as agent@1, alone@1"),
        (["lint", "gone.yaml"], 2, "'gone.yaml' names no prompt"),
        (["diff", "rank@1", "rank@9"], 2, "There is no prompt 'rank@9'"),
        (["render", "rank@1"], 2, "Give --image PHOTO, or --example"),
        (["render", "rank@1", "--image", "gone.png"], 2, "gone.png"),
        (["render", "rank@1", "--example", "--ranker", "best"], 3, "Setting 'ranker' = 'best'"),
    ],
)
def test_what_cannot_be_done(rar, own, arguments, status, says):
    done = rar("prompts", *arguments)
    assert (done.status, done.out) == (status, "")
    assert says in done.err
    assert not list(own.rglob("*.yaml"))


def test_a_prompt_that_is_not_valid_is_not_copied(rar, own):
    write(own, VALID.replace("{{{name}}}", "{{name}}"))
    done = rar("prompts", "new", "rank")
    assert done.status == 3
    assert "2.yaml:5 uses {{name}}" in done.err
    assert not (own / "prompts" / "rank" / "3.yaml").exists()


# render


def test_it_shows_what_a_model_gets(rar, colours, red):
    done = rar("prompts", "render", "rank@1", "--image", red, "--memory", "colours", "--k", "3")
    assert done.status == 0, done.err
    head, pictures, skipped, *_ = done.out.splitlines()
    assert head.endswith("listwise, 1 question about 2 of 3 candidates of colours")
    assert pictures.startswith("1 picture, ")
    assert "recognize would not ask this: " in skipped
    assert re.search(r"^\[photo 96x96, [\d.,]+ kB\]$", done.out, re.MULTILINE)
    assert len(re.findall(r"^[A-C]\. (?:red|orange|purple|green|blue|black)$", done.out, re.M)) == 2


def test_json_is_what_a_server_gets(rar, colours, red, server, monkeypatch):
    monkeypatch.setenv("RAR_SKIP_RANKING_AT", "1.01")
    asked = ("--memory", "colours", "--k", "3")
    server.script = [Reply("A > B > C")]
    rar("recognize", red, *asked, "--model", "m", "--base-url", server.url)
    shown = json.loads(rar("prompts", "render", "rank@1", "--image", red, *asked, "--json").out)
    [question] = shown["questions"]
    assert question["messages"] == server.requests[-1]["messages"]
    sent = server.requests[-1]["response_format"]["json_schema"]["schema"]
    assert question["schema"] == sent
    assert (shown["prompt"], shown["ranker"], shown["memory"]) == ("rank@1", "listwise", "colours")
    assert shown["skipped"] == ""


def test_the_page_holds_its_pictures(rar, colours, red, tmp_path):
    name = "rank-exemplars@1"
    asked = ("--image", red, "--memory", "colours", "--k", "2", "--html", "page.html")
    done = rar("prompts", "render", name, *asked)
    assert (done.status, done.out) == (0, "")
    assert "page: page.html" in done.err
    page = (tmp_path / "page.html").read_text()
    assert page.count('<img src="data:image/jpeg;base64,') == 7
    assert page.count("exemplar 48x48") == 6
    assert set(re.findall(r'(?:src|href)="([a-z]+:)', page)) == {"data:"}
    assert "&quot;ranking&quot;" in page
    refused = rar("prompts", "render", name, *asked[:-1], tmp_path / "none" / "page.html")
    assert refused.status == 2


def test_a_pair_is_shown_in_both_orders(rar, colours, red):
    asked = ("--image", red, "--memory", "colours", "--k", "2")
    done = rar("prompts", "render", "pairwise@1", *asked)
    assert "pairwise, 2 questions about 2 candidates" in done.out
    first, second = re.findall(r"^A\. (\w+)\nB\. (\w+)$", done.out, re.MULTILINE)
    assert first == second[::-1]


def test_an_agent_s_instructions_need_no_photo(rar, colours, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    shown = rar("prompts", "render", "agent@1", "--memory", "colours")
    assert "Your field guide knows\n6 categories." in shown.out
    refused = rar("recognize", "--example", "--model", "openai:m", "--prompt", "agent@1")
    assert refused.status == 3
    assert "instructions" in refused.err
