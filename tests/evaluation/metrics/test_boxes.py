"""Average precision of given boxes: against pycocotools fed with files, and by hand."""

import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest

from rar_agent.evaluation.metrics import Facts, measure
from rar_agent.evaluation.metrics.boxes import boxes
from rar_agent.evaluation.record import Answer, Record
from tests.evaluation.records import by_name

NAMES = ("mug", "crab", "wren")


def boxed(number, truth, names, probabilities, box=(0, 0, 50, 50), image=0, cell="zero-shot"):
    return Record(
        cell=cell,
        sample=f"val/{image}.jpg#{number}",
        truth=truth,
        sha256=str(number),
        box=box,
        area=box[2] * box[3],
        retrieval=Answer(names=names, probabilities=probabilities),
    )


def test_by_hand():
    records = [
        boxed(1, "mug", ("mug", "crab"), (0.9, 0.1), image=1),
        boxed(2, "mug", ("crab", "mug"), (0.6, 0.4), image=2),
        boxed(3, "crab", ("crab", "mug"), (0.7, 0.3), image=3),
    ]
    found = {figure.kind.name: figure for _, figure in boxes(records, Facts())}
    # mug: right 0.9, right 0.4, wrong 0.3: 1. crab: right 0.7, and all that is there is found: 1.
    assert found["AP"].value == pytest.approx(1.0)
    records[0] = boxed(1, "mug", ("crab", "mug"), (0.8, 0.2), image=1)
    found = {figure.kind.name: figure for _, figure in boxes(records, Facts())}
    # mug: right 0.4, wrong 0.3, right 0.2: precision 1 to recall 0.5, then 2/3: 51 and 50 of 101
    # points. crab: wrong 0.8, right 0.7: 1/2.
    mug, crab = (51 + 50 * 2 / 3) / 101, 0.5
    assert found["AP"].value == found["AP50"].value == pytest.approx((mug + crab) / 2)
    assert found["AP medium"].value == pytest.approx(found["AP"].value)
    assert found["AP large"].why == "there is no such object"


def scattered(seed, count=60):
    random = np.random.default_rng(seed)
    for number in range(count):
        some = random.permutation(3)
        shares = np.sort(random.dirichlet(np.ones(3)))[::-1]
        left, top, width, height = random.integers(1, 120, 4).tolist()
        yield boxed(
            number,
            NAMES[int(random.integers(3))],
            tuple(NAMES[at] for at in some),
            tuple(shares.tolist()),
            (left, top, width, height),
            int(random.integers(8)),
        )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_as_pycocotools_says_of_files(seed, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    records = list(scattered(seed))
    ids = {"wren": 30, "mug": 10, "crab": 20}  # other ids, another order
    images = {r.sample.partition("#")[0]: 100 + int(r.sample.split("/")[1][0]) for r in records}
    gold = {
        "images": [{"id": number} for number in images.values()],
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
        "annotations": [
            {
                "id": 1 + at, "image_id": images[r.sample.partition("#")[0]], "iscrowd": 0,
                "category_id": ids[r.truth], "bbox": list(r.box), "area": r.area,
            }
            for at, r in enumerate(records)
        ],
    }  # fmt: skip
    said = [
        {
            "image_id": images[r.sample.partition("#")[0]],
            "category_id": ids[name],
            "bbox": list(r.box),
            "score": probability,
        }
        for r in records
        for name, probability in zip(r.retrieval.names, r.retrieval.probabilities, strict=True)
    ]
    (tmp_path / "gold.json").write_text(json.dumps(gold))
    (tmp_path / "said.json").write_text(json.dumps(said))
    with redirect_stdout(io.StringIO()):
        truth = coco.COCO(str(tmp_path / "gold.json"))
        theirs = COCOeval(truth, truth.loadRes(str(tmp_path / "said.json")), "bbox")
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
    ours = {figure.kind.name: figure.value for _, figure in boxes(records, Facts())}
    wanted = dict(
        zip(
            ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large"),
            theirs.stats[:6],
            strict=True,
        )
    )
    for name in ("AP", "AP50", "AP small", "AP medium", "AP large"):
        known = wanted[name] if wanted[name] > -1 else None
        assert ours[name] == (known and pytest.approx(known, abs=1e-12))
    rare = {f.kind.name: f.value for _, f in boxes(records, Facts(rare=frozenset({"crab"})))}
    alone = theirs.eval["precision"][:, :, sorted(ids.values()).index(20), 0, -1]
    assert rare["AP rare"] == pytest.approx(alone[alone > -1].mean(), abs=1e-12)


def test_as_many_boxes_of_one_category_as_there_are_in_an_image():
    records = [boxed(at, "mug", ("mug",), (0.9,), (at, 0, 40, 40)) for at in range(150)]
    found = {figure.kind.name: figure for _, figure in boxes(records, Facts())}
    assert found["AP"].value == pytest.approx(1.0)
    assert found["AP rare"].why == "there is no such object"


def test_over_seeds_it_is_the_mean_and_ways_without_probabilities_have_none():
    records = [
        one.model_copy(update={"cell": f"1-shot, seed {seed}", "knn": Answer(names=("mug",))})
        for seed in (1, 2)
        for one in scattered(seed)
    ]
    metrics = measure(records)
    of = {cell: by_name(metrics, cell) for cell in ("1-shot", "1-shot, seed 1", "1-shot, seed 2")}
    one, two, both = (of[cell]["retrieval", "AP"].value for cell in sorted(of, reverse=True))
    assert of["1-shot"]["retrieval", "AP"].value == pytest.approx(
        np.mean([of[f"1-shot, seed {seed}"]["retrieval", "AP"].value for seed in (1, 2)])
    )
    assert len({one, two, both}) == 3
    assert of["1-shot"]["knn", "AP"].why == "the way gives no probabilities"
    assert of["1-shot"]["retrieval", "AP"].low is None


def test_images_without_boxes_have_none():
    assert not any(metric.name.startswith("AP") for metric in measure([]))
