"""A retriever of a memory's categories for texts."""

from __future__ import annotations

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from rar_agent.memory.exchange.vectorstore import MemoryVectorStore
from rar_agent.memory.taxonomy import Filter
from rar_agent.types import Modality


class MemoryRetriever(BaseRetriever):
    """Finds the categories closest to a text, as documents.

    What it is given is always a text, never the path of an image: for images, see
    `MemoryVectorStore.similarity_search_by_image` and `Recognizer`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, use_attribute_docstrings=True)

    store: MemoryVectorStore
    """Where to look."""
    k: int = Field(default=4, ge=1)
    """Documents wanted; `invoke(text, k=…)` may ask for another number."""
    within: Filter | None = None
    """Which categories may be found; None for all."""
    modality: Modality | None = None
    """Entries to compare with; None for all."""

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - LangChain's signature
        k: int | None = None,
    ) -> list[Document]:
        return self.store.similarity_search(
            query, self.k if k is None else k, filter=self.within, modality=self.modality
        )
