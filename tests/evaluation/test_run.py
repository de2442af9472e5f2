"""A run: what it writes, and that it goes on as if nothing had happened."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
import yaml
from PIL import Image

from rar_agent.batch import Outcome
from rar_agent.errors import DamagedDataError, InputError, NotFoundError
from rar_agent.evaluation.annotations import LOST, read_annotations
from rar_agent.evaluation.export import write_coco
from rar_agent.evaluation.publish import publish
from rar_agent.evaluation.run import prepare_run, read_run
from rar_agent.evaluation.suite import load_suite
from rar_agent.settings import load_settings
from tests.conftest import draw
from tests.evaluation.metrics.test_precision import by_coco

SUITE = """
title: Drawings
description: A test.
dataset: {{images: {images}, name: drawings, domain: coloured discs}}
protocol: {{shots: [1, 2], seeds: [1]}}
memory: {{encoder: builtin}}
k: 3
ranker: {{model: "simulated:0.8"}}
"""


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def suite_file(tmp_path, drawings):
    images = drawings.test[0].file.parents[2]
    file = tmp_path / "drawings.yaml"
    file.write_text(SUITE.format(images=images))
    return file


class Done(NamedTuple):
    folder: Path
    outcome: Outcome


def run(suite_file, home, out, changes=(), progress=None):
    settings = load_settings(home=home, device="cpu")
    prepared = prepare_run(load_suite(str(suite_file), home, changes), settings, out)
    return Done(prepared.folder, prepared.go_on(progress))


def told(folder):
    """All that a run says, but for its timings."""
    described, records, failed = read_run(folder)
    plain = [record.model_dump(exclude={"timings_ms"}) for record in records]
    described.pop("began")
    return described, sorted(plain, key=lambda r: (r["cell"], r["sample"])), failed


def test_every_image_of_every_cell_once(suite_file, home, tmp_path, drawings):
    seen = []
    done = run(suite_file, home, tmp_path / "out", progress=lambda *n: seen.append(n))
    assert (done.outcome.done, done.outcome.failed) == (72, 0)
    assert seen[-1] == (72, 72)
    described, records, failed = read_run(done.folder)
    assert failed == []
    assert described["dataset"]["categories"] == 6
    assert described["suite"]["ranker"]["model"] == "simulated:0.8"
    assert described["versions"]["rar-agent"]
    assert {(r.cell, r.sample) for r in records} == {
        (cell, one.key) for cell in ("1-shot, seed 1", "2-shot, seed 1") for one in drawings.test
    }
    again = run(suite_file, home, tmp_path / "out")
    assert (again.outcome.done, again.outcome.known) == (0, 72)


def test_a_run_s_folder_is_named_after_what_decides_it(suite_file, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = run(suite_file, home, None, ["limit=6"]).folder
    assert first.parent.name == "rar-evals"
    assert run(suite_file, home, None, ["limit=6", "title=Other"]).folder == first
    assert run(suite_file, home, None, ["limit=7"]).folder != first
    with pytest.raises(InputError, match="another configuration"):
        run(suite_file, home, first, ["limit=8"])
    with pytest.raises(NotFoundError, match="holds no run"):
        read_run(tmp_path)


def test_what_only_the_report_says_is_told_anew(suite_file, home, tmp_path):
    first = run(suite_file, home, tmp_path / "out", ["limit=6", "title=Old"])
    began = read_run(first.folder)[0]["began"]
    again = run(suite_file, home, tmp_path / "out", ["limit=6", "title=New"])
    described = read_run(again.folder)[0]
    assert (described["suite"]["title"], described["began"]) == ("New", began)
    (first.folder / "run.json").write_text("")  # killed while it was written
    run(suite_file, home, tmp_path / "out", ["limit=6"])
    assert read_run(first.folder)[0]["suite"]["title"] == "Drawings"
    with pytest.raises(NotFoundError, match="no row 'few-shot/flower'"):
        run(suite_file, home, tmp_path / "other", ["beside=few-shot/flower"])


def test_settings_that_decide_results_make_another_run(suite_file, home):
    def configuration(**options):
        settings = load_settings(home=home, device="cpu", **options)
        return prepare_run(load_suite(str(suite_file), home), settings).described

    usual = configuration()
    for name, value in (
        ("seed", 1),
        ("skip_ranking_at", 0.5),
        ("abstain_below", 0.5),
        ("error_rate", 0.1),
        ("image_side", 512),
        ("model_options", {"api_key": "sk-secret"}),
    ):
        other = configuration(**{name: value})
        assert other["configuration_hash"] != usual["configuration_hash"], name
        assert "sk-secret" not in json.dumps(other)
    same = configuration(batch_size=3, model_requests=2, max_cost=None, log="json")
    assert same["configuration_hash"] == usual["configuration_hash"]


def test_runs_share_memories_of_what_they_learn_alike(suite_file, home, tmp_path):
    settings = load_settings(home=home, device="cpu")

    def place(*changes):
        suite = load_suite(str(suite_file), home, changes)
        return prepare_run(suite, settings, memories=tmp_path / "shared").work._home

    usual = place()
    assert usual.parent == tmp_path / "shared"
    assert place("ranker.prompt=rank@1", "k=2", "limit=3") == usual
    images = yaml.safe_load(suite_file.read_text())["dataset"]["images"]
    for change in ("protocol.shots=[1]", "memory.texts=true", f"dataset.images={images}/train"):
        assert place(change) != usual


def test_what_failed_is_tried_again(suite_file, home, tmp_path, drawings):
    file = drawings.test[3].file
    data = file.read_bytes()
    file.write_bytes(b"no image")
    try:
        first = run(suite_file, home, tmp_path / "out", ["limit=36"])
    finally:
        file.write_bytes(data)
    assert first.outcome.failed == 2  # one in each cell
    _, records, failed = read_run(first.folder)
    assert len(records) == 70
    assert failed[0].result["kind"] == "ImageError"
    assert run(suite_file, home, tmp_path / "out", ["limit=36"]).outcome.failed == 0


@pytest.mark.slow
def test_kill_minus_nine_and_several_processes_change_nothing(
    suite_file, home, tmp_path, pytestconfig
):
    run(suite_file, home, tmp_path / "whole")
    command = [sys.executable, "-m", "tests.evaluation.runner", home, suite_file, tmp_path / "out"]
    journal = tmp_path / "out" / "journal.jsonl"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start():
        return subprocess.Popen(command, cwd=pytestconfig.rootpath, env=environment)

    def written():
        return journal.stat().st_size if journal.exists() else 0

    random = Random(0)
    for _ in range(2):
        process, before = start(), written()
        deadline = time.monotonic() + 90
        while written() < before + random.randint(1, 9) * 1_500 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
        process.wait()
    together = [start(), start()]
    assert [process.wait(180) for process in together] == [0, 0]
    assert told(tmp_path / "out") == told(tmp_path / "whole")
    lines = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    assert len({line["key"] for line in lines}) == len(lines) == 72


BOXES = """
dataset: {{source: {{loader: coco}}, name: boxes, folder: {folder}}}
protocol: {{kind: crops, shots: 2, images: 3, styles: {{tight: {{scales: [1, 1, 1]}}, wide: {{}}}}}}
memory: {{encoder: builtin}}
ways: [retrieval]
"""


@pytest.fixture
def boxes_file(tmp_path, drawings):
    """A suite of boxes: of two colours in six images, of a third in two."""
    listed = [one for one in drawings.test if one.category < 2]
    listed += [one for one in drawings.test if one.category == 2][:2]
    found = {
        "images": [{"id": at, "file_name": str(one.file)} for at, one in enumerate(listed)],
        "categories": [{"id": at, "name": f"{at} discs"} for at in range(3)],
        "annotations": [
            {"id": at, "image_id": at, "category_id": one.category, "bbox": [8, 8, 60, 50]}
            for at, one in enumerate(listed)
        ],
    }
    (tmp_path / "instances.json").write_text(json.dumps(found))
    (tmp_path / "boxes.yaml").write_text(BOXES.format(folder=tmp_path))
    return tmp_path / "boxes.yaml"


def test_boxes_are_learnt_and_asked_about_in_each_style(boxes_file, home, tmp_path):
    done = run(boxes_file, home, tmp_path / "out")
    described, records, failed = read_run(done.folder)
    assert failed == []
    assert described["dataset"]["test"] == 14
    assert [cell["known"] for cell in described["cells"].values()] == [2, 2]
    by_cell = {
        cell: {record.sample: record for record in records if record.cell == cell}
        for cell in ("tight, seed 1", "wide, seed 1")
    }
    tight, wide = by_cell.values()
    assert tight.keys() == wide.keys()
    assert len(tight) == 8
    assert not any(tight[sample].sha256 == wide[sample].sha256 for sample in tight)
    assert all(one.retrieval.names[0] == one.truth for one in records)


def test_how_boxes_are_shown_decides_results_of_boxes_alone(boxes_file, suite_file, home, tmp_path):
    settings = load_settings(home=home, device="cpu")

    def prepared(file, *changes):
        suite = load_suite(str(file), home, changes)
        return prepare_run(suite, settings, memories=tmp_path / "shared")

    alike = "protocol={kind: few-shot, shots: [2], seeds: [1]}"
    folder = yaml.safe_load(boxes_file.read_text())["dataset"]
    own = f"dataset={json.dumps({**folder, 'source': {'loader': 'coco', 'test_share': 0.5}})}"
    boxes = prepared(boxes_file, alike, own)
    sharp = prepared(boxes_file, alike, own, "crop.blur=0")
    assert boxes.described["configuration"]["crop"]["blur"] == 0.02
    assert boxes.described["configuration_hash"] != sharp.described["configuration_hash"]
    assert boxes.work._home != sharp.work._home
    for file in (suite_file, boxes_file):  # images, and boxes in styles of the protocol's own
        usual, other = prepared(file), prepared(file, "crop.blur=0")
        assert "crop" not in usual.described["configuration"]
        assert usual.described["configuration_hash"] == other.described["configuration_hash"]
        assert usual.work._home == other.work._home


@pytest.fixture
def proposals_file(tmp_path):
    """A suite of nine proposals in three of six images, three of them around nothing."""
    discs = ("red", "green", "blue")
    images, annotations, proposals = [], [], []
    for number in range(6):
        whole = Image.new("RGB", (160, 80), "white")
        images.append({"id": number, "file_name": f"{number}.png"})
        for side in (0, 1):
            colour = (number + side) % 3
            whole.paste(draw(discs[colour], 10 * number + side).resize((70, 70)), (80 * side, 0))
            box = [80 * side, 0, 70, 70]
            annotations.append(
                {"id": len(annotations), "image_id": number, "category_id": colour, "bbox": box}
            )
            proposals.append(
                {"image_id": number, "bbox": [*box[:3], 64], "score": 0.9 - 0.1 * side}
            )
        whole.save(tmp_path / f"{number}.png")
        proposals.append({"image_id": number, "bbox": [60, 50, 30, 30], "score": 0.3})
    categories = [{"id": at, "name": name} for at, name in enumerate(discs)]
    found = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "instances.json").write_text(json.dumps(found))
    (tmp_path / "proposals.json").write_text(json.dumps(proposals))
    source = {"loader": "coco", "test_share": 0.5, "proposals": "proposals.json", "nms": 0.5}
    suite = {
        "dataset": {"name": "discs", "folder": str(tmp_path), "source": source},
        "protocol": {"shots": [1], "seeds": [1]},
        "memory": {"encoder": "builtin"},
        "ways": ["retrieval"],
    }
    (tmp_path / "discs.yaml").write_text(yaml.safe_dump(suite))
    return tmp_path / "discs.yaml"


def test_proposals_are_recognised_and_measured_against_what_is_around(
    proposals_file, home, tmp_path
):
    done = run(proposals_file, home, tmp_path / "out")
    assert (done.outcome.done, done.outcome.failed) == (9, 0)
    records = read_run(done.folder)[1]
    assert sorted(one.truth == "" for one in records) == [False] * 6 + [True] * 3
    metrics = {one.name: one for one in publish(done.folder, load_settings(home=home)).metrics}
    assert metrics["top-1"].n == 6
    assert metrics["AP"].n == 9
    assert metrics["AP"].note == "of proposed boxes"
    folder = write_coco(done.folder) / "1-shot-seed1"
    truths, results = (
        str(folder / f"{name}.json") for name in ("annotations", "results-retrieval")
    )
    official = by_coco(truths, results)
    assert [metrics[name].value for name in ("AP", "AP50")] == official[:2]
    assert official[1] > 0.5


def test_a_limit_that_leaves_nothing_out_measures_the_same(proposals_file, home, tmp_path):
    suite = yaml.safe_load(proposals_file.read_text())
    suite["dataset"]["source"]["test_share"] = 1
    suite["protocol"] = {"kind": "zero-shot"}
    proposals_file.write_text(yaml.safe_dump(suite))
    listed = json.loads((tmp_path / "proposals.json").read_text())
    some = [one for one in listed if one["image_id"]]  # in the first image nothing is proposed
    (tmp_path / "proposals.json").write_text(json.dumps(some))

    def measured_against(*changes):
        folder = run(proposals_file, home, tmp_path / f"out{changes}", changes).folder
        return [one["id"] for one in read_annotations(folder)["images"]]

    assert measured_against() == measured_against("limit=15") == [*range(6)]
    fewer = measured_against("limit=14")
    assert len(fewer) == 4
    assert 0 not in fewer


def test_annotations_that_got_lost_are_missed_until_the_run_goes_on(boxes_file, home, tmp_path):
    settings = load_settings(home=home, device="cpu")

    def average():
        metrics = publish(tmp_path / "out", settings).metrics
        [found] = [one for one in metrics if (one.name, one.cell) == ("AP", "tight")]
        return found

    run(boxes_file, home, tmp_path / "out")
    before = average()
    assert before.value is not None
    (tmp_path / "out" / "annotations.json").unlink()
    assert (average().value, average().why) == (None, LOST)
    with pytest.raises(DamagedDataError, match=r"annotations.json, .* is not there"):
        write_coco(tmp_path / "out")
    described = json.loads((tmp_path / "out" / "run.json").read_text())
    del described["dataset"]["annotated"]  # as of before it was told
    (tmp_path / "out" / "run.json").write_text(json.dumps(described))
    assert average().value is not None
    run(boxes_file, home, tmp_path / "out")
    assert average() == before


def test_another_nms_measures_the_same_answers(proposals_file, home, tmp_path):
    def measured(nms):
        done = run(proposals_file, home, tmp_path / "out", [f"dataset.source.nms={nms}"])
        return done.outcome.done, read_annotations(done.folder)["info"]["nms"]

    assert [measured(nms) for nms in (0.5, 0.9, "null")] == [(9, 0.5), (0, 0.9), (0, None)]
