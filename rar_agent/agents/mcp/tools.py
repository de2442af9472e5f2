"""The tools of the server: what a client is told of them, and what they do."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
from mcp.server.session import ServerSession
from mcp.shared.context import RequestContext
from mcp.types import (
    CallToolResult,
    ContentBlock,
    ImageContent,
    TextContent,
    Tool,
    ToolAnnotations,
)
from pydantic import BaseModel, ConfigDict, RootModel

from rar_agent.agents import knowledge, teaching
from rar_agent.agents.boxes import FORM, shares
from rar_agent.agents.mcp.approval import approve
from rar_agent.agents.mcp.images import admit_given, client_roots
from rar_agent.agents.mcp.inputs import (
    DescribeInput,
    Input,
    ListInput,
    RecognizeInput,
    TeachInput,
    checked,
)
from rar_agent.agents.mcp.progress import Progress
from rar_agent.agents.mcp.recognizers import Recognizers
from rar_agent.agents.untrusted import SHORT, bounded, plain
from rar_agent.errors import InputError, RarError
from rar_agent.settings import Settings
from rar_agent.telemetry import redacted, without_folders
from rar_agent.types import Detections, Recognition

if TYPE_CHECKING:
    from rar_agent.images import AdmittedImage

Context = RequestContext[ServerSession, Any, Any]
Said = tuple[Sequence[ContentBlock], BaseModel]

_FOLDERS = re.compile(
    r"""(?<=['"])~?/[^'"\n]*/"""  # between quotes, where it may have spaces
    r"""|(?<![\w.~])(?<!:/)~?/(?:[^/\s'":,;]+/)+"""  # the slashes of URLs are none of it
)
"""Absolute paths in a text, up to their last part."""
_SIDE = 384  # of a category's photo that a model is shown, in pixels


class Recognized(RootModel[Recognition | Detections]):
    """A recognition; detections where boxes were given."""

    model_config = ConfigDict(json_schema_extra={"type": "object"})  # which the protocol wants


@dataclass(frozen=True)
class _Kind:
    """One tool."""

    title: str
    description: str
    takes: type[Input]
    gives: type[BaseModel]
    run: Callable[[Tools, Any, Context], Coroutine[Any, Any, Said]]
    writes: bool = False

    def told(self, name: str, description: str) -> Tool:
        return Tool(
            name=name,
            title=self.title,
            description=description,
            inputSchema=self.takes.model_json_schema(),
            outputSchema=self.gives.model_json_schema(mode="serialization"),
            annotations=ToolAnnotations(
                readOnlyHint=not self.writes,
                destructiveHint=False,
                idempotentHint=True,
                openWorldHint=False,
            ),
        )


class Tools:
    """The tools of one server.

    Args:
        settings: What to ask, and limits.
        remote: Whether the client may be on another machine: then its roots mean nothing here.
        teach: Whether a client may propose to teach the default memory.
    """

    def __init__(self, settings: Settings, remote: bool = False, teach: bool = False) -> None:
        self.settings = settings
        self.recognizers = Recognizers(settings)
        self._remote = remote
        self._folders = _known_folders(settings)
        self._kinds = {name: kind for name, kind in _KINDS.items() if teach or not kind.writes}

    async def listed(self) -> list[Tool]:
        """What a client is told of the tools, with what the default memory knows."""
        described = await asyncio.to_thread(_described, self.settings)
        return [
            kind.told(name, described if name == "recognize_image" else kind.description)
            for name, kind in self._kinds.items()
        ]

    async def call(self, name: str, arguments: dict[str, Any], context: Context) -> CallToolResult:
        """Run a tool; what goes wrong is an answer that says what to do."""
        kind = self._kinds.get(name)
        try:
            if kind is None:
                known = ", ".join(self._kinds)
                raise InputError(f"There is no tool '{name}'.", f"There is {known}.")
            said = kind.run(self, checked(kind.takes, arguments), context)
            content, structured = await _cancelled_once(said)
        except RarError as error:
            return failed(self.shown(str(error)))
        return CallToolResult(content=list(content), structuredContent=self._told(structured))

    def _told(self, structured: BaseModel) -> dict[str, Any]:
        """What a client is told beside the text; from afar without the folders of exemplars."""
        found = structured.model_dump(mode="json")
        told: Any = bounded(without_folders(found) if self._remote else found)
        return cast("dict[str, Any]", told)

    def shown(self, wrong: str) -> str:
        """What a client is told of an error: a line, no keys, from afar no folders from here."""
        if not self._remote:
            return plain(redacted(wrong))
        return _FOLDERS.sub("…/", plain(self._folders.sub("/…", redacted(wrong))))

    async def _recognize(self, asked: RecognizeInput, context: Context) -> Said:
        progress, boxes = Progress(context, 4), shares(asked.boxes)
        roots = await self._roots(context)
        await progress.begin("reading the image")
        image = await asyncio.to_thread(admit_given, asked.image, asked.data, self.settings, roots)
        await progress.begin(f"loading memory {plain(asked.memory or self.settings.memory, SHORT)}")
        recognizer = await asyncio.to_thread(self.recognizers.of, asked.memory)
        await asyncio.to_thread(lambda: recognizer.services.encoder)
        await progress.begin("encoding and searching")

        async def tell(said: dict[str, Any]) -> None:
            if said["step"] == "ranking":
                what = "candidates" if "candidates" in said else "boxes"
                await progress.begin(f"ranking {said[what]} {what}")

        from rar_agent.agents.answer import describe, describe_boxes  # what it imports is there

        if not boxes:
            found = await recognizer.arecognize(image, tell, k=asked.top_k)
            return [TextContent(type="text", text=describe(found))], found
        detections = await recognizer.adetect(image, boxes, FORM, tell, k=asked.top_k)
        said = TextContent(type="text", text=describe_boxes(detections))
        if not asked.draw:
            return [said], detections
        drawn = await asyncio.to_thread(_drawn, image, detections, self.settings.image_side)
        return [said, drawn], detections

    async def _list(self, asked: ListInput, context: Context) -> Said:
        del asked, context
        found = await asyncio.to_thread(self.memories)
        return [TextContent(type="text", text=knowledge.tell_memories(found))], found

    def memories(self) -> knowledge.Memories:
        """The memories that there are."""
        found = knowledge.memories(self.settings).memories
        told = (one.model_copy(update={"problem": self.shown(one.problem)}) for one in found)
        return knowledge.Memories(memories=tuple(told))

    async def _describe(self, asked: DescribeInput, context: Context) -> Said:
        del context
        return await asyncio.to_thread(self._described, asked)

    def _described(self, asked: DescribeInput) -> Said:
        from rar_agent.images import MIME_TYPE, to_picture

        memory = self.recognizers.of(asked.memory).memory
        found = knowledge.category(memory, asked.category)
        photos = knowledge.pictures(memory, asked.category, asked.photos, self.settings)
        shown = [
            ImageContent(type="image", data=to_picture(photo, _SIDE).base64, mimeType=MIME_TYPE)
            for photo in photos
        ]
        return [TextContent(type="text", text=knowledge.tell_category(found)), *shown], found

    async def _teach(self, asked: TeachInput, context: Context) -> Said:
        progress = Progress(context, 3)
        roots = await self._roots(context)
        await progress.begin("reading the images")
        given = [(image, "") for image in asked.images] + [("", data) for data in asked.data]
        images = [
            await asyncio.to_thread(admit_given, image, data, self.settings, roots)
            for image, data in given
        ]
        recognizer = await asyncio.to_thread(self.recognizers.of)
        lesson = teaching.prepare(recognizer, asked.category, images, asked.description)
        await progress.begin("waiting for a person's approval")
        # Up to here nothing has any effect.
        category, description = await approve(lesson, context)
        await progress.begin("learning")
        lesson = teaching.prepare(recognizer, category, images, description)
        taught = await asyncio.to_thread(teaching.teach, recognizer, lesson)
        return [TextContent(type="text", text=teaching.tell_taught(taught))], taught

    async def _roots(self, context: Context) -> tuple[Any, ...]:
        own = self.settings.roots
        return own if self._remote else (*own, *await client_roots(context.session))


def _known_folders(settings: Settings) -> re.Pattern[str]:
    """Folders that errors may begin with, whatever is in their names."""
    given = [
        Path(os.path.expanduser(one))  # noqa: PTH111 - Path's fails where nobody has a home
        for one in (settings.home, *settings.roots, Path("~"))
    ]
    known = {str(path) for one in given for path in (one.absolute(), one.resolve())}
    known -= {one.anchor for one in given} | {"/"}
    names = sorted(known, key=len, reverse=True)  # the longest one counts
    return re.compile(rf"(?<![\w.~])(?:{'|'.join(map(re.escape, names)) or '(?!)'})")


def _drawn(image: AdmittedImage, detections: Detections, side: int) -> ImageContent:
    from rar_agent.detection.draw import draw
    from rar_agent.images import MIME_TYPE, to_picture

    picture = to_picture(draw(image.rgb, detections), side)
    return ImageContent(type="image", data=picture.base64, mimeType=MIME_TYPE)


async def _cancelled_once(work: Coroutine[Any, Any, Said]) -> Said:
    """Run it so that it is cancelled once and has ended then.

    A scope of anyio, as requests run in, cancels again at every step. A graph whose steps are
    streamed is then kept from ending its calls of a model.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    finally:
        if not task.done():
            task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([task])


def failed(said: str) -> CallToolResult:
    """The answer of a tool that could not do what it was asked."""
    return CallToolResult(content=[TextContent(type="text", text=said)], isError=True)


def _described(settings: Settings) -> str:
    """What recognize_image is for, with what the default memory knows, if it can be opened."""
    from rar_agent.agents.answer import tool_description
    from rar_agent.memory import list_memories, open_memory

    if settings.memory not in list_memories(settings.home):
        return tool_description([])  # a ready memory is made when it is asked
    try:
        return tool_description([open_memory(settings.home, settings.memory)])
    except RarError:
        return tool_description([])


_KINDS = {
    "recognize_image": _Kind(
        "Recognise an image", "", RecognizeInput, Recognized, Tools._recognize
    ),
    "list_memories": _Kind(
        "List memories",
        "List the memories of categories that images can be compared with: what kind of things "
        "each knows, how many, and whether it has photos of them.",
        ListInput,
        knowledge.Memories,
        Tools._list,
    ),
    "describe_category": _Kind(
        "Describe a category",
        "Look up what a memory knows of a category: other names, description, place in the "
        "taxonomy, metadata, number of photos, and a few of them.",
        DescribeInput,
        knowledge.CategoryDetails,
        Tools._describe,
    ),
    "teach_category": _Kind(
        "Teach a category",
        "Propose to teach the default memory what images show, so that it is recognised from then "
        "on. A person is asked first. Only where the user wants it and says what it is.",
        TeachInput,
        teaching.Taught,
        Tools._teach,
        writes=True,
    ),
}
