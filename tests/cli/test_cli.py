"""The command line as a user meets it: its output and exit status.

Most run in this process, which has loaded already what each command would load anew.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from tests.conftest import draw
from tests.openai_server import Reply

COMMAND = Path(sys.executable).parent / "rar-agent"


def process(*arguments, **environment):
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "120", "RAR_DEVICE": "cpu", **environment},
        timeout=300,
    )


@pytest.fixture
def run(rar, monkeypatch):
    """The same in this process."""

    def inner(*arguments, **environment):
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            done = rar(*arguments)
        return SimpleNamespace(returncode=done.status, stdout=done.out, stderr=done.err)

    return inner


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def taught(tmp_path_factory, discs):
    """RAR_HOME with a memory of six colours, made by the command line."""
    place = tmp_path_factory.mktemp("cli-home")
    done = process(
        "memory", "create", "discs", "--images", discs, "--domain", "discs", RAR_HOME=str(place)
    )
    assert done.returncode == 0, done.stderr
    assert "6 categories, 36 images learnt" in done.stdout
    assert "leaving one out" in done.stdout
    assert "encoder: builtin" in done.stderr
    assert "ViT-B-16-SigLIP" in done.stderr
    return place


@pytest.fixture
def in_taught(taught, monkeypatch):
    monkeypatch.setenv("RAR_HOME", str(taught))
    return taught


def test_the_example(home):
    done = process("recognize", "--example")
    assert done.returncode == 0, done.stderr
    assert "Egyptian cat" in done.stdout
    assert "the classifier's own probability, not calibrated" in done.stdout
    assert "names without exemplars" in done.stdout
    assert "rar-agent memory create mine --images FOLDER" in done.stdout
    assert done.stdout.strip().endswith("rar-agent recognize --example --model openai:gpt-5-mini")


def test_one_image_with_its_evidence(run, in_taught, tmp_path):
    draw("red", 99).save(tmp_path / "it.png")
    done = run("recognize", "it.png", "--memory", "discs")
    assert done.returncode == 0, done.stderr
    first = next(line for line in done.stdout.splitlines() if line.startswith("1 "))
    assert "red discs" in first
    assert "red_discs/" in first  # the nearest exemplar


def test_many_a_folder_a_glob_and_json(run, in_taught, tmp_path):
    (tmp_path / "f" / "g").mkdir(parents=True)
    draw("red", 99).save(tmp_path / "f" / "a.png")
    draw("blue", 99).save(tmp_path / "f" / "g" / "b.png")
    (tmp_path / "f" / "note.txt").write_text("x")
    for argument in ("f", "f/**/*.png"):
        done = run("recognize", argument, "--memory", "discs", "--json", "--k", "2")
        found = lines(done)
        assert [r["categories"][0]["category"]["name"] for r in found] == [
            "red discs",
            "blue discs",
        ]
        assert [len(r["categories"]) for r in found] == [2, 2]
    table = run("recognize", "f", "--memory", "discs").stdout
    assert "a.png" in table
    assert "blue discs" in table


def test_a_bad_file_among_good_ones_fails_alone(run, in_taught, tmp_path):
    draw("red", 99).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    done = run("recognize", "a.png", "b.png", "missing.png", "--memory", "discs", "--json")
    good, bad, missing = lines(done)
    assert done.returncode == 1
    assert good["decision"] == "accepted"
    assert "allowed format" in bad["error"]
    assert "is not a file" in missing["error"]


def test_a_contact_sheet(run, in_taught, tmp_path):
    draw("red", 99).save(tmp_path / "a.png")
    done = run("recognize", "a.png", "--memory", "discs", "--sheet", "sheet.png")
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "sheet.png").size == (10 + 6 * 178, 10 + 222)


def test_a_model_over_http(run, in_taught, tmp_path, server):
    server.script = [Reply('{"ranking": ["A", "B", "C", "D", "E"]}')]
    draw("red", 99).save(tmp_path / "a.png")
    command = ("recognize", "a.png", "--memory", "discs", "--model", "m", "--base-url", server.url)
    done = run(*command, RAR_SKIP_RANKING_AT="1.01")
    assert "ranked by m, rank@1, 300+12 tokens, cost unknown, answer exact" in done.stdout
    server.script = [Reply(status=500)]
    done = run(*command, RAR_SKIP_RANKING_AT="1.01", RAR_MODEL_RETRIES="0")
    assert done.returncode == 0
    assert "degraded to the retrieval order" in done.stdout
    assert "no model was asked" not in done.stdout


def test_what_a_model_costs_and_that_an_answer_was_kept(run, in_taught, tmp_path, server):
    server.script = [Reply("A > B > C > D > E")]
    draw("red", 99).save(tmp_path / "a.png")
    asked = {"RAR_SKIP_RANKING_AT": "1.01", "RAR_CACHE_MB": "10"}
    asked["RAR_PRICES"] = '{"m": {"input": 1, "output": 10}}'
    command = ("recognize", "a.png", "--memory", "discs", "--model", "m", "--base-url", server.url)
    assert "300+12 tokens, $0.000420, answer" in run(*command, **asked).stdout
    assert "ranked by m, rank@1, answered before, at no cost" in run(*command, **asked).stdout
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["recognize"], 2, "No image is named"),
        (["recognize", "missing.png"], 2, "is not a file"),
        (["recognize", "*.nope"], 2, "matches no file"),
        (["recognize", "x" * 300], 2, "no usable path"),
        (["recognize", "~nosuchuser/x.png"], 2, "no usable path"),
        (["recognize", "."], 2, "has no images"),
        (["recognize", "--example", "--sheet", "/nope/x.png"], 2, "in a folder there is"),
        (["recognize", "--example", "--sheet", "x.txt"], 2, "Name a .png file"),
        (["memory", "delete", "nosuch", "--yes"], 2, "no memory 'nosuch'"),
        (["memory", "delete", "nosuch"], 2, "no memory 'nosuch'"),  # before it is asked about
        (["recognize", "--example", "--method", "x"], 2, "Choose fitted or knn"),
        (["recognize", "--example", "--memory", "nosuch"], 2, "no memory 'nosuch'"),
        (["recognize", "--example", "--memory", "../x"], 2, "cannot name a memory"),
        (["recognize", "--example", "--k", "99"], 3, "Setting 'k'"),
        (["recognize", "--example", "--model", "gpt"], 3, "names no provider"),
        (["memory", "create", "x"], 2, "nothing to learn"),
        (["memory", "create", "x", "--images", "nosuch"], 2, "is not a folder"),
        (["memory", "create", "x", "--names", "nosuch"], 2, "cannot be read"),
        (["memory", "show", "nosuch"], 2, "no memory 'nosuch'"),
        (["memory", "remove", "imagenet-1k"], 2, "Nothing to forget"),
        (["memory", "remove", "imagenet-1k", "tabby"], 2, "ready-made"),
        (["memory", "add", "nosuch", "--images", "."], 2, ""),
    ],
)
def test_errors_are_one_line_and_what_to_do(run, arguments, status, says):
    done = run(*arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr
    assert says in done.stderr


def test_damaged_data_is_named(run, in_taught, tmp_path):
    shutil.copytree(in_taught, tmp_path / "copy")
    data = tmp_path / "copy" / "memories" / "discs" / "data"
    vectors = next(data.glob("*.vectors"))
    damaged = bytearray(vectors.read_bytes())
    damaged[100] ^= 1
    vectors.write_bytes(damaged)
    done = run("memory", "verify", "discs", RAR_HOME=str(tmp_path / "copy"))
    assert done.returncode == 5
    assert vectors.name in done.stderr.replace("\n", "")
    vectors.write_bytes(damaged[:-4])
    draw("red", 99).save(tmp_path / "a.png")
    done = run("recognize", "a.png", "--memory", "discs", RAR_HOME=str(tmp_path / "copy"))
    assert done.returncode == 5
    assert "Traceback" not in done.stderr


def test_list_show_add_remove_verify(run, taught, tmp_path, monkeypatch):
    shutil.copytree(taught, tmp_path / "own")
    monkeypatch.setenv("RAR_HOME", str(tmp_path / "own"))
    assert "discs" in run("memory", "list").stdout
    shown = run("memory", "show", "discs", "--limit", "2").stdout
    assert "6 categories, 36 entries" in shown
    assert "and 4 more" in shown
    assert "black_discs/0.png" in run("memory", "show", "discs", "--category", "black discs").stdout
    folder = tmp_path / "more" / "grey_discs"
    folder.mkdir(parents=True)
    draw("grey", 1).save(folder / "1.png")
    (folder / "2.png").write_bytes(b"no image")
    added = run("memory", "add", "discs", "--images", tmp_path / "more")
    assert "7 categories, 1 image learnt" in added.stdout
    assert "left out" in added.stderr
    removed = run("memory", "remove", "discs", "grey discs", "--entry", "0")
    assert "6 categories, 35 entries left" in removed.stdout
    assert "as it was written" in run("memory", "verify", "discs").stdout
    near = run("memory", "show", "discs", "--category", "Red disc")
    assert "Did you mean red discs" in near.stderr
    assert run("memory", "delete", "discs", "--yes").returncode == 0
    assert "discs " not in run("memory", "list").stdout


def test_names_only(run, in_taught, tmp_path):
    (tmp_path / "names.txt").write_text("espresso\ntabby cat\nsports car\n")
    made = run("memory", "create", "names", "--names", "names.txt")
    assert made.returncode == 0
    assert "learning" not in made.stderr
    done = run("recognize", "--example", "--memory", "names", "--json")
    assert lines(done)[0]["categories"][0]["category"]["name"] == "tabby cat"


def test_doctor(run, home, server):
    done = process("doctor")
    assert done.returncode == 0, done.stdout
    assert "model: none: answers are in retrieval order" in done.stdout
    assert "imagenet-1k: 1000 categories" in done.stdout
    done = run("doctor", RAR_MODEL="test-model", RAR_BASE_URL=server.url, RAR_MODLE="x")
    assert "model: openai:test-model" in done.stdout
    assert "RAR_MODLE sets nothing" in done.stdout
    done = run("doctor", RAR_MODEL="m", RAR_BASE_URL="http://127.0.0.1:9/v1", RAR_MEMORY="nosuch")
    assert done.returncode == 3
    assert "broken" in done.stdout
    assert "no memory 'nosuch'" in done.stdout


def test_a_reader_that_leaves_early_is_no_error(run, in_taught, discs):
    done = subprocess.run(
        f"{COMMAND} recognize {discs} --memory discs --json | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert len(lines(done)) == 1
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr


def test_help_and_version():
    import rar_agent

    assert process("--version").stdout == f"rar-agent {rar_agent.__version__}\n"
    for arguments in ([], ["recognize"], ["memory"], ["memory", "create"], ["doctor"]):
        assert "Usage" in process(*arguments, "--help").stdout


def test_help_loads_nothing_heavy(run):
    code = "import sys, rar_agent.cli.main; print({'torch', 'numpy', 'faiss'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_names_with_brackets_and_undecodable_files(run, tmp_path):
    folder = tmp_path / "f" / "cat [bold]"
    folder.mkdir(parents=True)
    draw("red", 1).save(folder / "1.png")
    shutil.copy(folder / "1.png", os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png"))
    home = {"RAR_HOME": str(tmp_path / "home")}
    (tmp_path / "names.txt").write_text("dog [/small]\n")
    done = run("memory", "create", "odd", "--images", "f", "--names", "names.txt", **home)
    assert done.returncode == 0, done.stderr
    shown = run("memory", "show", "odd", **home).stdout
    assert "cat [bold]" in shown
    assert "dog [/small]" in shown
    done = process("recognize", "f", "--memory", "odd", "--json", "--sheet", "s.png", **home)
    assert done.returncode == 0, done.stderr
    assert len(lines(done)) == 2
    assert "cat [bold]" in run("recognize", "f", "--memory", "odd", **home).stdout


def test_limits_hold_when_teaching(run, tmp_path):
    (tmp_path / "f" / "red").mkdir(parents=True)
    draw("red", 1).save(tmp_path / "f" / "red" / "1.png")
    done = run("memory", "create", "m", "--images", "f", RAR_MAX_PIXELS="1000")
    assert done.returncode == 2
    assert "RAR_MAX_PIXELS" in done.stderr


def test_a_home_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    done = process("recognize", "--example", RAR_HOME=str(tmp_path / "file"))
    assert done.returncode == 3, done.stderr
    assert "RAR_HOME" in done.stderr


def test_one_bad_image_is_a_json_line_too(run, tmp_path):
    done = run("recognize", "missing.png", "--json")
    assert done.returncode == 1
    assert "is not a file" in lines(done)[0]["error"]
