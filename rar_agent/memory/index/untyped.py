"""FAISS without its type stubs, which lack half of what is used here (1.15.1).

It is imported when it is first used: where all categories are scored, none of it is.
"""

from __future__ import annotations

from typing import Any, TypeAlias


class _Faiss:
    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        import faiss

        return getattr(faiss, name)


faiss: Any = _Faiss()
"""The library."""

FaissObject: TypeAlias = Any
"""An index, search parameters or a selector of it."""
