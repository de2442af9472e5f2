"""Which charts a run has, by what its cells are called."""

import pytest

from rar_agent.evaluation.cells import cells_of
from rar_agent.evaluation.report import Curves
from rar_agent.evaluation.report.charts import charts_of
from rar_agent.evaluation.report.tables import titles_of
from rar_agent.evaluation.suite import Suite
from tests.evaluation.report.conftest import metric

TITLES = titles_of(None)


@pytest.mark.parametrize(
    ("protocol", "axis", "counts"),
    [
        ({"kind": "few-shot", "shots": [1, 4], "seeds": [1]}, "exemplars a category", [1, 4]),
        ({"kind": "categories", "counts": [2, 6]}, "categories that are known", [2, 6]),
        ({"kind": "candidates", "ks": [1, 3, 5], "shots": 1}, "candidates", [1, 3, 5]),
    ],
)
def test_accuracy_is_drawn_by_what_a_protocol_counts(drawings, protocol, axis, counts):
    suite = Suite(name="s", dataset="drawings", protocol=protocol, memory={"encoder": "builtin"})
    groups = [cell.group for cell in cells_of(suite, drawings)]
    found = charts_of([metric("top-1", "retrieval", one, 0.5) for one in groups], Curves(), TITLES)
    assert [chart.title for chart in found] == [f"Accuracy by {axis}"]
    assert [point.x for point in found[0].series[0].points] == counts


def test_what_a_model_reads_is_drawn_by_the_categories_it_chooses_from():
    cells, sent = ("10 categories", "100 categories"), {"ranked": 500, "alone": 900}
    metrics = [
        metric(name, way, cell, tokens if name == "input tokens" else 0.5)
        for cell in cells
        for way, tokens in sent.items()
        for name in ("top-1", "input tokens")
    ]
    found = {chart.key: chart for chart in charts_of(metrics, Curves(), TITLES)}
    reading = found["reading"]
    assert reading.title == "Tokens by categories that are known"
    assert {s.name: [p.y for p in s.points] for s in reading.series} == {
        "ranked": [500, 500],
        "model alone": [900, 900],
    }
    assert found["growing"].y.percent


def test_one_setting_is_no_curve():
    assert charts_of([metric("top-1", "retrieval", "4-shot", 0.5)], Curves(), TITLES) == []
