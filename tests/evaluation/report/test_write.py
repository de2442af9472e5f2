"""What a report says is what was measured, whatever names hold."""

import json

import pytest

from rar_agent.errors import InputError
from rar_agent.evaluation.report import write_report
from tests.evaluation.report.conftest import (
    CURVES,
    METRICS,
    RECORDS,
    coloured,
    described,
)


def test_the_page_holds_the_figures_and_needs_nothing_else(report):
    page = report.html.read_text("utf-8")
    for said in ("84.6 %", "75.7 % to 96.8 %", "61.2 %", "Flowers &amp; more", "formula of top-1"):
        assert said in page
    assert "Simulated: the ranking model is a stand-in" in page
    assert "Caution: half of it is &lt;i&gt;synthetic&lt;/i&gt;." in page
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page
    assert "default-src 'none'" in page


def test_names_are_text_wherever_they_stand(report):
    page = report.html.read_text("utf-8")
    assert "<img src=x" not in page
    assert "<b>this</b>" not in page
    assert page.count("</script>") == page.count("<script")
    assert "window.hit=2</script>" not in report.markdown.read_text("utf-8").split("```")[0]


def test_markdown_is_short_and_says_how_it_was_made(report):
    text = report.markdown.read_text("utf-8")
    assert "| 4-shot | 61.2 % (52.3 % to 73.5 %, n = 7) |" in text
    assert "arXiv 2403.13805" in text
    assert "rar-agent eval run flowers" in text
    assert "0123456789abcdef" in text
    assert "1 image could not be answered" in text


def test_json_has_everything(report):
    said = json.loads(report.json.read_text("utf-8"))
    assert said["run"] == described()
    assert [m["value"] for m in said["metrics"]] == [m.value for m in METRICS]
    assert said["curves"] == CURVES.model_dump(mode="json")
    assert said["failures"][0]["error"] == "no <image>"


def test_too_few_exemplars_are_told(tmp_path):
    run = described(beside="")
    run["cells"]["4-shot-seed1"]["short"] = 2
    paths = write_report(tmp_path, run, [], [], type(CURVES)(), coloured)
    for text in (paths.html.read_text("utf-8"), paths.markdown.read_text("utf-8")):
        assert "4-shot: 2 categories with fewer exemplars than that" in text.replace("\\", "")


def test_a_run_of_nothing_has_a_report(tmp_path):
    run = described(beside="", ranker={"model": None})
    paths = write_report(tmp_path, run, [], [], type(CURVES)(), coloured)
    assert "0 answers" in paths.html.read_text("utf-8")
    assert "Partial: 0 of 9 answers." in paths.markdown.read_text("utf-8")


def test_a_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="cannot be written to"):
        write_report(tmp_path / "no" / "where", described(), RECORDS, [], CURVES, coloured)
