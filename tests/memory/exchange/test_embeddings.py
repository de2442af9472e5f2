import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from rar_agent.errors import ImageError, InputError, ProviderError
from rar_agent.memory import create_memory, list_memories, read_folder
from rar_agent.memory.exchange.embeddings import (
    EmbeddingsEncoder,
    MemoryEmbeddings,
    embeddings_of,
    encoder_of,
)
from rar_agent.types import Category
from tests.conftest import draw


class Given(Embeddings):
    """Embeddings that answer what they are told to."""

    model = "given-1"

    def __init__(self, answer):
        self.answer = answer

    def embed_documents(self, texts):
        if isinstance(self.answer, Exception):
            raise self.answer
        return [self.answer for _ in texts]

    def embed_query(self, text):
        return self.answer


def test_an_encoder_as_embeddings(builtin, photo):
    embeddings = MemoryEmbeddings(builtin)
    texts = embeddings.embed_documents(["a cat", "a dog"])
    assert np.allclose(texts, builtin.encode_texts(["a cat", "a dog"]), atol=1e-6)
    assert embeddings.embed_query("a dog") == pytest.approx(texts[1], abs=1e-6)
    drawing = draw("red", 1)
    images = embeddings.embed_images([drawing, str(photo)])
    assert len(images) == 2
    assert np.allclose(images[0], builtin.encode_images([drawing])[0], atol=1e-5)
    assert embeddings.embed_image(photo.read_bytes()) == pytest.approx(images[1], abs=1e-5)
    assert embeddings.embed_documents([]) == embeddings.embed_images([]) == []
    with pytest.raises(ImageError):
        embeddings.embed_image("nothing.png")


def test_embeddings_as_an_encoder():
    encoder = EmbeddingsEncoder(DeterministicFakeEmbedding(size=7))
    rows = encoder.encode_texts(["a", "b"])
    assert rows.shape == (2, 7)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1], abs=1e-6)
    assert encoder.encode_texts([]).shape == (0, 7)
    assert encoder.name == "langchain:DeterministicFakeEmbedding"
    assert dict(encoder.fingerprint.details) == {
        "class": "DeterministicFakeEmbedding",
        "dimension": "7",
    }


def test_the_model_is_part_of_the_identity():
    encoder = EmbeddingsEncoder(Given([3.0, 4.0]))
    assert encoder.name == "langchain:Given/given-1"
    assert encoder.fingerprint.details["model"] == "given-1"
    assert encoder.encode_texts(["a"]).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]


def test_a_memory_of_names_by_embeddings(tmp_path):
    encoder = EmbeddingsEncoder(DeterministicFakeEmbedding(size=32))
    names = [Category(name="robin"), Category(name="wren"), Category(name="dunnock")]
    memory = create_memory(tmp_path, "names", encoder, names=names).memory
    queries = encoder.encode_texts(["wren"])
    [found] = memory.search(queries, np.ones(1, np.float32))
    assert found.candidates[0].category.name == "wren"
    assert memory.manifest.encoder.templates == ("{}",)


def test_images_are_refused(tmp_path, discs):
    encoder = EmbeddingsEncoder(DeterministicFakeEmbedding(size=7))
    with pytest.raises(InputError, match=r"texts only.*1 images"):
        encoder.encode_images_with_norms([draw("red", 1)])
    with pytest.raises(InputError, match="texts only"):
        create_memory(tmp_path, "discs", encoder, read_folder(discs))
    assert list_memories(tmp_path) == []


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (RuntimeError("no key"), "RuntimeError: no key"),
        ([1.0, 2.0, 3.0], r"shape \(1, 3\)"),
        ([1.0, float("nan")], "not finite"),
        ([0.0, 0.0], "length 0 for 'heron'"),
        (["a", "b"], "ValueError"),
    ],
)
def test_what_a_provider_may_do_wrong(answer, match):
    with pytest.raises(ProviderError, match=match):
        EmbeddingsEncoder(Given(answer), dimension=2).encode_texts(["heron"])


def test_there_and_back():
    embeddings = DeterministicFakeEmbedding(size=7)
    encoder = encoder_of(embeddings)
    assert embeddings_of(encoder) is embeddings
    assert embeddings_of(embeddings) is embeddings
    assert encoder_of(MemoryEmbeddings(encoder)) is encoder
    assert encoder_of(encoder) is encoder
