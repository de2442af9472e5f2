"""The table of metrics in the documents is complete, and has no others."""

import re
from pathlib import Path

from rar_agent.evaluation.metrics import measure
from rar_agent.evaluation.record import Ranked
from tests.evaluation.records import record

DOCUMENT = Path(__file__).parents[3] / "docs" / "evaluation.md"


def test_every_metric_is_documented():
    one = record("1", "a", knn="a", retrieval="a", ranked="a", alone="a", ranking=Ranked())
    section = DOCUMENT.read_text("utf-8").partition("## Metrics\n")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE))
    assert documented == {metric.name for metric in measure([one])}
