"""Average precision of given boxes: against pycocotools fed with files, and by hand."""

import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest

from rar_agent.evaluation.metrics import Facts, measure
from rar_agent.evaluation.metrics.boxes import boxes
from rar_agent.evaluation.record import Answer, Ranked, Record
from rar_agent.types import Usage
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
    assert found["AP rare"].why == "the data set says of no category that it is rare"
    assert found["AP common"].why == "the data set says of no category how frequent it is"
    found = {f.kind.name: f for _, f in boxes(records, Facts(rare=frozenset({"crab"})))}
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


def test_images_without_boxes_have_none_and_say_why():
    assert not any(metric.name.startswith("AP") for metric in measure([]))
    wholes = [one.model_copy(update={"box": None}) for one in scattered(0, 5)]
    missing = [metric for metric in measure(wholes) if metric.name.startswith("AP")]
    assert len(missing) == 8
    assert {(one.value, one.why) for one in missing} == {(None, "the images are no boxes")}


def lvis(looked_for=(), partly=()):
    """Two images of LVIS's kind: a mug and a wren in the first, a crab in the second."""
    images = [
        {
            "id": at,
            "file_name": f"val/{at}.jpg",
            "neg_category_ids": list(looked_for),
            "not_exhaustive_category_ids": list(partly),
        }
        for at in (1, 2)
    ]
    there = [(11, 1, 10, [0, 0, 50, 50]), (12, 1, 30, [60, 0, 50, 50]), (13, 2, 20, [0, 0, 50, 50])]
    return {
        "info": {"boxes": "given"},
        "images": images,
        "categories": [
            {"id": number, "name": name, "frequency": letter}
            for number, name, letter in ((10, "mug", "f"), (20, "crab", "c"), (30, "wren", "r"))
        ],
        "annotations": [
            {
                "id": one, "image_id": image, "category_id": number, "bbox": box, "area": 2500.0,
                "iscrowd": 0,
            }
            for one, image, number, box in there
        ],
    }  # fmt: skip


def of_lvis(records, **lists):
    facts = Facts(annotations=lvis(**lists), rare=frozenset({"wren"}))
    return {figure.kind.name: figure for _, figure in boxes(records, facts)}


def test_a_name_counts_where_it_is_or_was_looked_for():
    records = [
        boxed(11, "mug", ("crab", "mug"), (0.9, 0.1), image=1),
        boxed(12, "wren", ("wren",), (0.9,), (60, 0, 50, 50), image=1),
        boxed(13, "crab", ("crab",), (0.5,), image=2),
    ]
    found = of_lvis(records)
    assert [
        found[name].value for name in ("AP", "AP rare", "AP common", "AP frequent")
    ] == pytest.approx([1] * 4)
    assert found["AP"].note == "by LVIS's rules"
    # A crab was looked for in the first image: the name at 0.9 is wrong, and precision 1/2.
    found = of_lvis(records, looked_for=(20,))
    assert found["AP common"].value == pytest.approx(0.5)
    # Not all crabs are marked there: the name finds none of those that are, and is not wrong.
    assert of_lvis(records, looked_for=(20,), partly=(20,))["AP common"].value == pytest.approx(1)


def test_what_was_not_asked_about_still_was_looked_for():
    mug, crab = (
        boxed(11, "mug", ("wren", "mug"), (0.9, 0.1), image=1),
        boxed(13, "crab", ("crab",), (0.5,), image=2),
    )
    wren = boxed(12, "wren", ("wren",), (0.5,), (60, 0, 50, 50), image=1)
    alone = of_lvis([mug, crab])
    assert alone["AP rare"].why == "there is no such object"
    assert alone["AP"].value == pytest.approx(1)
    both = of_lvis([mug, wren, crab])
    assert both["AP rare"].value == pytest.approx(0.5)  # the mug's box is called a wren too


def proposed(number, names, probabilities, score, box=(0, 0, 50, 50), truth="", image=1):
    one = boxed(number, truth, names, probabilities, box, image)
    return one.model_copy(update={"sample": f"val/{image}.jpg#p{number}", "score": score})


def of_proposals(records, nms=None, images=(1, 2)):
    given = lvis()
    listed = [
        {"id": one["id"], "file_name": one["file_name"], "proposals": int(one["id"] in images)}
        for one in given["images"]
    ]
    found = {**given, "images": listed, "info": {"boxes": "proposed", "nms": nms}}
    return {f.kind.name: f for _, f in boxes(records, Facts(annotations=found))}


def test_proposals_are_measured_against_all_that_is_around():
    mug = proposed(1, ("mug", "wren"), (0.9, 0.1), 0.9, truth="mug")
    void = proposed(2, ("mug",), (0.9,), 0.5, (200, 200, 50, 50))
    found = of_proposals([mug, void])  # the second image is not asked about yet
    assert found["AP frequent"].value == pytest.approx(
        1
    )  # what is around nothing comes last, by its score
    assert found["AP rare"].why == "the data set says of no category that it is rare"
    assert found["AP"].value == pytest.approx(1 / 2)  # the wren is not found
    assert found["AP"].note == "of proposed boxes"
    assert of_proposals([mug, void], images=(1,))["AP"].value == pytest.approx(
        1 / 3
    )  # nor the crab
    sure = proposed(2, ("mug",), (0.9,), 1.0, (200, 200, 50, 50))
    assert of_proposals([mug, sure])["AP frequent"].value == pytest.approx(1 / 2)


def test_equal_names_suppress_each_other():
    twice = [
        proposed(1, ("wren", "mug"), (0.6, 0.4), 1.0, truth="mug"),
        proposed(2, ("mug", "wren"), (0.9, 0.1), 1.0, truth="mug"),
        proposed(3, ("wren",), (0.3,), 1.0, (60, 0, 50, 50), truth="wren"),
    ]
    of = {nms: of_proposals(twice, nms)["AP"].value for nms in (None, 0.5, 1.0)}
    assert of[None] == of[1.0] == pytest.approx((1 + 1 / 2) / 2)
    assert of[0.5] == of[None]  # the wren that is suppressed came last
    twice[0] = proposed(1, ("mug",), (0.95,), 1.0, truth="mug")
    other = {**lvis()["annotations"][0], "id": 14, "bbox": [0, 100, 50, 50]}
    twice.append(proposed(4, ("mug",), (0.2,), 1.0, (0, 100, 50, 50), truth="mug"))
    given = lvis()
    facts = {
        nms: Facts(
            annotations={
                **given,
                "images": [{"id": 1, "file_name": "val/1.jpg", "proposals": 4}],
                "annotations": [*given["annotations"][:2], other],
                "info": {"boxes": "proposed", "nms": nms},
            }
        )
        for nms in (None, 0.5)
    }
    found = {
        nms: {f.kind.name: f.value for _, f in boxes(twice, one)} for nms, one in facts.items()
    }
    # Both names of the first mug are right or wrong: 1, then 2/3; without the second, 1 and 1.
    assert found[0.5]["AP frequent"] == pytest.approx(1)
    assert found[None]["AP frequent"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_the_surest_hundred_of_an_image_count():
    sure = [proposed(at, ("wren",), (0.9,), 1.0, (300 + at, 300, 9, 9)) for at in range(100)]
    mug = proposed(100, ("mug",), (0.8,), 1.0, truth="mug")
    assert of_proposals([*sure[1:], mug])["AP frequent"].value == pytest.approx(1)
    assert of_proposals([*sure, mug])["AP frequent"].value == 0


def test_boxes_around_nothing_are_right_nowhere_and_wrong_nowhere():
    known = [proposed(at, ("mug", "crab"), (0.9, 0.1), 0.5, truth="mug") for at in range(3)]
    void = [proposed(at, ("mug", "crab"), (0.9, 0.1), 0.5) for at in range(3, 9)]

    def told(records):
        found = by_name(measure(records, Facts(annotations=lvis())))
        return {key: one for key, one in found.items() if not one.name.startswith("AP")}

    taken = {(None, name) for name in ("latency p50", "latency p95", "failed")}
    some, every = told(known), told([*known, *void])
    assert {key: every[key] for key in every.keys() - taken} == {
        key: some[key] for key in some.keys() - taken
    }
    assert told(void).keys() == taken
    missing = by_name(measure(void))["retrieval", "AP"]
    assert missing.why == "the run's annotations.json, which says what is around, is not there"


def test_what_boxes_around_nothing_take_counts():
    usage = Usage(input_tokens=100, output_tokens=10, cost=0.001)
    asked = Ranked(usage=usage, calls=1, parse_status="exact")
    one = proposed(1, ("mug",), (0.9,), 0.5, truth="mug")
    known = one.model_copy(
        update={"ranked": one.retrieval, "ranking": asked, "timings_ms": {"total": 10.0}}
    )
    cheap = asked.model_copy(update={"usage": Usage(input_tokens=40, output_tokens=10, cost=0.0)})
    void = [
        known.model_copy(
            update={
                "sample": f"val/1.jpg#p{at}", "truth": "", "ranking": cheap,
                "timings_ms": {"total": 30.0},
            }
        )
        for at in (2, 3)
    ]  # fmt: skip
    facts = Facts(annotations=lvis(), failed={known.cell: 1})
    found = by_name(measure([known, *void], facts))
    assert (found[None, "failed"].value, found[None, "failed"].n) == (1 / 4, 4)
    assert found[None, "latency p50"].value == 30
    assert found["ranked", "input tokens"].value == pytest.approx(60)
    assert found["ranked", "cost"].value == pytest.approx(1 / 3)
    assert found["ranked", "top-1"].n == 1
