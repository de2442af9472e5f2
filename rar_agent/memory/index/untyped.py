"""FAISS without its type stubs, which lack half of what is used here (1.15.1)."""

from __future__ import annotations

from typing import Any, TypeAlias

import faiss as _faiss

faiss: Any = _faiss
"""The library."""

FaissObject: TypeAlias = Any
"""An index, search parameters or a selector of it."""
