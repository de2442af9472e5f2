"""Formats that people train with, a line of JSON for each conversation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from rar_agent.finetune.conversation import Conversation
from rar_agent.images import Picture

Format = Literal["openai", "sharegpt", "trl"]

Keep = Callable[[Picture], str]
"""Keeps a picture as a file, and tells its path in the folder."""

_IMAGE = "<image>"


def openai(conversation: Conversation, keep: Keep) -> dict[str, Any]:  # noqa: ARG001 - inside
    """OpenAI's chat format, pictures inside as data URLs.

    As inference sends it, see https://developers.openai.com/api/docs/guides/vision-fine-tuning.
    """
    from langchain_core.messages import convert_to_openai_messages

    from rar_agent.models.messages import as_langchain

    messages = convert_to_openai_messages(as_langchain(conversation.messages))
    return {"messages": [*messages, {"role": "assistant", "content": conversation.answer}]}


def sharegpt(conversation: Conversation, keep: Keep) -> dict[str, Any]:
    """ShareGPT as LLaVA reads it: `<image>` where a picture stands, `image` its path.

    The system message is beside the turns, where LLaMA-Factory and others look for it.
    """
    line: dict[str, Any] = {}
    images: list[str] = []
    turns = []
    for message in conversation.messages:
        text = ""
        for part in message.parts:
            if isinstance(part, Picture):
                images.append(keep(part))
                text += _IMAGE
            else:  # a category of that name is no place for a picture
                text += part.replace(_IMAGE, "< image>")
        if message.role == "system":
            line["system"] = text.strip()
        else:
            turns.append({"from": "human", "value": text.strip()})
    line["image"] = images[0] if len(images) == 1 else images
    line["conversations"] = [*turns, {"from": "gpt", "value": conversation.answer}]
    digest = hashlib.sha256(json.dumps(line).encode()).hexdigest()
    return {"id": digest[:16], **line}


def trl(conversation: Conversation, keep: Keep) -> dict[str, Any]:
    """TRL's conversational format: `messages` with places for the pictures, `images` their paths.

    See https://huggingface.co/docs/trl/dataset_formats.
    """
    images: list[str] = []
    messages = []
    for message in conversation.messages:
        content = []
        for part in message.parts:
            if isinstance(part, Picture):
                images.append(keep(part))
                content.append({"type": "image"})
            else:
                content.append({"type": "text", "text": part})
        messages.append({"role": message.role, "content": content})
    answer = {"role": "assistant", "content": [{"type": "text", "text": conversation.answer}]}
    return {"messages": [*messages, answer], "images": images}


FORMATS: Mapping[Format, Callable[[Conversation, Keep], dict[str, Any]]] = {
    "openai": openai,
    "sharegpt": sharegpt,
    "trl": trl,
}
