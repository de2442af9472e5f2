"""LangChain's own standard suites, over memories on disk."""

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

pytest.importorskip("langchain_tests", reason="langchain-tests is not installed")
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)

from rar_agent.memory.exchange.embeddings import EmbeddingsEncoder, MemoryEmbeddings
from rar_agent.memory.exchange.retriever import MemoryRetriever
from rar_agent.memory.exchange.vectorstore import MemoryVectorStore


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path):
        return MemoryVectorStore(tmp_path, "documents", self.get_embeddings())


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _store(self, tmp_path):
        texts = ["heron", "egret", "bittern", "stork", "ibis"]
        self.store = MemoryVectorStore.from_texts(
            texts, DeterministicFakeEmbedding(size=6), home=tmp_path
        )

    @property
    def retriever_constructor(self):
        return MemoryRetriever

    @property
    def retriever_constructor_params(self):
        return {"store": self.store}

    @property
    def retriever_query_example(self):
        return "a wading bird"


class TestEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self):
        return MemoryEmbeddings

    @property
    def embedding_model_params(self):
        return {"encoder": EmbeddingsEncoder(DeterministicFakeEmbedding(size=6))}
