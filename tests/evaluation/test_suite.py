"""Suites: what a file says, what --set changes, and what decides a run's name."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from rar_agent.detection import CropStyle
from rar_agent.errors import ConfigurationError, InputError, NotFoundError
from rar_agent.evaluation.datasets import load_card
from rar_agent.evaluation.report.paper import paper_rows
from rar_agent.evaluation.suite import (
    CropRecipe,
    FewShot,
    MemoryRecipe,
    Protocol,
    RankerRecipe,
    Suite,
    configuration_hash,
    find_suites,
    load_suite,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "evaluation.md"
FINE_GRAINED = ["cub200", "stanford_cars", "dogs120-full", "flowers", "oxford_pets"]
FEW_SHOT = [
    *("imagenet", "caltech101", "raf_db", "sun397", "eurosat", "dtd", "ucf101", "flowers"),
    *("stanford_cars", "food101", "oxford_pets", "fgvc_aircraft"),
]


@pytest.fixture
def own(tmp_path):
    """A home with a suite of the user's."""
    folder = tmp_path / "evals" / "suites"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("dataset: {images: photos}\n")
    return tmp_path


@pytest.mark.parametrize("name", find_suites(Path("no-home")))
def test_every_shipped_suite_can_be_run(tmp_path, name):
    suite = load_suite(name, tmp_path)
    assert suite.name == name
    assert suite.title
    assert suite.description
    assert load_card(suite.dataset, tmp_path).name == suite.dataset
    assert not suite.beside or suite.beside in paper_rows(tmp_path)
    assert set(suite.also) <= set(find_suites(tmp_path))


def test_every_table_of_the_paper_has_its_suites(tmp_path):
    rows = set()
    for table, prefix, cards in (
        ("few-shot", "fewshot", FEW_SHOT),
        ("vocabulary-free", "vocabulary-free", FINE_GRAINED),
    ):
        for card in cards:
            suite = load_suite(f"{prefix}-{card}", tmp_path)
            assert (suite.dataset, suite.protocol.kind) == (card, table)
            rows.add(suite.beside)
    of_tables = (row for row in paper_rows(tmp_path) if row.startswith(("few-shot", "vocabulary")))
    assert rows - {""} == {row for row in of_tables if not row.endswith("/mean")}
    shots = load_suite("fewshot-flowers", tmp_path).protocol
    assert shots == FewShot(shots=(1, 2, 4, 8, 16), seeds=(1, 2, 3))


def test_few_shot_suites_need_no_key_and_quick_no_network(tmp_path):
    for card in FEW_SHOT:
        assert load_suite(f"fewshot-{card}", tmp_path).ranker.model is None
    quick = load_suite("quick", tmp_path)
    for suite in (quick, *(load_suite(name, tmp_path) for name in quick.also)):
        assert suite.memory.encoder == "builtin"
        assert suite.ranker.model.startswith("simulated:")
        assert suite.smoke


def section(title):
    """That part of the document."""
    return DOCUMENT.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("prefix", "model"),
    [("", Suite), ("memory.", MemoryRecipe), ("crop.", CropRecipe), ("ranker.", RankerRecipe)],
)
def test_the_document_has_every_key_with_its_default(prefix, model):
    rows = [line.split("|") for line in section("Suites").splitlines() if line.startswith("| `")]
    said = {row[1].strip(" `"): row[2].strip(" `") for row in rows}
    keys = {name: f"{prefix}{name}" for name in model.model_fields}
    for part in ("memory", "crop", "ranker"):  # in the table by their own keys
        keys.pop(part, None)
    assert set(keys.values()) <= set(said)
    for name, default in model.model_construct().model_dump(mode="json").items():
        if name in keys and name != "protocol":  # which has a table of its own
            assert (yaml.safe_load(said[keys[name]]) or None) == (default or None), name


@pytest.mark.parametrize("model", get_args(Protocol), ids=lambda model: model.__name__)
def test_the_document_has_every_protocol_with_its_keys_and_defaults(model):
    defaults = model.model_construct().model_dump(mode="json")
    row = re.search(rf"^\| `{defaults.pop('kind')}` \|.*\|(.*)\|$", section("Suites"), re.MULTILINE)
    assert row, model
    said = yaml.safe_load("{" + ", ".join(re.findall(r"`(.+?)`", row[1])) + "}")
    assert set(said) == set(model.model_fields) - {"kind"}
    assert {**said, **defaults} == said


def test_the_document_has_every_shipped_suite_and_an_example(tmp_path):
    names = set(re.findall(r"`([a-z0-9_-]+)`", section("Suites")))
    assert set(find_suites(tmp_path)) <= names
    example = re.search(r"```yaml\n(.+?)```", section("Suites"), re.DOTALL)
    (tmp_path / "birds.yaml").write_text(example[1])
    assert load_suite(str(tmp_path / "birds.yaml"), tmp_path).ranker.prompt == "rank@1"


def test_one_line_is_a_suite(own):
    suite = load_suite("mine", own)
    assert suite.dataset == {"images": "photos"}
    assert suite.protocol == FewShot()
    assert "mine" in find_suites(own)


def test_changes_reach_any_depth(own):
    suite = load_suite(
        "mine", own, ["ranker.prompt=rank@2", "protocol.shots=[2]", "limit=7", "k = 3"]
    )
    assert suite.ranker.prompt == "rank@2"
    assert suite.protocol == FewShot(shots=(2,))
    assert (suite.limit, suite.k) == (7, 3)
    assert load_suite("mine", own, ["protocol.kind=zero-shot"]).protocol.kind == "zero-shot"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("k", "changes nothing"),
        ("=3", "changes nothing"),
        ("k=[", "no value that is YAML"),
        ("k=many", "'k' = 'many' is not valid"),
        ("ranker.promt=x", "no key 'ranker.promt'. Is it 'prompt'. Keys: model, "),
        ("rankr.model=x", "no key 'rankr'. Is it 'ranker'. Keys: name, "),
        ("protocol.shot=[1]", "no key 'protocol.shot'. Is it 'shots'. Keys: kind, shots, seeds"),
        ("protocol.shots=[-1]", "'protocol.shots.0' = -1 is not valid"),
        ("protocol.seeds=[]", "'protocol.seeds'"),
        ("protocol.seeds=[1, 1]", "a number stands twice"),
        ("protocol.kind=few", "protocol"),
        ("crop.blurr=0", "no key 'crop.blurr'. Is it 'blur'. Keys: scales, square, blur, outline"),
        ("crop.blur=2", "'crop' .* Crop blur 2.0 is not from 0 to 1"),
        ("crop.scales=[1, 1]", "'crop.scales.2'"),
        ("protocol={kind: crops, styles: {}}", "'protocol.styles' = {} is not valid"),
        ("protocol={kind: crops, styles: {A/b: {}}}", "'protocol.styles.A/b.*is not valid"),
        ("protocol={kind: crops, styles: {a: {blur: -1}}}", "Crop blur -1.0 is not from 0 to 1"),
        ("metrics=[top-1, top1]", "no metric 'top1'; there is top-1, top-5, .*latency p50"),
    ],
)
def test_a_change_that_is_none(own, change, says):
    with pytest.raises(InputError, match=says.replace("'", ".")):
        load_suite("mine", own, [change])


def test_files_that_are_no_suites(own, tmp_path):
    with pytest.raises(NotFoundError, match="There is: mine, "):
        load_suite("nosuch", own)
    for text, says in (("[", "cannot be read"), ("3", "has no keys"), ("k: 3", "'dataset'")):
        file = tmp_path / "bad.yaml"
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=says):
            load_suite(str(file), own)


def test_titles_decide_nothing_and_all_else_does(own):
    suite = load_suite("mine", own)
    told = {"title": "Mine", "metrics": ("ECE",), "also": ("quick",), "smoke": True}
    same = suite.model_copy(update=told)
    assert configuration_hash(same.configuration) == configuration_hash(suite.configuration)
    hashes = {
        configuration_hash(load_suite("mine", own, [change]).configuration)
        for change in ("k=5", "k=6", "limit=3", "memory.encoder=builtin", "ranker.orders=2")
    }
    assert len(hashes) == 5
    assert configuration_hash(suite.configuration) in hashes  # k is 5 anyway
    shuffled = dict(reversed(list(suite.configuration.items())))
    assert configuration_hash(shuffled) == configuration_hash(suite.configuration)


def test_a_suite_is_written_as_it_was_read(own, tmp_path):
    suite = load_suite("mine", own, ["protocol.shots=[1, 2]"])
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(suite.model_dump(mode="json")))
    assert load_suite(str(tmp_path / "again.yaml"), own) == suite


def test_a_crop_is_changed_and_is_no_part_of_what_decides_images(own):
    suite = load_suite("mine", own, ["crop.blur=0", "crop.outline=true"])
    assert suite.crop == CropRecipe(blur=0, outline=True)
    assert suite.crop.style == CropStyle(blur=0, outline=True)
    assert CropRecipe().style == CropStyle()
    assert suite.configuration == load_suite("mine", own).configuration
