"""Runs of boxes as files on which the official tools give the report's figures."""

import json
import random

import pytest

from rar_agent.batch import Entry, Journal
from rar_agent.errors import InputError, NotFoundError
from rar_agent.evaluation.annotations import write_annotations
from rar_agent.evaluation.export import write_coco
from rar_agent.evaluation.publish import publish
from rar_agent.evaluation.record import Answer, Record
from rar_agent.evaluation.suite import Suite
from rar_agent.settings import load_settings
from tests.evaluation.export.conftest import HASH
from tests.evaluation.metrics.test_precision import by_coco, by_lvis, drawn

NAMES = ("AP", "AP50", "AP small", "AP medium", "AP large", "AP rare", "AP common", "AP frequent")


def of_boxes(run, seed, federated, **info):
    """A run's folder in which two ways name drawn boxes."""
    r = random.Random(seed)
    truths, results = drawn(seed, federated)
    truths["info"] = info or {"boxes": "given"}
    paths = {one["id"]: one["file_name"] for one in truths["images"]}
    names = {one["id"]: one["name"] for one in truths["categories"]}
    given = [
        (f"{paths[one['image_id']]}#{one['id']}", names[one["category_id"]], one)
        for one in truths["annotations"]
        if not one["iscrowd"]
    ]
    if info:
        given = [(f"{paths[one['image_id']]}#p{at}", "", one) for at, one in enumerate(results)]
        for image in truths["images"]:
            image["proposals"] = sum(key.startswith(image["file_name"]) for key, *_ in given)
    records = []
    for key, truth, box in given:
        said = r.sample(sorted(names.values()), 4)
        said[0] = names[box["category_id"]] if r.random() < 0.5 else said[0]
        shares = sorted((r.random() / 4 for _ in range(4)), reverse=True)
        answer = Answer(names=tuple(dict.fromkeys(said)), probabilities=shares[: len(set(said))])
        other = Answer(names=answer.names[::-1], probabilities=answer.probabilities)
        records.append(
            Record(
                cell="1-shot, seed 1", sample=key, truth=truth, sha256=key, box=box["bbox"],
                area=box.get("area", 1), score=box.get("score"), retrieval=answer, ranked=other,
                alone=Answer(names=said[:1]),
            )
        )  # fmt: skip
    (run / "journal.jsonl").unlink()
    with Journal(run / "journal.jsonl", HASH) as journal:
        entries = [
            Entry(f"1-shot-seed1/{one.sample}", one.model_dump(mode="json")) for one in records
        ]
        journal.append(entries)
    described = json.loads((run / "run.json").read_text())
    described["dataset"] |= {
        "rare": [one["name"] for one in truths["categories"] if one["frequency"] == "r"],
        "categories": 9, "train": 0, "test": len(records), "renamed": {}, "title": "",
        "checksum": "",
    }  # fmt: skip
    described["suite"] = Suite(name="boxes", dataset="boxes").model_dump(mode="json")
    described["encoder"] = {"name": "none"}
    (run / "run.json").write_text(json.dumps(described))
    write_annotations(run, truths, {one.sample for one in records}, True)
    return run


def figures(run, home, way):
    found = {
        one.name: one for one in publish(run, load_settings(home=home)).metrics if one.way == way
    }
    return [found[name].value for name in NAMES]


@pytest.mark.parametrize("info", [{}, {"boxes": "proposed", "nms": 0.3}])
@pytest.mark.parametrize("federated", [False, True])
def test_the_official_tools_give_the_reports_figures(run, tmp_path, federated, info, monkeypatch):
    folder = write_coco(of_boxes(run, 7, federated, **info)) / "1-shot-seed1"
    assert {one.name for one in folder.iterdir()} == {
        "annotations.json", "results-retrieval.json", "results-ranked.json",
    }  # fmt: skip
    for way in ("retrieval", "ranked"):
        files = str(folder / "annotations.json"), str(folder / f"results-{way}.json")
        ours = figures(run, tmp_path / "home", way)
        if federated:
            assert ours == by_lvis(*files, monkeypatch)
        else:
            assert ours[:5] == by_coco(*files)
            assert None not in ours
    assert {one["id"] for one in json.loads((folder / "annotations.json").read_text())["images"]}


def test_what_is_no_run_of_boxes(run, tmp_path):
    with pytest.raises(InputError, match="is of no boxes"):
        write_coco(run)
    with pytest.raises(NotFoundError):
        write_coco(tmp_path / "nowhere")
    of_boxes(run, 1, False)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_coco(run, tmp_path / "file")
