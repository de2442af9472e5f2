"""Runs as LangSmith's data sets, over HTTP."""

import json

import pytest
from langsmith.utils import get_env_var

from rar_agent.errors import ConfigurationError, ProviderError
from rar_agent.evaluation.export import prepare_upload
from rar_agent.settings import load_settings
from tests.conftest import draw
from tests.evaluation.export.langsmith_server import LangSmithServer


@pytest.fixture
def langsmith(monkeypatch):
    with LangSmithServer() as server:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
        monkeypatch.setenv("LANGSMITH_API_KEY", "lsv2_pt_0123456789")
        get_env_var.cache_clear()
        yield server
    monkeypatch.undo()
    get_env_var.cache_clear()


def test_an_example_an_image_without_pictures_and_none_twice(run, langsmith, tmp_path):
    upload = prepare_upload(run, load_settings())
    assert langsmith.requests == 0
    for part in (langsmith.url, "'birds-01234567'", "3 examples", "no pictures"):
        assert part in upload.leaves
    sent, place = upload.send()
    assert sent == 3
    assert place.endswith(langsmith.dataset["id"])
    assert langsmith.dataset["name"] == "birds-01234567"
    for said in ("Two birds.", "Partial: 4 of 5", "Only two."):
        assert said in langsmith.dataset["description"]
    one = next(e for e in langsmith.examples.values() if b"test/robin/0.jpg" in e["inputs"])
    assert set(one) == {"", "inputs", "outputs"}
    assert json.loads(one["inputs"])["candidates"] == ["wren", "robin"]
    assert json.loads(one["outputs"]) == {"category": "robin"}
    metadata = json.loads(one[""])["metadata"]
    assert metadata["right"] == {"retrieval": False, "ranked": True}
    assert metadata["asked"]["prompt"] == "rank@1"
    assert str(tmp_path).encode() not in langsmith.received
    assert prepare_upload(run, load_settings()).send()[0] == 0
    assert len(langsmith.examples) == 3


def test_pictures_are_sent_where_that_is_asked_for(run, langsmith, tmp_path):
    for part, at in (("train", 0), ("test", 1)):
        for category in ("robin", "wren"):
            folder = tmp_path / "photos" / part / category
            folder.mkdir(parents=True)
            draw("red", at + len(category)).save(folder / "0.jpg", comment=b"my garden")
    upload = prepare_upload(run, load_settings(), "mine", images=True)
    assert "JPEGs" in upload.leaves
    upload.send()
    pictures = [one["attachment.image"] for one in langsmith.examples.values() if len(one) == 4]
    assert [picture[:2] for picture in pictures] == [b"\xff\xd8"]
    assert b"my garden" not in langsmith.received


@pytest.mark.parametrize(("status", "kind"), [(401, ConfigurationError), (400, ProviderError)])
def test_refusals_are_told(run, langsmith, status, kind):
    langsmith.refuses = status
    with pytest.raises(kind, match="LANGSMITH_"):
        prepare_upload(run, load_settings()).send()
