"""From LangChain's messages to a conversation of transformers and its images, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import BaseMessage, ImageContentBlock
from PIL import Image

from rar_agent.errors import InputError
from rar_agent.images import admit

_ROLES = {"human": "user", "ai": "assistant", "system": "system"}


class InvalidRequestError(InputError, ModelInvalidRequestError):
    """A request that the model can never answer, as servers say with status 400."""


def to_conversation(
    messages: Sequence[BaseMessage],
) -> tuple[list[dict[str, Any]], list[Image.Image]]:
    """Messages → what chat templates take, and the images that it has places for.

    Texts and images keep their order. Images are admitted like any other; URLs are not fetched.

    Raises:
        InvalidRequestError: A role or a block that no chat template has.
        ImageError: An image that cannot be decoded or is over the limits.
    """
    conversation: list[dict[str, Any]] = []
    images: list[Image.Image] = []
    for message in messages:
        role = _ROLES.get(message.type)
        if role is None:
            raise InvalidRequestError(
                f"Models in this process take no {message.type} messages.",
                "Send system, human and AI messages.",
            )
        parts = []
        for block in message.content_blocks:
            if block["type"] == "image":
                images.append(_image(block))
                parts.append({"type": "image"})
            elif block["type"] == "text":
                parts.append({"type": "text", "text": block["text"]})
            elif block["type"] != "reasoning":  # of an earlier answer, which does not go in again
                raise InvalidRequestError(
                    f"Models in this process take no {block['type']} blocks.",
                    "Send text and images.",
                )
        conversation.append({"role": role, "content": parts})
    return conversation, images


def _image(block: ImageContentBlock) -> Image.Image:
    url = block.get("url") or ""
    if block.get("base64"):
        url = f"data:{block.get('mime_type') or 'image/*'};base64,{block['base64']}"
    if not url.startswith("data:"):
        raise InvalidRequestError(
            f"Image block {url or block.get('file_id')!r} holds no image.",
            "Send the image as base64: nothing is fetched here.",
        )
    return admit(url).rgb
