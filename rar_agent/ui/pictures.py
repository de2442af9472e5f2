"""Small pictures of exemplars, as data URIs: the page fetches no file of anybody's."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from rar_agent.graph.pictures import exemplar_images
from rar_agent.images import MIME_TYPE, Policy, to_picture
from rar_agent.memory import Memory
from rar_agent.types import Exemplar

SIDE = 160
"""Longer side of a picture, in pixels."""
_KEPT = 4_096  # pictures of some 5 kB


class Pictures:
    """Pictures of exemplars, kept by the hash of their content. Thread-safe.

    Args:
        policy: Limits on what is read.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._kept: OrderedDict[bytes, str] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, memory: Memory, exemplars: Sequence[Exemplar]) -> list[str]:
        """A data URI for each exemplar; empty where neither a thumbnail nor its file is there."""
        find = exemplar_images(memory, self._policy)
        found = []
        for exemplar in exemplars:
            row = memory.entries.row_of(exemplar.entry)
            if row is None:
                found.append("")
                continue
            content = bytes(memory.entries.fields(np.array([row]))["content"][0])
            with self._lock:
                uri = self._kept.get(content, "")
            if not uri and (image := find(exemplar)) is not None:
                uri = f"data:{MIME_TYPE};base64,{to_picture(image, SIDE).base64}"
                self._keep(content, uri)
            found.append(uri)
        return found

    def _keep(self, content: bytes, uri: str) -> None:
        with self._lock:
            self._kept[content] = uri
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
