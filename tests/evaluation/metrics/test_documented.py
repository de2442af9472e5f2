"""The table of metrics in the documents is complete, and has no others."""

import re
from pathlib import Path

from rar_agent.evaluation.metrics import Facts, measure
from rar_agent.evaluation.metrics.names import metric_names
from rar_agent.evaluation.record import Ranked
from tests.evaluation.records import record

DOCUMENT = Path(__file__).parents[3] / "docs" / "evaluation.md"


def test_every_metric_is_documented():
    one = record("1#1", "a", knn="a", retrieval="a", ranked="a", alone="a", ranking=Ranked())
    one = one.model_copy(update={"box": (0, 0, 9, 9)})
    section = DOCUMENT.read_text("utf-8").partition("## Metrics\n")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE))
    measured = measure([one], Facts(rare=frozenset({"a"})))
    assert documented == {metric.name for metric in measured} == set(metric_names())
