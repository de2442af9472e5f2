"""Images that are in a conversation already, and the handles that models know them by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from rar_agent.errors import ImageError
from rar_agent.images import AdmittedImage, Policy, admit

_HANDLE = re.compile(r"image_(\d{1,4})")


def is_handle(text: str) -> bool:
    """Whether a model's argument is a handle, such as `image_1`."""
    return _HANDLE.fullmatch(text) is not None


def resolve_handle(handle: str, messages: Sequence[BaseMessage], policy: Policy) -> AdmittedImage:
    """The image of a handle: `image_1` is the first image of the conversation.

    Args:
        handle: As the model wrote it.
        messages: The conversation, oldest first; images in tool messages count too.
        policy: Limits, and whether URLs may be fetched.

    Raises:
        ImageError: There is no such image, or it has no bytes here.
    """
    found = _HANDLE.fullmatch(handle)
    blocks = [b for m in messages for b in m.content_blocks if b["type"] == "image"]
    number = int(found[1]) if found else 0
    if not 1 <= number <= len(blocks):
        have = f"It has image_1 to image_{len(blocks)}." if len(blocks) > 1 else "It has image_1."
        raise ImageError(
            f"There is no {handle} in this conversation.",
            have if blocks else "Ask the user to attach the image.",
        )
    return _admit(dict(blocks[number - 1]), handle, policy)


def _admit(block: dict[str, Any], handle: str, policy: Policy) -> AdmittedImage:
    if block.get("base64"):
        # The user's own data, not a string that the model chose: only the limits apply.
        admitted = admit(f"data:;base64,{block['base64']}", Policy(limits=policy.limits))
        return AdmittedImage(admitted.sha256, admitted.rgb, handle)
    if block.get("url"):
        return admit(str(block["url"]), policy)
    raise ImageError(
        f"{handle} was attached as a file id, so its bytes are not here.",
        "Ask the user to attach the image itself.",
    )
