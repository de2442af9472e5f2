"""Pictures of exemplars, for prompts that show them beside the candidates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from rar_agent.errors import ImageError
from rar_agent.images import Policy, admit
from rar_agent.images.isolated import decode_under
from rar_agent.memory import Memory
from rar_agent.types import Exemplar


def exemplar_images(
    memory: Memory, policy: Policy, files_first: bool = False
) -> Callable[[Exemplar], Image.Image | None]:
    """From an exemplar to its picture: the thumbnail that the memory keeps, or its file.

    A file counts only if it is the very image that was learnt, by its hash: a memory from
    somebody else names paths too, and what lies there may go to a provider.

    Args:
        memory: Whose exemplars.
        policy: Limits on what is read.
        files_first: Whether the file comes before the thumbnail, as where it is the photo itself.
    """

    def kept(exemplar: Exemplar) -> Image.Image | None:
        thumbnail = memory.thumbnail(exemplar.entry)
        try:
            return decode_under(thumbnail, exemplar.source, policy) if thumbnail else None
        except ImageError:
            return None

    def learnt(exemplar: Exemplar) -> Image.Image | None:
        row = memory.entries.row_of(exemplar.entry)
        if row is None:
            return None
        file = Path(memory.entries.source(row))  # a client's exemplar may say anything
        try:
            if not file.is_file():
                return None
            image = admit(file, policy)
        except (ImageError, OSError, ValueError):
            return None
        content = memory.entries.fields(np.array([row]))["content"][0]
        return image.rgb if bytes(content).hex() == image.sha256 else None

    first, second = (learnt, kept) if files_first else (kept, learnt)
    return lambda exemplar: first(exemplar) or second(exemplar)
