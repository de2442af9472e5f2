"""Images that are in a conversation, and the handles that models know them by."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from langchain.tools import ToolRuntime
from langchain_core.messages import BaseMessage, convert_to_messages

from rar_agent.agents.kept import KeptImages, image_store
from rar_agent.errors import ImageError, NotFoundError
from rar_agent.images import AdmittedImage, Policy, admit
from rar_agent.settings import Settings
from rar_agent.telemetry import events

ATTACHED: Final = "attached_images"
"""Key of handles and sources, in a message's `additional_kwargs` and in an agent's state."""

DESCRIBES: Final = "describe_category"
"""Tool whose photos are no part of the conversation."""

Source = Mapping[str, Any]
"""Where an image is, by the first of these keys that is there: `sha256` (of a kept one, with its
`seal`, see `kept`), `problem` (why it is not kept), or, as in LangChain's image blocks, `base64`,
`url`, `file_id`."""

_log = events(__name__)

_HANDLE = re.compile(r"image_[1-9][0-9]{0,5}")
_MEANT = re.compile(r"\[?(?:attached image: )?image[ _-]?0*([0-9]+)\]?", re.IGNORECASE)
_KEPT = ("sha256", "seal", "problem", "url", "file_id")
_IMAGES = ("image", "image_url", "input_image")
_FILES = ("file", "media")
_TWICE = "it is the name of two images here; attach() takes the conversation, to give each its own."
_AGAIN = "Ask the user to attach the image itself."


def handle_in(text: str) -> str | None:
    """The handle that a model's argument is, or nearly is (`Image 1`); None: it is none."""
    found = _MEANT.fullmatch(text.strip(" '\"`"))
    return f"image_{found[1]}" if found else None


def next_handle(named: Mapping[str, Source]) -> str:
    """The handle that follows all others: names are not given twice."""
    return f"image_{max([int(handle[6:]) for handle in named], default=0) + 1}"


def image_block(item: str | Mapping[str, Any]) -> dict[str, Any] | None:
    """One item of a message's content as LangChain's image block, or None if it is no image.

    All forms count: LangChain's, new and old, OpenAI's, Anthropic's, Google's and MCP's. Of where
    the image is, the block has the first that is given; none, where the item is malformed.
    """
    if isinstance(item, str):
        return None
    kind, inner = item.get("type"), item.get("image_url") or item.get("source")
    mime = str(item.get("mime_type") or item.get("mimeType"))
    if kind not in _IMAGES and not (kind in _FILES and mime.startswith("image/")):
        return None
    given = {**item, **inner} if isinstance(inner, Mapping) else {"url": inner, **item}
    found = {
        "base64": given.get("base64") or given.get("data"),
        "url": given.get("url") or given.get("file_uri"),
        "file_id": given.get("file_id") or given.get("id"),
    }
    there = [(key, value) for key, value in found.items() if value and isinstance(value, str)]
    return {"type": "image", **dict(there[:1])}


def items(message: BaseMessage) -> list[str | dict[str, Any]]:
    """A message's content as a list."""
    content = message.content
    return [content] if isinstance(content, str) else list(content)


def sources(given: object) -> dict[str, Source]:
    """What handles stand for, of what anybody may have written in a message or a state."""
    return {
        handle: {key: source[key] for key in _KEPT if isinstance(source.get(key), str)}
        for handle, source in (given.items() if isinstance(given, Mapping) else ())
        if _HANDLE.fullmatch(str(handle)) and isinstance(source, Mapping)
    }


def named_in(message: BaseMessage) -> dict[str, Source]:
    """Handles that a message itself gives, see `attach`."""
    return sources(message.additional_kwargs.get(ATTACHED))


def images_of(state: object) -> dict[str, Source]:
    """Every image of a conversation by its handle.

    Those that the state and messages name keep their names; of the others, the first is
    `image_1` if that is free, and so on.

    Args:
        state: An agent's state, or its messages, oldest first.
    """
    messages, found = _of(state)
    for message in messages:
        for handle, source in named_in(message).items():
            same = found.get(handle, source) == source
            found[handle] = source if same else {"problem": _TWICE}
    number = 0
    for block in _blocks(messages):
        number += 1
        while f"image_{number}" in found:
            number += 1
        found[f"image_{number}"] = block
    return found


def find_image(
    image: str, runtime: ToolRuntime | None, settings: Settings, policy: Policy | None = None
) -> AdmittedImage:
    """The image that a model names: by its handle, as a file under a root, or an allowed URL.

    Args:
        image: As the model wrote it.
        runtime: Of the tool call; its state has the conversation.
        settings: Where images are kept, limits, roots, whether URLs may be fetched.
        policy: In place of the settings' one for models.

    Raises:
        ImageError: There is no such image, it may not be read, or it has no bytes here.
    """
    policy = policy or Policy.of(settings, authority="model")
    handle = handle_in(image)
    found = images_of(runtime.state if runtime else [])
    if handle in found:
        return read_image(found[handle], handle, policy, image_store(settings))
    names = sorted(found, key=lambda one: int(one[6:]))
    there = f"Attached: {', '.join(names[:20])}{' and more' if names[20:] else ''}."
    if handle:
        raise ImageError(
            f"There is no {handle} in this conversation.",
            there if found else "Ask the user to attach the image.",
        )
    try:
        return admit(image, policy)
    except ImageError as error:
        raise ImageError(error.message, f"{error.fix} {there}" if found else error.fix) from error


def read_image(source: Source, handle: str, policy: Policy, kept: KeptImages) -> AdmittedImage:
    """The image of a source, named after its handle.

    Args:
        source: See `Source`.
        handle: Its name for messages and results.
        policy: Limits, and whether URLs may be fetched.
        kept: Where images of conversations are looked up.

    Raises:
        ImageError: It has no bytes here, or is over a limit.
    """
    own = policy.of_bytes  # for the user's data, not a string that a model chose
    data, url = source.get("base64"), source.get("url", "")
    try:
        if sha256 := source.get("sha256"):
            image = kept.get(sha256, source.get("seal", ""))
        elif data or url.startswith("data:"):
            image = admit(f"data:;base64,{data}" if data else url, own)
        elif url:
            return admit(url, policy)
        else:
            raise ImageError(source.get("problem", "it came without its bytes, as a file id say."))
    except NotFoundError as error:
        _log.warning("an attached image is not kept", handle=handle, place=kept.place)
        raise ImageError(f"{handle} is no longer kept.", _AGAIN) from error
    except ImageError as error:
        raise ImageError(f"{handle} cannot be used: {error}", _AGAIN) from error
    return AdmittedImage(image.sha256, image.rgb, handle)


def _of(state: object) -> tuple[list[BaseMessage], dict[str, Source]]:
    if isinstance(state, Sequence):
        return convert_to_messages(state), {}
    fields = state if isinstance(state, Mapping) else {}
    messages, named = (fields.get(key, getattr(state, key, None)) for key in ("messages", ATTACHED))
    return convert_to_messages(messages or []), sources(named)


def _blocks(messages: Sequence[BaseMessage]) -> Iterator[dict[str, Any]]:
    for message in messages:
        if message.type == "tool" and message.name == DESCRIBES:
            continue  # a memory's own photos: the user's second stays the second
        for item in items(message):
            if block := image_block(item):
                yield block
