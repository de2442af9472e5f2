"""LangChain's FAISS store, asked for the nearest entries, in an environment of its own.

    python -m benchmarks.search_peer '{"vectors": "ROWS.npy", "queries": "ROWS.npy", "count": 100}'

For each line of its input, which says how often, it is asked so often, one query and all of them,
and tells the median milliseconds of each. See `search`.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

import faiss
import numpy as np
from langchain_community.docstore.in_memory import InMemoryDocstore
from langchain_community.vectorstores import FAISS
from langchain_core.documents import Document
from langchain_core.embeddings import FakeEmbeddings

from benchmarks import process


def main() -> None:
    """Answer until there is no more input."""
    given = json.loads(sys.argv[1])
    vectors = np.load(given["vectors"], allow_pickle=False)
    rows = np.load(given["queries"], allow_pickle=False).tolist()
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    ids = [str(number) for number in range(len(vectors))]
    documents = InMemoryDocstore({one: Document(page_content=one) for one in ids})
    store = FAISS(FakeEmbeddings(size=1), index, documents, dict(enumerate(ids)))

    def ask(some: list[list[float]]) -> list[list[Document]]:
        return [store.similarity_search_by_vector(row, given["count"]) for row in some]

    nearest = [int(found.page_content) for found in ask(rows[:1])[0]]
    process.tell({"nearest": nearest})
    for line in sys.stdin:
        single, batch = json.loads(line)
        process.tell(
            {"single": _ms(lambda: ask(rows[:1]), single), "batch": _ms(lambda: ask(rows), batch)}
        )


def _ms(action: Callable[[], object], times: int) -> float:
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        spent.append(1_000 * (time.perf_counter() - start))
    return statistics.median(spent)


if __name__ == "__main__":
    main()
