"""Published figures: what the table says is what the files hold, and what made them is in them."""

import json
from pathlib import Path

import pytest

from benchmarks.results import rows
from rar_agent.evaluation.suite import Suite, configuration_hash

RESULTS = Path(__file__).parents[2] / "evals" / "results"
FILES = sorted(RESULTS.glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_says_what_made_it(file):
    found = json.loads(file.read_text("utf-8"))
    run = found["run"]
    assert configuration_hash(run["configuration"]) == run["configuration_hash"]
    suite = Suite.model_validate(run["suite"])
    assert suite.configuration == run["configuration"]["suite"]
    assert run["command"].startswith(f"rar-agent eval run {suite.name}")
    assert run["versions"]["rar-agent"]
    assert run["dataset"]["caution"]
    for metric in found["metrics"]:
        assert found["formulas"][metric["name"]]["formula"]
    text = file.with_suffix(".md").read_text("utf-8")
    assert run["configuration_hash"] in text
    simulated = (suite.ranker.model or "").startswith("simulated:")
    assert ("**Simulated: " in text) == simulated


def test_the_table_is_of_the_files():
    table = (RESULTS / "README.md").read_text("utf-8")
    for file in FILES:
        found = json.loads(file.read_text("utf-8"))
        if found["run"]["suite"]["protocol"]["kind"] == "few-shot":
            for row in rows(file.stem, found):
                assert row in table
    assert FILES
