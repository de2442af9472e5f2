"""Images that are in a conversation, and the handles that models know them by."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from langchain.tools import ToolRuntime
from langchain_core.messages import BaseMessage, HumanMessage

from rar_agent.agents.kept import image_store
from rar_agent.errors import ImageError, NotFoundError
from rar_agent.images import AdmittedImage, ImageStore, Policy, admit
from rar_agent.settings import Settings

ATTACHED: Final = "attached_images"
"""Key of handles and sources, in a message's `additional_kwargs` and in an agent's state."""

Source = Mapping[str, Any]
"""Where an image is, by the first of these keys that is there: `sha256` (in the image store),
`problem` (why it is not), or, as in LangChain's image blocks, `base64`, `url`, `file_id`."""

_HANDLE = re.compile(r"image_([1-9]\d{0,5})")
_KEPT = ("sha256", "problem", "url", "file_id")


def is_handle(text: str) -> bool:
    """Whether a model's argument is a handle, such as `image_1`."""
    return re.fullmatch(r"image_\d+", text) is not None


def next_handle(named: Mapping[str, Source]) -> str:
    """The handle that follows all others: names are not given twice."""
    return f"image_{max([int(handle[6:]) for handle in named], default=0) + 1}"


def image_block(item: str | Mapping[str, Any]) -> dict[str, Any] | None:
    """One item of a message's content as LangChain's image block, or None if it is no image."""
    if isinstance(item, str):
        return None
    kind, url = item.get("type"), item.get("image_url")
    if kind == "input_image" or (kind == "image_url" and isinstance(url, str)):
        given = {"type": "image", "url": url, "file_id": item.get("file_id")}
        return {key: value for key, value in given.items() if value}
    if kind == "media" and str(item.get("mime_type", "")).startswith("image/"):
        data, url = item.get("data"), item.get("file_uri")
        return {"type": "image", "base64": data} if data else {"type": "image", "url": url}
    for block in HumanMessage(content=[dict(item)]).content_blocks:
        if block["type"] == "image":
            return dict(block)
    return None


def items(message: BaseMessage) -> list[str | dict[str, Any]]:
    """A message's content as a list."""
    content = message.content
    return [content] if isinstance(content, str) else list(content)


def named_in(message: BaseMessage) -> dict[str, Source]:
    """Handles that a message itself gives, see `attach`."""
    given = message.additional_kwargs.get(ATTACHED)
    return {
        handle: {key: source[key] for key in _KEPT if isinstance(source.get(key), str)}
        for handle, source in (given.items() if isinstance(given, Mapping) else ())
        if _HANDLE.fullmatch(str(handle)) and isinstance(source, Mapping)
    }


def images_of(state: object) -> dict[str, Source]:
    """Every image of a conversation by its handle.

    Those that the state and messages name keep their names; of the others, the first is
    `image_1` if that is free, and so on.

    Args:
        state: An agent's state, or its messages, oldest first.
    """
    messages, named = _of(state)
    found = dict(named)
    for message in messages:
        for handle, source in named_in(message).items():
            twice = f"is the name of two images here: give attach() the conversation, {handle}"
            same = found.get(handle, source) == source
            found[handle] = source if same else {"problem": twice}
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
    if not is_handle(image):
        return admit(image, policy)
    found = images_of(runtime.state if runtime else [])
    if image not in found:
        names = sorted(found, key=lambda handle: int(handle[6:]))
        have = f"It has {', '.join(names[:20])}{' and more' if names[20:] else ''}."
        raise ImageError(
            f"There is no {image} in this conversation.",
            have if found else "Ask the user to attach the image.",
        )
    return read_image(found[image], image, policy, image_store(settings))


def read_image(source: Source, handle: str, policy: Policy, store: ImageStore) -> AdmittedImage:
    """The image of a source, named after its handle.

    Args:
        source: See `Source`.
        handle: Its name for messages and results.
        policy: Limits, and whether URLs may be fetched.
        store: Where content hashes are looked up.

    Raises:
        ImageError: It has no bytes here, or is over a limit.
    """
    again = "Ask the user to attach the image itself."
    if sha256 := source.get("sha256"):
        try:
            image = store.get(str(sha256))
        except NotFoundError as error:
            raise ImageError(f"{handle} is no longer kept.", again) from error
        return AdmittedImage(image.sha256, image.rgb, handle)
    if problem := source.get("problem"):
        raise ImageError(f"{handle} {problem}", again)
    if data := source.get("base64"):
        return _own(f"data:;base64,{data}", handle, policy)
    url = str(source.get("url") or "")
    if url.startswith("data:"):
        return _own(url, handle, policy)
    if url:
        return admit(url, policy)
    raise ImageError(f"{handle} was attached as a file id, so its bytes are not here.", again)


def _own(uri: str, handle: str, policy: Policy) -> AdmittedImage:
    """The user's own data, not a string that a model chose: only the limits apply."""
    admitted = admit(uri, Policy(limits=policy.limits))
    return AdmittedImage(admitted.sha256, admitted.rgb, handle)


def _of(state: object) -> tuple[Sequence[BaseMessage], Mapping[str, Source]]:
    if isinstance(state, Mapping):
        return state.get("messages") or [], state.get(ATTACHED) or {}
    if isinstance(state, Sequence):
        return state, {}
    messages = getattr(state, "messages", None) or []
    return cast("Sequence[BaseMessage]", messages), getattr(state, ATTACHED, None) or {}


def _blocks(messages: Sequence[BaseMessage]) -> Iterator[dict[str, Any]]:
    for message in messages:
        for item in items(message):
            if block := image_block(item):
                yield block
