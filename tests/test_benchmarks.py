"""What benchmarks make of figures. Speed itself is asserted nowhere."""

import json

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import encode, suite
from benchmarks.comparison import beside, found_in, markdown, picture, worse
from benchmarks.figures import OURS, Figure, Setup, as_json, best, from_json, joined, ratio


def rate(*values, who=OURS, name="encode"):
    return Figure(name, "images/s", values, who)


def seconds(*values, who=OURS):
    return Figure("start", "s", values, who)


@pytest.mark.parametrize(
    ("unit", "better"),
    [("images/s", "more"), ("s", "less"), ("ms an image", "less"), ("MB", "less"), ("x", "")],
)
def test_the_unit_says_what_is_better(unit, better):
    assert Figure("any", unit).better == better


@pytest.mark.parametrize(
    ("now", "earlier", "times"),
    [
        (rate(10, 11, 12), rate(20, 22, 24), 2.0),
        (seconds(4, 4.4, 5), seconds(2, 2.2, 2.4), 2.0),
        (rate(20, 22, 24), rate(10, 11, 12), None),  # better
        (seconds(2.0, 4.4, 5.0), seconds(2.0, 2.2, 2.4), None),  # within the spread
        (rate(98), rate(100), None),  # too little to count, however steady
        (Figure("any", "x", (1.0,)), Figure("any", "x", (9.0,)), None),  # nothing is better
        (rate(), rate(5), None),  # left out now
        (rate(5), rate(), None),  # left out then
    ],
)
def test_worse_is_what_is_beyond_both_spreads(now, earlier, times):
    assert now.worse_than(earlier) == (pytest.approx(times) if times else None)


def test_runs_are_compared_figure_by_figure_the_worst_first():
    earlier = {"encode": [rate(20), rate(30, who="peer")], "start": [seconds(1.0)]}
    now = {"encode": [rate(10), rate(30, who="peer")], "start": [seconds(5.0)], "new": [rate(1)]}
    found = worse(now, earlier)
    assert [(one.part, one.now.who, one.times) for one in found] == [
        ("start", OURS, 5.0),
        ("encode", OURS, 2.0),
    ]


def test_ours_is_so_many_times_better_than_a_peer():
    assert beside(rate(10, who="peer"), rate(20)) == 2.0
    assert beside(seconds(10, who="peer"), seconds(20)) == 0.5
    assert beside(rate(20), rate(20)) is None
    assert beside(rate(who="peer"), rate(20)) is None


def test_a_ratio_is_of_the_same_turn_and_has_a_target():
    of = ratio("share", rate(9, 30, 9), rate(10, 30, 20, who="bound"), target=0.9)
    assert of.values == pytest.approx((0.9, 1.0, 0.45))
    assert of.median == pytest.approx(0.9)
    assert of.met
    assert ratio("share", rate(8), rate(10, who="bound"), target=0.9).met is False
    assert ratio("memory", seconds(12), seconds(10), "less", target=1.1).met is False
    assert Figure("share", "x", better="more", target=0.9).met is None


def test_the_best_is_of_those_that_were_measured():
    fast, slow = rate(3, 9, 9), rate(5, 5, 5)
    assert best([rate(), slow, fast]) is fast
    assert best([seconds(3), seconds(2)]) == seconds(2)
    assert best([rate()]) is None


def test_repeats_are_joined():
    assert joined([[rate(1), seconds(2)], [rate(3), seconds(4)]]) == [rate(1, 3), seconds(2, 4)]


def test_figures_survive_json():
    figures = [rate(1.5, 2.5), Figure("gone", "s", who="peer", note="no environment")]
    assert from_json(json.loads(json.dumps(as_json(figures)))) == figures


def test_tables_and_picture_say_what_was_left_out_and_escape():
    found = {"part": [rate(10), rate(5, who="<peer>"), Figure("encode", "s", who="b", note="why")]}
    assert "| encode | <peer> | 5 images/s |  | 2 x |" in markdown(found)
    assert "left out: why" in markdown(found)
    assert "&lt;peer&gt;" in picture(found)


@pytest.fixture
def measured(monkeypatch):
    """Parts that find at once what the test says, and which were asked."""
    asked, found = [], {"search": [seconds(1.0)], "start": [seconds(2.0)]}

    def run_part(part, setup):
        asked.append(part)
        if isinstance(found[part], BaseException):
            raise found[part]
        return found[part]

    monkeypatch.setattr(command, "run_part", run_part)
    return asked, found


def test_a_run_goes_on_where_it_was_interrupted(measured, tmp_path):
    asked, found = measured
    out = tmp_path / "bench.json"
    given = ["--only", "search,start", "--out", str(out)]
    found["start"] = KeyboardInterrupt()
    assert command.main(given) == 1
    assert list(found_in(json.loads(out.read_bytes()))) == ["search"]
    found["start"] = RuntimeError("broke")
    assert command.main([*given, "--resume"]) == 1
    found["start"] = [seconds(2.0)]
    assert command.main([*given, "--resume"]) == 0
    assert asked == ["search", "start", "start", "start"]
    assert found_in(json.loads(out.read_bytes())) == found


def test_a_run_fails_where_it_is_worse_than_an_earlier_one(measured, tmp_path, capsys):
    _, found = measured
    earlier = tmp_path / "earlier.json"
    assert command.main(["--only", "start", "--out", str(earlier)]) == 0
    given = ["--only", "start", "--against", str(earlier), "--out"]
    assert command.main([*given, str(tmp_path / "same.json")]) == 0
    found["start"] = [seconds(3.0)]
    assert command.main([*given, str(tmp_path / "worse.json")]) == 1
    assert "1.50 x" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "--resume goes on with it"),
        (("--resume", "--repeats", "5"), "'repeats': 3"),
        (("--only", "nothing"), "no part 'nothing'"),
        (("--peers", "clip-retrieval=nowhere"), "clip-retrieval=nowhere"),
    ],
)
def test_what_cannot_be_run_is_said(measured, tmp_path, capsys, more, said):
    given = ["--only", "start", "--out", str(tmp_path / "bench.json")]
    command.main(given)
    with pytest.raises(SystemExit):
        command.main([*given, *more])
    assert said in capsys.readouterr().err


def test_parts_are_chosen_by_how_they_begin():
    assert suite.chosen("encode,start") == ["encode-builtin", "encode-ViT-B-32", "start"]
    assert suite.chosen("") == list(suite.PARTS)


def test_encoding_is_set_beside_its_bounds_and_peers(monkeypatch, tmp_path):
    """20 photos; seconds of each step and way are as they are told here."""
    files = [tmp_path / f"{number}.jpg" for number in range(20)]
    for file in files:
        file.write_bytes(b"")
    monkeypatch.setattr(encode, "photos", lambda count, seed: files[:count])
    took = {"memory create": 5.0, "plain loop": 8.0, "read": 2.0, "forward": 4.0}
    took |= {"open_clip": 10.0, "clip-retrieval": 20.0}

    def ask(python, module, given):
        if module == "benchmarks.weights":
            return {"open_clip": "weights.pt"}
        way, whole = given["way"], given.get("settings", {}).get("decode_whole", False)
        if way == "sentence-transformers":
            raise RuntimeError("in\nsuch a way")
        np.save(given["vectors"], np.eye(20, 2, dtype=np.float32))
        seconds = took.get(way, 1.0) * (2 if whole else 1)
        spent = {"seconds": seconds, "cpu": 1.0, "memory": 900.0, "worker_memory": 500.0}
        return spent | {"after": 0.5, "images": 20}

    monkeypatch.setattr(encode.process, "ask", ask)
    setup = Setup(2, quick=True, peers={"clip-retrieval": "python"}, tell=lambda text: None)
    found = encode.figures(setup, "ViT-B-32")
    name = "ViT-B-32, 20 photos"
    by = {(figure.name, figure.who): figure for figure in found}
    assert by[name, OURS].values == (4.0, 4.0)
    assert by[name, "bound, overlapped"].median == 5.0  # 4 s of the forward pass, the slower
    assert by[f"{name}: of the overlapped bound", OURS].median == pytest.approx(0.8)
    assert by[f"{name}: of the overlapped bound", OURS].met is False
    assert by[f"{name}: of the best peer", OURS].median == pytest.approx(2.0)  # open_clip's
    assert by[name, "sentence-transformers, batch 32"].note == "failed: such a way"
    assert by["ViT-B-32: memory at 20 photos / at 4", OURS].median == 1.0
