"""Average precision, to the last digit that of the official tools fed with files."""

import io
import json
import random
import sys
import types
from contextlib import redirect_stdout
from importlib.machinery import PathFinder

import numpy as np
import pytest

from rar_agent.evaluation.metrics.precision import precision_of

SAID = (
    (0.37535845251191785, 0.49854235423542353, 0.27791804180418045, 0.34961496149614957),
    (0.3522431886045747, 0.2944480162301944, 0.3669801980198019, 0.39530135156372775),
)


def drawn(seed, federated, ties=False):
    """Annotations and results with all that the tools tell apart, drawn by a seed."""
    r = random.Random(seed)
    categories = [
        {"id": 3 * at + 1, "name": f"c{at}", "frequency": "rcf"[at % 3]} for at in range(9)
    ]
    r.shuffle(categories)
    ids = [one["id"] for one in categories]
    images, annotations, results = [], [], []
    for at in range(12):
        image = {"id": 100 - 7 * at, "file_name": f"{at}.jpg"}
        if federated:
            some = r.sample(ids, 5)
            image |= {"neg_category_ids": some[:3], "not_exhaustive_category_ids": some[2:]}
        images.append(image)
        for _ in range(r.randint(0, 9)):
            box = [r.uniform(0, 200), r.uniform(0, 200), r.uniform(3, 200), r.uniform(3, 200)]
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": image["id"], "bbox": box,
                    "category_id": r.choice(ids), "area": box[2] * box[3] * r.uniform(0.4, 1),
                    "iscrowd": int(not federated and r.random() < 0.1),
                }
            )  # fmt: skip
            for _ in range(r.randint(0, 4)):
                near = [side + r.uniform(-2, 8) for side in box]
                right = annotations[-1]["category_id"]
                results.append(
                    {
                        "image_id": image["id"], "bbox": r.choice([box, near]),
                        "category_id": right if r.random() < 0.5 else r.choice(ids),
                        "score": r.choice([0.1, 0.2, 0.5]) if ties else r.random(),
                    }
                )  # fmt: skip
    r.shuffle(annotations)
    r.shuffle(results)
    return {
        "info": {},
        "images": images,
        "categories": categories,
        "annotations": annotations,
    }, results


def written(folder, truths, results):
    """Files, as the tools read them."""
    files = folder / "truths.json", folder / "results.json"
    for file, data in zip(files, (truths, results), strict=True):
        file.write_text(json.dumps(data))
    return map(str, files)


def by_coco(truths, results):
    """AP, AP50, AP small, medium, large by pycocotools, of files."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with redirect_stdout(io.StringIO()):
        gold = COCO(truths)
        evaluation = COCOeval(gold, gold.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[[0, 1, 3, 4, 5]].tolist()


def by_lvis(truths, results, monkeypatch):
    """AP, AP50, AP small, medium, large, rare, common, frequent by lvis 0.5.3, of files.

    It is of 2020: it takes `float` by a name that numpy 2 has no more, and its parts that draw,
    which nobody needs here, are kept from being imported.
    """
    found = PathFinder.find_spec("lvis")
    if found is None:
        pytest.skip("lvis is not installed")
    package = types.ModuleType("lvis")
    package.__path__ = found.submodule_search_locations
    monkeypatch.setitem(sys.modules, "lvis", package)
    monkeypatch.setattr(np, "float", float, raising=False)
    from lvis.eval import LVISEval

    evaluation = LVISEval(truths, results, "bbox")
    evaluation.run()
    names = ("AP", "AP50", "APs", "APm", "APl", "APr", "APc", "APf")
    return [float(evaluation.results[name]) for name in names]


def ours(truths, results):
    """The eight."""
    found = precision_of(truths, results)
    every, parts = found.values[..., 0], np.moveaxis(found.values, -1, 0)[1:]
    groups = [
        every[..., [at for at, one in enumerate(found.categories) if one["frequency"] == letter]]
        for letter in "rcf"
    ]
    some = (every, every[:1], *parts, *groups)
    return [float(one[one > -1].mean()) if (one > -1).any() else -1.0 for one in some]


@pytest.mark.parametrize("seed", range(12))
def test_as_pycocotools_says(seed, tmp_path):
    truths, results = drawn(seed, federated=False, ties=seed % 3 == 0)
    assert ours(truths, results)[:5] == by_coco(*written(tmp_path, truths, results))


def test_as_lvis_said():
    """What lvis 0.5.3 gave for the first two, which holds where it is not installed."""
    for seed, (every, rare, common, frequent) in enumerate(SAID):
        figures = ours(*drawn(seed, federated=True))
        assert [figures[0], *figures[5:]] == [every, rare, common, frequent]


@pytest.mark.parametrize("seed", range(12))
def test_as_lvis_says(seed, tmp_path, monkeypatch):
    truths, results = drawn(seed, federated=True, ties=seed % 3 == 0)
    assert ours(truths, results) == by_lvis(*written(tmp_path, truths, results), monkeypatch)
