"""Suites: what a file says, what --set changes, and what decides a run's name."""

import pytest
import yaml

from rar_agent.errors import ConfigurationError, InputError, NotFoundError
from rar_agent.evaluation.suite import FewShot, configuration_hash, find_suites, load_suite


@pytest.fixture
def own(tmp_path):
    """A home with a suite of the user's."""
    folder = tmp_path / "evals" / "suites"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("dataset: {images: photos}\n")
    return tmp_path


def test_every_shipped_suite_is_valid(tmp_path):
    names = find_suites(tmp_path)
    assert {"quick", "cub100"} <= set(names)
    for name in names:
        suite = load_suite(name, tmp_path)
        assert suite.name == name
        assert suite.title
        assert suite.description


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
        ("ranker.promt=x", "ranker.promt"),
        ("protocol.kind=few", "protocol"),
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
    same = suite.model_copy(update={"title": "Mine", "description": "x", "smoke": True})
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
