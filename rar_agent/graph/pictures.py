"""Pictures of exemplars, for prompts that show them beside the candidates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from rar_agent.errors import ImageError
from rar_agent.images import Policy, admit
from rar_agent.images.decode import decode
from rar_agent.memory import Memory
from rar_agent.types import Exemplar


def exemplar_images(memory: Memory, policy: Policy) -> Callable[[Exemplar], Image.Image | None]:
    """From an exemplar to its picture: the thumbnail that the memory keeps, or its file.

    A file counts only if it is the very image that was learnt, by its hash: a memory from
    somebody else names paths too, and what lies there may go to a provider.

    Args:
        memory: Whose exemplars.
        policy: Limits on what is read.
    """

    def picture(exemplar: Exemplar) -> Image.Image | None:
        kept = memory.thumbnail(exemplar.entry)
        try:
            if kept:
                return decode(kept, exemplar.source, policy.limits)
            if not Path(exemplar.source).is_file():
                return None
            image = admit(Path(exemplar.source), policy)
        except (ImageError, OSError):
            return None
        row = memory.entries.row_of(exemplar.entry)
        if row is None:
            return None
        learnt = memory.entries.fields(np.array([row]))["content"][0]
        return image.rgb if bytes(learnt).hex() == image.sha256 else None

    return picture
