"""What docs/detection.md says of the usual crop, on a part of the boxes it was measured on."""

import pytest

from rar_agent.evaluation.annotations import read_annotations
from rar_agent.evaluation.metrics.measure import measure
from rar_agent.evaluation.metrics.metric import Facts
from rar_agent.evaluation.run import prepare_run, read_run
from rar_agent.evaluation.suite import load_suite
from rar_agent.settings import load_settings

pytestmark = [pytest.mark.data, pytest.mark.slow]

STYLES = "{usual: {}, paper: {square: false, blur: 0.05}}"


def test_the_usual_crop_names_more_boxes_than_the_papers(data, tmp_path, monkeypatch):
    """Of all 929: top-1 21.1 and 18.0 %, AP 38.6 and 34.4."""
    monkeypatch.setenv("RAR_DATA", str(data))
    settings = load_settings(home=tmp_path, device="cpu")
    changes = [f"protocol.styles={STYLES}", "limit=300"]
    run = prepare_run(load_suite("coco128-crops", tmp_path, changes), settings, tmp_path / "out")
    run.go_on()
    _, records, failed = read_run(tmp_path / "out")
    assert (len(records), failed) == (600, [])
    facts = Facts(annotations=read_annotations(tmp_path / "out"))
    found = {(one.name, one.cell): one.value for one in measure(records, facts)}
    # Of as many boxes, evenly over the categories: the rare ones are easier than people.
    for name, usual, paper in (("top-1", 0.337, 0.300), ("AP", 0.461, 0.413)):
        assert found[name, "usual"] == pytest.approx(usual, abs=0.02)
        assert found[name, "paper"] == pytest.approx(paper, abs=0.02)
        assert found[name, "usual"] > found[name, "paper"]
