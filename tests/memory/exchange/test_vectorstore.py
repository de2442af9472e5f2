import os
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from rar_agent.errors import DamagedDataError, FingerprintMismatchError, InputError, NotFoundError
from rar_agent.memory import (
    Filter,
    add_to_memory,
    create_memory,
    delete_memory,
    list_memories,
    open_memory,
    read_folder,
    update_category,
)
from rar_agent.memory.exchange.documents import RECORD
from rar_agent.memory.exchange.embeddings import EmbeddingsEncoder
from rar_agent.memory.exchange.retriever import MemoryRetriever
from rar_agent.memory.exchange.vectorstore import MemoryVectorStore
from rar_agent.types import Category
from tests.conftest import COLOURS, draw


class Counting(DeterministicFakeEmbedding):
    """Embeddings that remember what they were asked."""

    asked: list[str] = []  # noqa: RUF012 - pydantic copies it

    def embed_documents(self, texts):
        self.asked.extend(texts)
        return super().embed_documents(texts)


@pytest.fixture
def embeddings():
    return Counting(size=12)


@pytest.fixture
def store(tmp_path, embeddings):
    return MemoryVectorStore(tmp_path, "documents", embeddings)


@pytest.fixture(scope="module")
def taught(tmp_path_factory, builtin, discs):
    home = tmp_path_factory.mktemp("taught")
    create_memory(home, "discs", builtin, read_folder(discs))
    return home


@pytest.fixture
def photos(tmp_path, taught, builtin):
    """An ordinary memory of drawings, to be changed."""
    import shutil

    shutil.copytree(taught, tmp_path / "home")
    return MemoryVectorStore(tmp_path / "home", "discs", builtin)


LONG = "A heron stands in the reeds. " * 40


def test_documents_come_back_exactly(tmp_path, store, embeddings):
    documents = [
        Document(id="long", page_content=LONG, metadata={"page": 1}),
        Document(id="longer", page_content=LONG + "!", metadata={}),
        Document(id="twin", page_content="heron"),
        Document(id="other twin", page_content="heron", metadata={"a": [1, {"b": None}]}),
        Document(id="empty", page_content=""),
        Document(id="lines", page_content=" two\nlines\t"),
        Document(id="é" * 300, page_content="an id of many letters"),
    ]
    ids = [document.id for document in documents]
    assert store.add_documents(documents) == ids
    assert store.get_by_ids(ids) == documents
    assert store.get_by_ids([ids[3], "unknown", ids[0]]) == [documents[3], documents[0]]
    again = MemoryVectorStore(tmp_path, "documents", embeddings)
    assert again.get_by_ids(ids) == documents
    for document in documents:
        [(found, cosine)] = again.similarity_search_with_score(document.page_content, k=1)
        assert found.page_content == document.page_content
        assert cosine == pytest.approx(1, abs=1e-5)


def test_short_contents_are_names_of_categories(store):
    store.add_texts(["grey heron", "grey heron", LONG], ids=["a", "b", "c"])
    first, second, third = (category.name for category in store.memory.categories)
    assert first == "grey heron"
    assert second.startswith("grey heron (")
    assert third.startswith("A heron stands")
    assert len(third) <= 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
CONTENTS = st.text(st.characters(codec="utf-8"), max_size=400) | st.sampled_from(
    ["a", "b", "a (1)"]
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=30),
        st.tuples(CONTENTS, st.dictionaries(st.text(st.characters(codec="utf-8")), JSON)),
        min_size=1,
        max_size=8,
    )
)
def test_any_valid_document_survives_and_can_be_replaced(tmp_path_factory, given_documents):
    home, embeddings = tmp_path_factory.mktemp("any"), DeterministicFakeEmbedding(size=4)
    store = MemoryVectorStore(home, "any", embeddings)
    documents = [
        Document(id=i, page_content=content, metadata=metadata)
        for i, (content, metadata) in given_documents.items()
    ]
    ids = store.add_documents(documents)
    assert MemoryVectorStore(home, "any", embeddings).get_by_ids(ids) == documents
    turned = [
        Document(id=i, page_content=document.page_content, metadata=document.metadata)
        for i, document in zip(ids, reversed(documents), strict=True)
    ]
    store.add_documents(turned)
    again = MemoryVectorStore(home, "any", embeddings)
    assert again.get_by_ids(ids) == turned
    assert len(again.memory.categories) == len(again.memory.entries) == len(documents)


@pytest.mark.parametrize(
    ("content", "metadata"),
    [
        ("\ud800", {}),
        ("a", {"b": "\udfff"}),
        ("a", {"b": (1, 2)}),
        ("a", {1: "b"}),
        ("a", {"b": float("nan")}),
        ("a", {"b": float("inf")}),
        ("a", {"b": object()}),
        ("a", {RECORD: 1}),
    ],
)
def test_what_would_come_back_changed_is_refused(store, content, metadata):
    with pytest.raises(InputError):
        store.add_texts(["fine", content], [{}, metadata], ids=["1", "2"])
    assert store.get_by_ids(["1", "2"]) == []
    assert not len(store.memory.categories)


def test_numbers_have_to_fit(store):
    for options in ({"metadatas": [{}]}, {"ids": ["1"]}, {"ids": ["1", "2", "3"]}):
        with pytest.raises(InputError, match="2 texts"):
            store.add_texts(["a", "b"], **options)
    assert store.add_texts([]) == []


def test_the_last_of_equal_ids_counts(store):
    assert store.add_texts(["a", "b"], ids=["1", "1"]) == ["1", "1"]
    assert store.get_by_ids(["1"]) == [Document(id="1", page_content="b")]
    assert len(store.memory.categories) == 1


def test_what_did_not_change_is_neither_embedded_nor_written(store, embeddings):
    store.add_texts(["a", "b"], [{"n": 1}, {"n": 2}], ids=["1", "2"])
    generation, asked = store.memory.manifest.generation, len(embeddings.asked)
    store.add_texts(["a", "b"], [{"n": 1}, {"n": 2}], ids=["1", "2"])
    assert store.memory.manifest.generation == generation
    store.add_texts(["a", "b"], [{"n": 1}, {"n": 3}], ids=["1", "2"])
    assert store.get_by_ids(["2"]) == [Document(id="2", page_content="b", metadata={"n": 3})]
    assert len(embeddings.asked) == asked


def test_scores_are_cosines_in_order(store, embeddings):
    texts = [f"bird {i}" for i in range(40)]
    store.add_texts(texts)
    rows = np.array(embeddings.embed_documents(texts))
    query = np.array(embeddings.embed_query("a wader"))
    cosines = rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
    order = np.argsort(-cosines)[:7]
    found = store.similarity_search_with_score("a wader", k=7)
    assert [document.page_content for document, _ in found] == [texts[i] for i in order]
    assert [score for _, score in found] == pytest.approx(cosines[order], abs=1e-5)
    by_vector = store.similarity_search_by_vector(query.tolist(), k=7)
    assert by_vector == [document for document, _ in found]
    assert len(store.similarity_search("a wader", k=100)) == 40
    assert store.similarity_search("a wader", k=0) == []
    relevance = store.similarity_search_with_relevance_scores("bird 3", k=40)
    assert relevance[0][1] == pytest.approx(1, abs=1e-5)
    assert 0 <= relevance[-1][1] < 0.5


@pytest.mark.parametrize("vector", [[1.0] * 11, [0.0] * 12, [float("nan")] * 12, [[1.0] * 12]])
def test_vectors_that_do_not_fit(store, vector):
    store.add_texts(["a"])
    with pytest.raises(InputError, match="does not fit"):
        store.similarity_search_by_vector(vector)


def test_filters(store):
    store.add_texts(["a", "b", "c"], [{"n": 1}, {"n": 2}, {"n": 3}])

    def found(wanted):
        return sorted(d.page_content for d in store.similarity_search("x", filter=wanted))

    assert found({"n": [1, 3]}) == ["a", "c"]
    assert found(lambda category: category.name > "a") == ["b", "c"]
    assert found(Filter(("b",))) == ["b"]
    assert found({"n": 9}) == []
    with pytest.raises(NotFoundError, match="nowhere"):
        found(Filter(("nowhere",)))


def test_retrievers(store):
    store.add_texts(["a", "b", "c", "a copy"], [{"n": n} for n in range(4)])
    assert [d.page_content for d in store.as_retriever(search_kwargs={"k": 1}).invoke("b")] == ["b"]
    close = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.999}
    )
    assert [d.page_content for d in close.invoke("c")] == ["c"]
    unlike = store.as_retriever(search_type="mmr", search_kwargs={"k": 3, "fetch_k": 4})
    assert unlike.invoke("a")[0].page_content == "a"
    assert len({d.page_content for d in unlike.invoke("a")}) == 3
    within = MemoryRetriever(store=store, k=3, within=Filter(where={"n": [0, 2]}))
    assert sorted(d.page_content for d in within.invoke("a")) == ["a", "c"]


def test_delete(store):
    store.add_texts(["a", "b", "c"], ids=["1", "2", "3"])
    assert store.delete(["2", "unknown"])
    assert sorted(d.id for d in store.similarity_search("b")) == ["1", "3"]
    assert store.delete()
    assert store.similarity_search("b") == []
    assert len(store.memory.entries) == 0
    store.add_texts(["b"], ids=["2"])
    assert [d.id for d in store.similarity_search("b")] == ["2"]


def test_a_deleted_document_stays_a_branch_of_what_is_below_it(tmp_path, store, embeddings):
    store.add_texts(["waders", "heron"], ids=["w", "h"])
    encoder = EmbeddingsEncoder(embeddings)
    update_category(tmp_path, "documents", "waders", lambda: encoder, parent="birds")
    update_category(tmp_path, "documents", "heron", lambda: encoder, parent="waders")
    store.delete(["w"])
    for one in (store, MemoryVectorStore(tmp_path, "documents", embeddings)):
        assert one.get_by_ids(["w", "waders"]) == []
        assert [d.id for d in one.similarity_search("waders")] == ["h"]
        assert one.memory.taxonomy.above(one.memory.categories.find("heron")) == ("waders", "birds")
    again = Document(id="waders", page_content="long legs")
    store.add_documents([again])
    assert store.get_by_ids(["waders"]) == [again]
    assert len(store.memory.categories) == 2
    store.delete(["waders"])
    generation = store.memory.manifest.generation
    store.delete(["waders"])
    assert store.memory.manifest.generation == generation
    store.delete()
    assert len(store.memory.categories) == 0


def test_other_writers_are_seen(tmp_path, store, embeddings):
    store.add_texts(["a"], ids=["1"])
    other = MemoryVectorStore(tmp_path, "documents", embeddings)
    other.add_texts(["b"], ids=["2"])
    other.delete(["1"])
    assert store.get_by_ids(["1", "2"]) == [Document(id="2", page_content="b")]
    store.add_texts(["c"], ids=["2"])
    assert other.similarity_search("c", k=1) == [Document(id="2", page_content="c")]
    delete_memory(tmp_path, "documents")
    with pytest.raises(NotFoundError):
        other.similarity_search("c")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes")
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_in_the_place_of_current(tmp_path, store, make):
    store.add_texts(["robin"], ids=["a"])
    current = tmp_path / "memories" / "documents" / "CURRENT"
    current.unlink()
    make(current)
    with pytest.raises(DamagedDataError, match="CURRENT is damaged"):
        store.get_by_ids(["a"])


def test_it_is_a_memory_like_any_other(tmp_path, store, embeddings):
    store.add_texts(["heron", LONG], ids=["1", "2"])
    encoder = EmbeddingsEncoder(embeddings)
    add_to_memory(tmp_path, "documents", encoder, names=[Category(name="egret", parent="waders")])
    update_category(tmp_path, "documents", "heron", lambda: encoder, rename="grey heron")
    contents = [d.page_content for d in store.get_by_ids(["1", "2", "egret"])]
    assert contents == ["grey heron", LONG, "egret"]
    queries = encoder.encode_texts(["egret"])
    memory = open_memory(tmp_path, "documents")
    best = memory.search(queries, np.ones(1, np.float32))[0].candidates[0]
    assert best.category.name == "egret"


def test_another_encoder_is_refused(tmp_path, store):
    with pytest.raises(FingerprintMismatchError, match=r"dimension \(12 there, 13 here\)"):
        MemoryVectorStore(tmp_path, "documents", DeterministicFakeEmbedding(size=13))


def test_a_store_of_texts_takes_no_images(store):
    store.add_texts(["a"])
    with pytest.raises(InputError, match="texts only"):
        store.similarity_search_by_image(draw("red", 1))


def test_from_documents(tmp_path, embeddings):
    documents = [Document(page_content="a", id="1"), Document(page_content="b")]
    store = MemoryVectorStore.from_documents(documents, embeddings, home=tmp_path, name="mine")
    assert list_memories(tmp_path) == ["mine"]
    assert store.get_by_ids(["1"]) == documents[:1]
    assert store.embeddings is embeddings
    settings_home = MemoryVectorStore.from_texts(["a"], embeddings)
    assert [d.page_content for d in settings_home.similarity_search("a")] == ["a"]
    settings_home.delete()


def test_categories_of_an_ordinary_memory_are_documents(photos, builtin):
    update_category(
        photos.memory.folder.parents[1], "discs", "red discs", lambda: builtin,
        aliases=["rosso"], description="warm", parent="warm colours", metadata={"n": 1},
    )  # fmt: skip
    [red] = photos.get_by_ids(["red discs"])
    assert red == Document(
        id="red discs",
        page_content="red discs: warm",
        metadata={
            "aliases": ["rosso"],
            "parent": "warm colours",
            "metadata": {"n": 1},
            "entries": {"image": 6},
        },
    )
    for colour in COLOURS:
        image = draw(colour, 91)
        query = builtin.encode_images([image])
        found = photos.memory.search(query, np.ones(1, np.float32), k=6, method="knn")[0]
        ids = [document.id for document in photos.similarity_search_by_image(image, k=6)]
        assert ids == [candidate.category.name for candidate in found.candidates]
    every = photos.similarity_search_by_image(draw("red", 91), k=99)
    assert len(every) == len({document.id for document in every}) == 6
    below = Filter(("warm colours",))
    assert photos.similarity_search_by_image(draw("blue", 91), filter=below) == [red]


def test_documents_beside_photos(photos):
    before = photos.memory.image_count
    photos.add_texts(["a grey heron"], ids=["heron"])
    memory = photos.memory
    # Now that one category has a text, all have: they would not compare otherwise.
    assert all("text" in memory.evidence(column) for column in range(7))
    assert memory.image_count == before
    assert photos.similarity_search("a grey heron", k=1)[0].id == "heron"
    for modality, count in [("text", 7), ("image", 6), ("head", 0)]:
        found = photos.similarity_search_by_image(draw("blue", 91), k=99, modality=modality)
        assert len(found) == count
    photos.delete(["heron", "blue discs"])
    assert {c.name for c in photos.memory.categories} == {
        f"{colour} discs" for colour in COLOURS if colour != "blue"
    }
    assert photos.memory.image_count == before - 6


def test_a_described_branch_is_no_document(photos, builtin):
    home = photos.memory.folder.parents[1]
    update_category(home, "discs", "red discs", lambda: builtin, parent="warm")
    update_category(home, "discs", "warm", lambda: builtin, description="like fire")
    photos.add_texts(["a grey heron"], ids=["heron"])
    assert photos.memory.category_count == 7
    assert len(photos.similarity_search("like fire", k=99)) == 7


def test_replacing_a_taught_category_keeps_its_name_and_photos(photos):
    document = Document(id="red discs", page_content="like ripe cherries", metadata={"n": 2})
    photos.add_documents([document])
    assert photos.get_by_ids(["red discs"]) == [document]
    assert photos.similarity_search_by_image(draw("red", 0), k=1) == [document]
    category = photos.memory.categories[photos.memory.categories.find("red discs")]
    assert category.description == "like ripe cherries"
    [again] = photos.get_by_ids(["blue discs"])
    generation = photos.memory.manifest.generation
    photos.add_documents([again])
    assert photos.memory.manifest.generation == generation


def test_photos_of_a_document(photos, builtin, tmp_path):
    """A document that was taught images keeps its name, whatever its text becomes."""
    photos.add_texts(["grey discs"], [{"n": 1}], ids=["grey"])
    home = photos.memory.folder.parents[1]
    images = {"grey discs": [draw("grey", i) for i in range(3)]}
    add_to_memory(home, "discs", builtin, images)
    changed = Document(id="grey", page_content="like fog", metadata={"n": 2})
    photos.add_documents([changed])
    assert photos.similarity_search_by_image(draw("grey", 1), k=1) == [changed]
    assert photos.memory.categories.find("grey discs") is not None


def test_a_ready_memory_is_read_only(home, builtin):
    store = MemoryVectorStore(home, "imagenet-1k", builtin)
    assert len(store.similarity_search("an Egyptian cat", k=3)) == 3
    with pytest.raises(InputError, match="ready-made"):
        store.add_texts(["a"])
