"""A memory as a LangChain vector store: its categories are the documents."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from rar_agent.encoders import Encoder, FloatArray
from rar_agent.encoders.base import normalize
from rar_agent.errors import InputError, NotFoundError
from rar_agent.images import ImageSource
from rar_agent.memory.exchange.closest import Close, Wanted, closest_categories
from rar_agent.memory.exchange.current import CurrentMemory
from rar_agent.memory.exchange.embeddings import MemoryEmbeddings, embeddings_of, encoder_of
from rar_agent.memory.exchange.put import document_at, put_documents
from rar_agent.memory.format.generation import exists
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.format.lock import writer_lock
from rar_agent.memory.format.manifest import encoder_record
from rar_agent.memory.memory import Memory
from rar_agent.memory.open import open_memory
from rar_agent.memory.teaching.draft import Draft
from rar_agent.memory.teaching.forget import forget_categories
from rar_agent.memory.teaching.learn import with_entries
from rar_agent.memory.teaching.teach import changing, require_encoder
from rar_agent.memory.teaching.texts import default_templates
from rar_agent.settings import load_settings
from rar_agent.types import Modality


class MemoryVectorStore(VectorStore):
    """A memory on disk as a vector store; made where there is none of the name. Thread-safe.

    Documents that are added become categories known by their text, and come back exactly.
    Categories that were taught otherwise are documents too: their content is the name and the
    description, their id the name. A score is the cosine of the query and the best entry of a
    category, -1 to 1; how a memory recognises images is another matter, see `Memory.search`. Every
    change is a generation of the memory: add many documents at once.

    Args:
        home: Where memories live.
        name: The memory.
        embedding: The encoder that made the memory, or LangChain embeddings.
        domain: What kind of categories these are, where the memory is made.

    Raises:
        FingerprintMismatchError: The memory was made with another encoder.
        DamagedDataError: It is damaged.
    """

    def __init__(
        self, home: Path, name: str, embedding: Embeddings | Encoder, *, domain: str = ""
    ) -> None:
        self._home, self._name = Path(home), name
        self._folder = memory_folder(self._home, name)
        self._encoder = encoder_of(embedding)
        self._embeddings = embeddings_of(embedding)
        self._current = CurrentMemory(self._home, name)
        try:
            memory = open_memory(self._home, name)
        except NotFoundError:
            memory = self._create(domain)
        require_encoder(memory, self._encoder)

    @property
    def memory(self) -> Memory:
        """The memory as it is now; other writers' changes are seen."""
        return self._current.opened().memory

    @property
    def embeddings(self) -> Embeddings:
        """What texts are embedded with."""
        return self._embeddings

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,  # noqa: ANN401, ARG002 - LangChain's signature
    ) -> list[str]:
        """Add documents, or replace those of the same ids.

        Replacing the document of a category that was taught otherwise keeps its name and exemplars.

        Args:
            texts: Contents, of any length.
            metadatas: One for each, of plain JSON values; default: none.
            ids: One for each; where None, one is made up.
            **kwargs: Not used.

        Returns:
            The documents' ids.

        Raises:
            InputError: Numbers differ, a document could not come back as it was, or the memory
                may not be changed.
            BusyError: Somebody else is writing to the memory.
        """
        contents = list(texts)
        details = list(metadatas) if metadatas else [{} for _ in contents]
        given: list[str | None] = list(ids) if ids else [None for _ in contents]
        if not len(contents) == len(details) == len(given):
            raise InputError(
                f"{len(contents)} texts, {len(details)} metadatas and {len(given)} ids do not fit.",
                "Give one of each for every text.",
            )
        kept = [str(one) if one else uuid.uuid4().hex for one in given]
        if not kept:
            return []
        documents = {
            document_id: Document(page_content=content, metadata=metadata)
            for document_id, content, metadata in zip(kept, contents, details, strict=True)
        }
        with changing(self._folder) as memory:
            known = self._current.numbers(memory)
            draft = Draft.after(memory)
            written = put_documents(draft, memory, self._encoder, documents, known)
            if written:
                self._current.remember(draft.commit("ready"), {**known, **written})
        return kept

    def delete(
        self,
        ids: list[str] | None = None,
        **kwargs: Any,  # noqa: ANN401, ARG002
    ) -> bool:
        """Forget documents with all their entries; unknown ids are passed over.

        A category that others are below stays as a branch, which is no document, as
        `remove_from_memory` leaves it.

        Args:
            ids: Which; None for all.
            **kwargs: Not used.

        Returns:
            True.

        Raises:
            InputError: The memory may not be changed.
            BusyError: Somebody else is writing to it.
        """
        with changing(self._folder) as memory:
            known = self._current.numbers(memory)
            gone = set(known.values()) if ids is None else {known[i] for i in ids if i in known}
            if ids is not None:
                gone &= with_entries(memory)
            if gone:
                draft = Draft.after(memory)
                forget_categories(draft, memory, sorted(gone))
                left = {i: number for i, number in known.items() if number not in gone}
                branches = {c.name: n for n in gone if (c := draft.category(n)) is not None}
                self._current.remember(draft.commit("ready"), branches | left)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents of ids, in their order; unknown ids are passed over."""
        opened = self._current.opened()
        memory = opened.memory
        numbers = [opened.numbers[i] for i in ids if i in opened.numbers]
        columns = memory.categories.columns(np.array(numbers, np.int64))
        known = columns[memory.entries.known[columns]]  # branches are no documents
        return [document_at(memory, int(column)) for column in known]

    def similarity_search(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Wanted | None = None,  # noqa: A002 - LangChain's word
        modality: Modality | None = None,
        **kwargs: Any,  # noqa: ANN401, ARG002
    ) -> list[Document]:
        """The documents closest to a text, closest first.

        Args:
            query: The text.
            k: Documents wanted; fewer come back where fewer pass.
            filter: Which may be found: their metadata, such as {"region": "Europe"}, a function of
                the category, or a `Filter`.
            modality: Entries to compare with; default: all.
            **kwargs: Not used.

        Raises:
            NotFoundError: The filter names an unknown branch.
        """
        found = self.similarity_search_with_score(query, k, filter=filter, modality=modality)
        return [document for document, _ in found]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Wanted | None = None,  # noqa: A002
        modality: Modality | None = None,
        **kwargs: Any,  # noqa: ANN401, ARG002
    ) -> list[tuple[Document, float]]:
        """Like `similarity_search`, with the cosines, -1 to 1."""
        memory = self.memory
        return _scored(memory, self._search(memory, self._query(query), k, filter, modality))

    def similarity_search_by_vector(
        self,
        embedding: Sequence[float] | FloatArray,
        k: int = 4,
        *,
        filter: Wanted | None = None,  # noqa: A002
        modality: Modality | None = None,
        **kwargs: Any,  # noqa: ANN401, ARG002
    ) -> list[Document]:
        """The documents closest to a vector of a text or an image; see `similarity_search`.

        Raises:
            InputError: It has another dimension than the memory, or points nowhere.
        """
        memory = self.memory
        found = _scored(memory, self._search(memory, embedding, k, filter, modality))
        return [document for document, _ in found]

    def similarity_search_by_image(
        self,
        image: ImageSource,
        k: int = 4,
        *,
        filter: Wanted | None = None,  # noqa: A002
        modality: Modality | None = None,
    ) -> list[Document]:
        """The documents closest to an image; see `similarity_search`.

        Raises:
            ImageError: It is no image within the limits.
            InputError: The embeddings know texts only.
        """
        embeddings = self._embeddings
        if not isinstance(embeddings, MemoryEmbeddings):
            embeddings = MemoryEmbeddings(self._encoder)  # says that it knows texts only
        vector = embeddings.embed_image(image)
        return self.similarity_search_by_vector(vector, k, filter=filter, modality=modality)

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **kwargs: Any,  # noqa: ANN401
    ) -> list[Document]:
        """Documents close to a text and unlike each other; see LangChain's `VectorStore`."""
        return self.max_marginal_relevance_search_by_vector(
            self._query(query), k, fetch_k, lambda_mult, **kwargs
        )

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: Sequence[float] | FloatArray,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Wanted | None = None,  # noqa: A002
        modality: Modality | None = None,
        **kwargs: Any,  # noqa: ANN401, ARG002
    ) -> list[Document]:
        """Documents close to a vector and unlike each other; see LangChain's `VectorStore`."""
        memory = self.memory
        found = self._search(memory, embedding, fetch_k, filter, modality)
        vectors = memory.entries.vectors(np.array([close.row for close in found], np.int64))
        chosen = maximal_marginal_relevance(
            np.asarray(embedding, np.float32), list(vectors), lambda_mult, k
        )
        return [document_at(memory, found[i].column) for i in chosen]

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | Encoder,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        home: Path | None = None,
        name: str = "documents",
        domain: str = "",
        **kwargs: Any,  # noqa: ANN401, ARG003
    ) -> Self:
        """Open or make a memory and add documents to it.

        Args:
            texts: As for `add_texts`.
            embedding: As for the class.
            metadatas: As for `add_texts`.
            ids: As for `add_texts`.
            home: Where memories live; default: the settings' place.
            name: The memory.
            domain: As for the class.
            **kwargs: Not used.
        """
        store = cls(home or load_settings().home, name, embedding, domain=domain)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def _create(self, domain: str) -> Memory:
        with writer_lock(self._folder):
            if not exists(self._folder):
                record = encoder_record(self._encoder, default_templates(self._encoder, domain))
                Draft(self._folder, record, self._encoder.dimension, domain).commit("ready")
        return open_memory(self._home, self._name)

    def _search(
        self,
        memory: Memory,
        vector: Sequence[float] | FloatArray,
        k: int,
        wanted: Wanted | None,
        modality: Modality | None,
    ) -> list[Close]:
        query = _unit(vector, memory.manifest.dimension)
        return closest_categories(memory, query, k, wanted, modality)

    def _query(self, text: str) -> list[float]:
        return self._embeddings.embed_query(text)

    def _select_relevance_score_fn(self) -> Any:  # noqa: ANN401 - LangChain's signature
        return lambda cosine: (cosine + 1) / 2


def _scored(memory: Memory, found: list[Close]) -> list[tuple[Document, float]]:
    return [(document_at(memory, close.column), close.cosine) for close in found]


def _unit(vector: Sequence[float] | FloatArray, dimension: int) -> FloatArray:
    row = np.asarray(vector, np.float32)
    if row.shape != (dimension,) or not np.isfinite(row).all() or not row.any():
        raise InputError(
            f"A vector of shape {row.shape} does not fit: it has to be {dimension} finite numbers "
            "that are not all 0.",
            "Embed the query with the store's embeddings.",
        )
    unit: FloatArray = normalize(row[None])[0][0]
    return unit
