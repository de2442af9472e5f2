"""The paper's figures: of which data sets, and beside which of ours."""

import pytest
import yaml

from rar_agent.content import content_folders
from rar_agent.errors import NotFoundError
from rar_agent.evaluation.datasets import load_card
from rar_agent.evaluation.datasets.card import find_cards
from rar_agent.evaluation.report.paper import beside_paper, paper_rows
from rar_agent.evaluation.report.tables import titles_of
from tests.evaluation.report.conftest import METRICS, described


@pytest.fixture
def tables(tmp_path):
    """As the file has them."""
    (folder,) = content_folders("evals", tmp_path)
    return yaml.safe_load((folder / "paper.yaml").read_text())["tables"]


def beside(tmp_path, row, dataset):
    """The column beside a run of that data set."""
    run = described()
    run["dataset"]["name"] = dataset
    return beside_paper(row, run, METRICS, titles_of("simulated:0.8"), tmp_path)


def texts(row):
    return [row[0], *(cell.text for cell in row[1:])]


def test_each_data_set_is_a_card_with_as_many_test_images(tables, tmp_path):
    for table in tables.values():
        for name, (_, test) in table["datasets"].items():
            if name != "mean":
                assert name in find_cards(tmp_path)
                assert test in (None, load_card(name, tmp_path).counts.test)


@pytest.mark.parametrize("table", ["few-shot", "vocabulary-free"])
def test_means_are_means(tables, table):
    assert list(tables[table]["datasets"])[-1] == "mean"
    for quoted in tables[table]["figures"]:
        *each, mean = quoted["percent"]
        assert sum(each) / len(each) == pytest.approx(mean, abs=0.051), quoted


def test_its_column_stands_beside_ours(tmp_path):
    found = beside(tmp_path, "few-shot/flowers", "flowers")
    rows = [texts(row) for row in found.figures.rows]
    assert rows[:2] == [
        ["4-shot, top-1", "84.5 %", "61.2 %"],
        ["4-shot, top-1", "80.4 %", "84.6 %"],
    ]
    assert rows[2] == ["8-shot, top-1", "89.5 %", "-"]


@pytest.mark.parametrize(("dataset", "same"), [("flowers", "same"), ("cub100", "differs")])
def test_another_data_set_differs(tmp_path, dataset, same):
    found = beside(tmp_path, "few-shot/flowers", dataset)
    row = next(texts(row) for row in found.differences.rows if row[0] == "data set")
    assert any(same in text.split() for text in row)


def test_a_row_that_there_is_not(tmp_path):
    assert "vocabulary-free/dogs120-full" in paper_rows(tmp_path)
    with pytest.raises(NotFoundError, match="few-shot/imagenet, few-shot/caltech101"):
        beside(tmp_path, "few-shot/pets", "oxford_pets")
