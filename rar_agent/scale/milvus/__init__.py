"""Memories that Milvus keeps: `milvus://host:19530/birds` in place of a name.

Vectors are rows of one collection, all other files of the memory's format are chunks in another;
`origin.py` puts both together, and the memory reads and writes them by `memory/format/origin.py`.
"""

from rar_agent.scale.milvus.origin import origin

__all__ = ["origin"]
