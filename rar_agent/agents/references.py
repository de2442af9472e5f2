"""From image blocks to references: a conversation that holds handles and no bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage, HumanMessage

from rar_agent.agents.conversation import (
    ATTACHED,
    Source,
    image_block,
    images_of,
    items,
    named_in,
    next_handle,
)
from rar_agent.agents.kept import KeptImages, image_store
from rar_agent.errors import ImageError, NotFoundError
from rar_agent.images import (
    MIME_TYPE,
    ImageSource,
    Picture,
    Policy,
    admit,
    to_picture,
)
from rar_agent.settings import Settings, load_settings

_REFERENCE = re.compile(r"\[attached image: (image_\d+)\]")

AnyMessage = TypeVar("AnyMessage", bound=BaseMessage)


def attach(
    *images: ImageSource,
    text: str = "",
    to: Mapping[str, Any] | Sequence[BaseMessage] = (),
    settings: Settings | None = None,
) -> HumanMessage:
    """A user's message with images, for an agent: it holds their handles, not their bytes.

    The images are kept in `images/` under the settings' home, so they are found after a restart,
    for as long as `images_days` says.

    Args:
        *images: What the user attached; read with the authority of the calling code.
        text: What the user wrote.
        to: The conversation so far, as an agent's state or its messages: names are not given twice.
        settings: Where images are kept, and limits; default: read as everywhere.

    Raises:
        ImageError: One is no image within the limits; nothing is attached then.

    Example:
        >>> agent.invoke({"messages": [attach("bird.jpg", text="Which one?")]})  # doctest: +SKIP
    """
    settings = settings or load_settings()
    policy, kept = Policy.of(settings), image_store(settings)
    admitted = [admit(image, policy, keep_encoded=True) for image in images]
    before, named = images_of(to), dict[str, Source]()
    for image in admitted:
        named[next_handle({**before, **named})] = kept.put(image)
    said = [{"type": "text", "text": text}] if text else []
    return HumanMessage(
        content=[*map(reference, named), *said],
        additional_kwargs={ATTACHED: named} if named else {},
    )


def reference(handle: str) -> dict[str, Any]:
    """What stands in a message for an image."""
    return {"type": "text", "text": f"[attached image: {handle}]"}


def referred(item: str | Mapping[str, Any]) -> str | None:
    """The handle that an item of a message's content stands for, if it does."""
    text = item.get("text") if isinstance(item, Mapping) else item
    found = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
    return found[1] if found else None


def without_bytes(
    message: AnyMessage, named: Mapping[str, Source], settings: Settings
) -> tuple[AnyMessage, dict[str, Source]]:
    """A message with its images kept elsewhere, and referred to by handles.

    Args:
        message: Of a conversation.
        named: Handles that are taken.
        settings: Where images are kept, and limits.

    Returns:
        The message, itself where nothing changes, and what its handles stand for, which it says as
        well: so it may go on without its state, as a message of another graph. Names that it gave
        and that are taken are changed.

    Raises:
        ConfigurationError: Images cannot be kept.
    """
    own, found, renamed = named_in(message), dict[str, Source](), dict[str, str]()
    for handle, source in own.items():
        taken = {**named, **found}
        renamed[handle] = next_handle(taken) if taken.get(handle, source) != source else handle
        found[renamed[handle]] = source
    content = list[str | dict[str, Any]]()
    for item in items(message):
        if block := image_block(item):
            handle = next_handle({**named, **found})
            found[handle] = _keep(block, settings)
            content.append(reference(handle))
        else:
            new = renamed.get(referred(item) or "")
            content.append(reference(new) if new else item)
    if found == own:
        return message, found
    others = {**message.additional_kwargs, ATTACHED: found}
    return message.model_copy(update={"content": content, "additional_kwargs": others}), found


def _keep(block: Mapping[str, Any], settings: Settings) -> Source:
    url = block.get("url", "")
    data = f"data:;base64,{block['base64']}" if "base64" in block else url
    if not data.startswith("data:"):
        return {key: block[key] for key in ("url", "file_id") if key in block}
    policy = Policy.of(settings).of_bytes
    try:
        return image_store(settings).put(admit(data, policy, keep_encoded=True))
    except ImageError as error:
        return {"problem": str(error)}


def with_images(message: AnyMessage, named: Mapping[str, Source], settings: Settings) -> AnyMessage:
    """A message with the images beside their references, for a model that sees them.

    Args:
        message: Of a conversation.
        named: What handles stand for; an image that is no longer kept stays a reference.
        settings: Where images are kept, and the longest side to show.
    """
    if message.type not in ("human", "tool"):  # providers refuse images elsewhere
        return message
    content = list[str | dict[str, Any]]()
    for item in items(message):
        content.append(item)
        source = named.get(referred(item) or "", {})
        if sha256 := source.get("sha256"):
            with suppress(NotFoundError):
                seal, side = source.get("seal", ""), settings.image_side
                picture = _picture(image_store(settings), sha256, seal, side)
                content.append({"type": "image", "base64": picture.base64, "mime_type": MIME_TYPE})
        elif url := source.get("url"):
            content.append({"type": "image", "url": url})
        elif file_id := source.get("file_id"):
            content.append({"type": "image", "file_id": file_id})
    if len(content) == len(items(message)):
        return message
    return message.model_copy(update={"content": content})


@lru_cache(maxsize=64)  # shown again at each call of the model
def _picture(kept: KeptImages, sha256: str, seal: str, side: int) -> Picture:
    return to_picture(kept.get(sha256, seal).rgb, side)
