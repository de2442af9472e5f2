"""A small run with known figures, and its report."""

from types import SimpleNamespace

import pytest
from PIL import Image

from rar_agent.batch import Entry
from rar_agent.evaluation.compare import compare
from rar_agent.evaluation.metrics import Metric
from rar_agent.evaluation.record import Answer, Ranked, Record, Seen
from rar_agent.evaluation.report import Curves, write_report
from rar_agent.evaluation.report.compared import Compared, Side, write_comparison
from rar_agent.evaluation.report.samples import BLOCK
from rar_agent.types import Usage

HOSTILE = "<img src=x onerror=window.hit=1></script><script>window.hit=2</script>|`Käfer` 小"
"""A category's name that is markup; it is a name all the same."""
NAMES = ("wren", "robin", HOSTILE)


def described(**suite):
    """As `run.json` holds it."""
    return {
        "suite": {
            "name": "flowers",
            "title": "Flowers & more",
            "description": "What <b>this</b> says.",
            "beside": "few-shot/flowers",
            "smoke": False,
            "k": 5,
            "limit": 200,
            "protocol": {"kind": "few-shot", "shots": [1, 4], "seeds": [1]},
            "ranker": {"model": "simulated:0.8"},
            **suite,
        },
        "configuration": {"seed": 0},
        "configuration_hash": "0123456789abcdef",
        "dataset": {
            "name": "flowers",
            "title": "Flowers102",
            "checksum": "sha256:1234",
            "categories": 3,
            "train": 12,
            "test": 2463,
            "caution": "Caution: half of it is <i>synthetic</i>.",
            "renamed": {"old": "wren"},
            "rare": [],
        },
        "cells": {"4-shot-seed1": {"name": "4-shot, seed 1", "known": 3, "test": 9}},
        "encoder": {"name": "builtin", "fingerprint": {}},
        "versions": {"rar-agent": "0.1", "torch": "2.9"},
        "machine": "Linux, Python 3.12",
        "began": "2026-01-02T03:04:05Z",
    }


def record(number, truth, retrieved, ranked, cell="4-shot, seed 1", **given):
    """A record whose ways answered these names, the first best."""
    shares = (0.7, 0.2, 0.1)
    return Record(
        cell=cell,
        sample=f"test/{truth[:5]}/{number}.jpg",
        truth=truth,
        sha256=f"{number:064x}",
        knn=Answer(names=retrieved),
        retrieval=Answer(names=retrieved, probabilities=shares[: len(retrieved)]),
        ranked=Answer(
            names=ranked,
            probabilities=(0.5 + number / 1_000, 0.3, 0.1)[: len(ranked)],
            accepted=given.pop("accepted", True),
        ),
        ranking=Ranked(
            model="simulated:0.8",
            ranker="listwise",
            prompt="rank@1",
            prompt_hash="abcdef012345",
            parse_status=given.pop("status", "exact"),
            repairs=given.pop("repairs", 0),
            degraded=given.pop("degraded", False),
            order=ranked,
            calls=1,
            usage=Usage(input_tokens=321, output_tokens=45, cost=0.000123),
            raw=f"raw answer {number} </script><img src=x onerror=window.hit=3>",
        ),
        seen=tuple(
            Seen(name=name, source=f"train/{name[:5]}/1.jpg", similarity=0.5) for name in retrieved
        ),
        familiarity=0.25,
        timings_ms={"encode": 12.34, "total": 20.0},
    )


WREN, ROBIN = NAMES[:2]
RECORDS = [
    record(1, WREN, (WREN, ROBIN), (WREN, ROBIN)),
    record(2, WREN, (ROBIN, WREN), (WREN, ROBIN)),  # correction
    record(3, WREN, (WREN, ROBIN), (ROBIN, WREN)),  # regression
    record(4, ROBIN, (WREN, HOSTILE), (WREN, HOSTILE)),  # not retrieved
    record(5, ROBIN, (ROBIN, WREN), (ROBIN, WREN), accepted=False),
    record(6, HOSTILE, (ROBIN, HOSTILE), (ROBIN, HOSTILE), degraded=True),
    record(7, HOSTILE, (HOSTILE, ROBIN), (HOSTILE, ROBIN), status="repaired", repairs=2),
    record(8, HOSTILE, (HOSTILE, ROBIN), (HOSTILE, ROBIN), cell="1-shot, seed 1"),
]


def metric(name, way, cell, value, low=None, high=None, **given):
    return Metric(
        name=name, way=way, cell=cell, value=value, low=low, high=high, n=7,
        formula=f"formula of {name}", interval="Wilson's", **given,
    )  # fmt: skip


METRICS = [
    metric("top-1", "knn", "1-shot", 0.4001, 0.3, 0.5),
    metric("top-1", "ranked", "1-shot", 0.5002, 0.4, 0.6),
    metric("top-1", "knn", "4-shot", 0.6123, 0.5234, 0.7345),
    metric("top-1", "ranked", "4-shot", 0.8456, 0.7567, 0.9678),
    metric("top-1", "ranked", "4-shot, seed 1", 0.8456, 0.7567, 0.9678),
    metric("AUROC", "ranked", "4-shot", None, why="no answer was <wrong>"),
    metric("cost", "ranked", "1-shot", 1.25, unit="dollars"),
    metric("cost", "ranked", "4-shot", 2.5, 2, 3, unit="dollars", better="lower"),
    metric("latency p50", None, "4-shot", 1234.5, 1200, 1300, unit="ms", better="lower"),
]
CURVES = Curves.model_validate(
    {
        "risk_coverage": [
            {"way": "ranked", "cell": "4-shot", "points": [(0.5, 0.1), (0.75, 0.2), (1.0, 0.4)]}
        ],
        "reliability": [
            {
                "way": "ranked",
                "cell": "4-shot",
                "bins": [
                    {"confidence": 0.35, "right": 0.25, "low": 0.1, "high": 0.5, "n": 3},
                    {"confidence": 0.85, "right": 0.9, "low": 0.6, "high": 0.97, "n": 4},
                ],
            }
        ],
        "categories": [
            {"name": WREN, "way": "ranked", "right": 0.667, "low": 0.2, "high": 0.9, "n": 3},
            {"name": HOSTILE, "way": "ranked", "right": 0.5, "n": 2},
        ],
        "confusions": [
            {"way": "ranked", "truth": WREN, "answer": ROBIN, "count": 1},
            {"way": "ranked", "truth": HOSTILE, "answer": ROBIN, "count": 1},
            {"way": "knn", "truth": ROBIN, "answer": HOSTILE, "count": 99},
        ],
    }
)


def coloured(key):
    """A picture for each key that names an image; one is gone."""
    shade = sum(key.encode()) % 200
    return (
        None if key.endswith("/2.jpg") else Image.new("RGB", (300, 200), (shade, 90, 200 - shade))
    )


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """The report's paths, with what it was made of."""
    folder = tmp_path_factory.mktemp("run")
    failures = [
        Entry("4-shot-seed1/test/x.jpg", {"error": "no <image>", "kind": "ImageError"}, True)
    ]
    paths = write_report(
        folder, described(), RECORDS, METRICS, CURVES, coloured, failures, home=folder
    )
    return SimpleNamespace(**paths._asdict(), records=RECORDS, metrics=METRICS)


@pytest.fixture(scope="session")
def long_report(tmp_path_factory):
    """Of as many records as three blocks hold, right and wrong by turns."""
    folder = tmp_path_factory.mktemp("long-run")
    orders = [(WREN, ROBIN), (ROBIN, WREN)]
    records = [record(n, WREN, orders[0], orders[n % 2]) for n in range(2 * BLOCK + 50)]
    return write_report(folder, described(beside=""), records, [], Curves(), coloured, home=folder)


@pytest.fixture(scope="session")
def comparison(tmp_path_factory):
    """The page of two runs, of which the other did not rank, and what it was made of."""
    others = [one.model_copy(update={"ranked": one.retrieval}) for one in RECORDS]
    found = compare(RECORDS, others, "ranked", "ranked", "before", "after")
    page = Compared(
        title="before <i>and</i> after",
        sides={"before": Side("ranked", RECORDS), "after": Side("ranked", others)},
        comparisons=[found],
        cautions=["Caution: half of it is <i>synthetic</i>."],
        changes={"rank@1 to rank@2": "-a\n+<script>window.hit=4</script>"},
        command="rar-agent eval compare before after",
    )
    place = tmp_path_factory.mktemp("compared") / "page"
    return SimpleNamespace(**write_comparison(place, page, coloured)._asdict(), found=found)
