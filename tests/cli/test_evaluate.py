"""eval: data sets, runs, comparisons."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.conftest import row
from tests.evaluation.datasets.conftest import paint


def test_the_list_says_what_can_be_used(rar, monkeypatch, tmp_path):
    monkeypatch.delenv("RAR_DATA", raising=False)
    done = rar("eval", "datasets")
    assert done.status == 0
    assert row(done.out, "cub200")[-4:] == ["5,994", "5,794", "needs", "you"]
    assert "downloadable" in row(done.out, "fgvc_aircraft")


def test_one_data_set_says_what_to_fetch(rar, monkeypatch, tmp_path):
    monkeypatch.delenv("RAR_DATA", raising=False)
    monkeypatch.setenv("RAR_EVALS_DATA", str(tmp_path / "sets"))
    done = rar("eval", "datasets", "flowers102")
    assert done.status == 0
    for part in (
        "split_zhou_OxfordFlowers.json",
        "drive.google.com",
        "RAR_DOWNLOAD=1",
        "Its licence",
    ):
        assert part in done.out
    assert str(tmp_path / "sets" / "oxford_flowers") in done.out
    missing = rar("eval", "datasets", "flowers102", "--check")
    assert missing.status == 3
    assert "split_zhou_OxfordFlowers.json" in missing.err


def test_a_check_counts_and_finds_copies(rar, tmp_path):
    for part in ("train", "test"):
        paint(tmp_path / "birds" / part / "robin" / f"{part}.png", (1, 1, 1))
        paint(tmp_path / "birds" / part / "wren" / f"{part}.png", (2, 2, len(part)))
    card = tmp_path / "birds.yaml"
    card.write_text(f"title: birds\nimages: {tmp_path / 'birds'}\ncaution: only four\n")
    done = rar("eval", "datasets", card, "--check")
    assert done.status == 0
    assert "2 categories, 2 train, 2 test" in done.out
    assert "only four" in done.out
    assert "1 images are there twice or more, 1 in both parts" in done.out
    assert "train/robin/train.png = test/robin/test.png" in done.out


def test_what_is_not_there(rar):
    done = rar("eval", "datasets", "birds9000")
    assert done.status == 2
    assert "no data set 'birds9000'" in done.err
    assert rar("eval", "datasets", "--check").status == 2


def test_a_run_its_report_and_a_comparison(rar, tmp_path, discs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    suite = tmp_path / "discs.yaml"
    text = f"title: Discs\ndescription: x\ndataset: {{images: {discs}}}\n"
    text += "protocol: {shots: [2], seeds: [1]}\nmemory: {encoder: builtin}\nk: 3\n"
    suite.write_text(text)
    for out, more in (("a", ()), ("b", ("--set", "ranker.model=simulated:1"))):
        done = rar("eval", "run", suite, "--out", out, *more)
        assert done.status == 0, done.err
        assert "2-shot" in done.out
        assert f"report: {out}/report.html" in done.out
        assert (tmp_path / out / "report.html").is_file()
    assert "Simulated" in done.out
    again = rar("eval", "report", "b")
    assert again.out == done.out
    command = f"rar-agent eval run {suite} --out b --set ranker.model=simulated:1"
    assert command in (tmp_path / "b" / "report.md").read_text()
    compared = rar("eval", "compare", "a", "b")
    assert compared.status == 0, compared.err
    assert "2-shot, seed 1" in compared.out
    refused = rar("eval", "compare", "a", "b", "--way", "ranked")
    assert refused.status == 2
    assert "Not both runs have ranked" in refused.err
    assert "compared: top-1 of retrieval" in compared.out
    ways = rar("eval", "compare", "b", "b", "--way", "retrieval,ranked", "--out", "ways.html")
    assert ways.status == 0, ways.err
    assert "compared: top-1 of retrieval and of ranked" in ways.out
    assert "Simulated" in (tmp_path / "ways.md").read_text()
    refused = rar("eval", "compare", "b", "b")
    assert refused.status == 2
    assert "compared with itself" in refused.err
    assert "Is it 'quick'?" in rar("eval", "run", "quik").err
    assert rar("eval", "run", "nosuch").status == 2
    assert rar("eval", "report", tmp_path).status == 2


def test_suites_that_are_run_after_it(rar, tmp_path, discs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAR_HOME", str(tmp_path / "home"))
    folder = tmp_path / "home" / "evals" / "suites"
    folder.mkdir(parents=True)
    rest = "\nprotocol: {shots: [1], seeds: [1]}\nmemory: {encoder: builtin}\n"
    for name, dataset, also in (
        ("first", f"{{images: {discs}}}", "[second, absent]"),
        ("second", f"{{images: {discs}}}", "[third]"),
        ("third", f"{{images: {discs}}}", "[]"),
        ("absent", f"{{images: {tmp_path / 'nowhere'}}}", "[]"),
    ):
        text = f"dataset: {dataset}\nalso: {also}{rest}k: {3 if name == 'first' else 2}\n"
        (folder / f"{name}.yaml").write_text(text)
    done = rar("eval", "run", "first", "--out", "runs", "--limit", "6")
    assert done.status == 0, done.err
    assert [line for line in done.out.splitlines() if line.startswith("report: ")] == [
        "report: runs/report.html",
        "report: runs/second/report.html",
    ]
    assert done.err.count("absent is left out, data set 'nowhere' is not there") == 1
    assert "rar-agent eval run absent says how to get it" in done.err
    for run, k in (("runs", 3), ("runs/second", 2)):
        suite = json.loads((tmp_path / run / "run.json").read_text())["suite"]
        assert (suite["limit"], suite["k"]) == (6, k)
    assert not (tmp_path / "runs" / "absent").exists()
    missing = rar("eval", "run", "absent")
    assert missing.status == 3
    assert "nowhere" in missing.err
    assert rar("eval", "run", "second").status == 0
    assert len(list((tmp_path / "rar-evals").glob("*"))) == 2  # second and, after it, third


def test_what_failed_is_told_with_its_reason(rar, tmp_path, discs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(discs, tmp_path / "mine")
    for file in sorted((tmp_path / "mine" / "red_discs").iterdir()):
        file.write_bytes(b"no photo")
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        "dataset: {images: mine}\nprotocol: {shots: [4], seeds: [1]}\nmemory: {encoder: builtin}\n"
    )
    done = rar("eval", "run", suite, "--out", "out")
    assert done.status == 1
    assert "is not an image of an allowed format" in done.out
    assert "3 images could not be answered" in done.err
    assert "4-shot: 6 categories with fewer exemplars than that" in done.out
    gone = rar("eval", "run", suite, "--set", "dataset.images=nowhere")
    assert gone.status == 3
    assert f"there is no '{tmp_path / 'nowhere'}'" in gone.err


@pytest.mark.slow
def test_an_interrupted_run_says_what_there_is_and_goes_on(rar, tmp_path, discs, monkeypatch):
    suite = tmp_path / "discs.yaml"
    suite.write_text(
        f"dataset: {{images: {discs}}}\nprotocol: {{shots: [1, 2, 3], seeds: [1, 2, 3, 4, 5]}}\n"
        "memory: {encoder: builtin}\nk: 3\n"
    )
    begin = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from rar_agent.cli import main; main()"
    )
    home = {"RAR_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", begin, "eval", "run", suite, "--out", tmp_path / "out"],
        env={**os.environ, **home},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal, deadline = tmp_path / "out" / "journal.jsonl", time.monotonic() + 90
    while not (journal.exists() and journal.read_text().count("\n") > 5):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 130, err
    assert "run it again" in err
    assert "Partial: " in out
    assert "Partial: " in (tmp_path / "out" / "report.md").read_text()
    monkeypatch.setenv("RAR_HOME", home["RAR_HOME"])
    whole = rar("eval", "run", suite, "--out", tmp_path / "out")
    assert whole.status == 0
    assert "Partial" not in whole.out


def test_an_export_says_what_goes_where(rar, tmp_path):
    assert rar("eval", "export", tmp_path, "--to", "jsonl").status == 2
    for options, fix in (
        (("--to", "jsonl", "--images"), "Add --to langsmith"),
        (("--to", "langsmith", "--out", "x"), "Leave --out out"),
    ):
        refused = rar("eval", "export", tmp_path, *options)
        assert refused.status == 2
        assert fix in refused.err
