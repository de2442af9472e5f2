"""A cell that is asked: records that say what a user would have got."""

import json
import threading

import pytest

from rar_agent.evaluation.asked import Asked
from rar_agent.evaluation.cells import cells_of
from rar_agent.evaluation.embeddings import KeptEncoder
from rar_agent.evaluation.learning import learn
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.suite import Suite
from rar_agent.images import admit, to_picture
from rar_agent.recognizer import Recognizer
from rar_agent.settings import load_settings
from tests.conftest import COLOURS
from tests.evaluation.seeing import colour_of
from tests.openai_server import Reply, pictures_of


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("asked")


@pytest.fixture
def cell_of(place, builtin, drawings):
    """A cell of 4 shots, and how a suite asks it."""

    def make(**options):
        suite = Suite(name="x", dataset="x", protocol={"shots": [4], "seeds": [1]}, **options)
        [cell] = cells_of(suite, drawings)
        encoder = KeptEncoder(builtin, place / "kept")
        settings = load_settings(home=place / "home", device="cpu")
        learn(cell, suite, drawings, encoder, place / "memories", settings)
        asked = Asked(cell, suite, drawings, encoder, place / "memories", settings)
        return cell, asked

    return make


def records(asked, samples):
    """In order; a model may answer in another."""
    entries = {entry.key: entry for entry in asked.entries("cell/", samples)}
    assert sorted(entries) == sorted(f"cell/{sample}" for sample in samples)
    return [Record.model_validate(entries[f"cell/{sample}"].result) for sample in samples]


def test_retrieval_and_the_papers_neighbours_side_by_side(cell_of, place, drawings):
    cell, asked = cell_of()
    samples = [one.key for one in cell.test]
    found = records(asked, samples)
    own = Recognizer(cell.slug, home=place / "memories", device="cpu")
    for record, one in zip(found, cell.test, strict=True):
        assert record.truth == drawings.categories[one.category].name
        assert (record.cell, record.sample) == ("4-shot, seed 1", one.key)
        assert len(record.knn.names) == len(record.retrieval.names) == 5
        assert record.ranked is record.ranking is record.alone is None
    for record, one in list(zip(found, cell.test, strict=True))[::9]:
        same = own.recognize(one.file)  # as a user would ask
        assert record.sha256 == same.image
        assert record.retrieval.names == tuple(c.category.name for c in same.categories)
        assert record.retrieval.probabilities == pytest.approx(
            [c.probability for c in same.categories], abs=1e-6
        )
        assert record.retrieval.accepted == (same.decision == "accepted")
        near = own.recognize(one.file, method="knn")
        assert record.knn.names == tuple(c.category.name for c in near.categories)
        assert record.seen[0].source == same.categories[0].exemplars[0].source


def test_an_answer_that_is_late_holds_back_no_other(cell_of, server):
    ways = ["retrieval", "ranked", "alone"]
    cell, asked = cell_of(ranker={"model": "m", "base_url": server.url}, ways=ways)
    free, samples = threading.Event(), [one.key for one in cell.test]
    late = to_picture(admit(cell.test[0].file).rgb).jpeg
    server.answer = lambda body: Reply(
        '{"ranking": ["A"], "names": []}', until=free if late in pictures_of(body) else None
    )
    entries = asked.entries("cell/", samples)
    try:
        first = [next(entries) for _ in samples[1:]]
    finally:
        free.set()
    assert {entry.key for entry in first} == {f"cell/{sample}" for sample in samples[1:]}
    assert [entry.key for entry in entries] == [f"cell/{samples[0]}"]


def test_a_model_ranks_and_is_quoted(cell_of, server):
    server.script = [Reply('{"ranking": ["B", "A", "C", "D", "E"]}')]
    cell, asked = cell_of(ranker={"model": "m", "base_url": server.url}, ways=["ranked"])
    [record] = records(asked, [cell.test[0].key])
    ranking = record.ranking
    assert ranking.model == "m"
    assert (ranking.prompt, ranking.parse_status) == ("rank@1", "exact")
    assert ranking.calls == 1
    assert ranking.raw == '{"ranking": ["B", "A", "C", "D", "E"]}'
    assert sorted(ranking.order) == sorted(record.retrieval.names)
    assert ranking.usage.input_tokens == 300
    assert set(record.ranked.names) == set(record.retrieval.names)


def test_a_model_that_fails_is_a_degraded_record(cell_of, server):
    server.script = [Reply(status=400)]
    cell, asked = cell_of(ranker={"model": "m", "base_url": server.url}, ways=["ranked"])
    [record] = records(asked, [cell.test[1].key])
    assert record.ranking.degraded
    assert "400" in record.ranking.reason
    assert record.ranked.names == record.retrieval.names


def test_a_model_alone_chooses_among_the_names(cell_of, server):
    def answer(request):
        asked = request["messages"][-1]["content"]
        if "which are in no particular order" in str(asked) or "options" in str(asked):
            return Reply('{"ranking": ["A", "B", "C", "D", "E"]}')
        seen = colour_of(request)
        others = [one for one in COLOURS if one != seen][:3]
        return Reply(json.dumps({"names": [f"{one} discs" for one in (seen, "pink", *others)]}))

    server.answer = answer
    cell, asked = cell_of(ranker={"model": "m", "base_url": server.url})
    some = [one.key for one in cell.test][::7]
    for record in records(asked, some):
        assert record.alone.names[0] == record.truth
        assert len(record.alone.names) == 4  # pink discs are none of the list
        how = record.asked_alone
        assert (how.prompt, how.parse_status, how.repairs) == ("alone@1", "repaired", 1)
        assert (how.shown, how.calls, how.usage.input_tokens) == (6, 1, 300)
        assert record.ranking.calls == 1
    texts = [str(request["messages"]) for request in server.requests]
    assert sum("- red discs" in text for text in texts) == len(some)


def test_what_a_model_alone_cannot_be_asked_is_tried_again(cell_of, server):
    server.script = [Reply(status=400)]
    cell, asked = cell_of(ranker={"model": "m", "base_url": server.url}, ways=["alone"])
    [entry] = asked.entries("cell/", [cell.test[0].key])
    assert entry.failed  # so that it is tried again
    assert "400" in entry.result["error"]
    record = Record.model_validate(entry.result["record"])  # the other ways' answers count
    assert record.retrieval.names
    assert record.alone is None
    assert "400" in record.asked_alone.reason


def test_a_simulated_ranker_knows_the_truth(cell_of):
    cell, asked = cell_of(ranker={"model": "simulated:1"})
    for record in records(asked, [one.key for one in cell.test]):
        if record.ranking.order and record.truth in record.retrieval.names:
            assert record.ranking.order[0] == record.truth
            assert record.ranking.model == "simulated:1"


def test_a_file_that_is_no_image_is_one_failure(cell_of, drawings, tmp_path, monkeypatch):
    cell, asked = cell_of()
    broken = cell.test[2].file
    data = broken.read_bytes()
    broken.write_bytes(b"not an image")
    try:
        first, second, third = asked.entries("cell/", [one.key for one in cell.test[1:4]])
    finally:
        broken.write_bytes(data)
    failed = next(entry for entry in (first, second, third) if entry.failed)
    assert failed.key == f"cell/{cell.test[2].key}"
    assert failed.result["kind"] == "ImageError"
    assert sum(entry.failed for entry in (first, second, third)) == 1
