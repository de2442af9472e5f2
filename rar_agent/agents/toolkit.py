"""Tools beside `recognize_image`: what is known, what a category is, and teaching it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from langchain.agents.middleware.human_in_the_loop import (
    ActionRequest,
    HITLRequest,
    ReviewConfig,
)
from langchain.tools import ToolRuntime
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.runtime import get_runtime
from langgraph.types import interrupt
from pydantic import BaseModel, Field, ValidationError

from rar_agent.agents import knowledge
from rar_agent.agents.conversation import DESCRIBES, find_image, handle_in, images_of
from rar_agent.agents.recognizers import Recognizers
from rar_agent.agents.teaching import (
    MOST_IMAGES,
    Lesson,
    prepare,
    teach,
    tell_taught,
)
from rar_agent.agents.tool import make_recognize_image, telling
from rar_agent.errors import InputError
from rar_agent.images import MIME_TYPE, to_picture
from rar_agent.recognizer import Recognizer

_SIDE = 384  # of a category's photo that a model is shown, in pixels

Content = str | list[Any]


class ListMemoriesInput(BaseModel):
    """Nothing is filled in."""


class DescribeCategoryInput(BaseModel):
    """What a model fills in."""

    category: str = Field(description="Name of the category, as recognize_image gives it.")
    memory: str | None = Field(
        default=None, description="Name of the memory; leave out for the default."
    )
    photos: int = Field(
        default=0,
        ge=0,
        le=knowledge.MOST_PICTURES,
        description="How many of its photos to show you; only if you can see images in tool "
        "results.",
    )


class TeachCategoryInput(BaseModel):
    """What a model fills in."""

    category: str = Field(description="Name of the category, an existing or a new one.")
    images: list[str] = Field(
        min_length=1,
        max_length=MOST_IMAGES,
        description="Attached images that show it, by handle: ['image_1'].",
    )
    description: str = Field(
        default="",
        max_length=500,
        description="One sentence that tells a new category from similar ones.",
    )


def make_toolkit(
    recognizer: Recognizer | Recognizers | None = None, teach: bool = False
) -> list[BaseTool]:
    """`recognize_image` with the tools beside it, of one recognizer and of other memories by name.

    `list_memories` and `describe_category` read; `teach_category`, where it is asked for, writes to
    the recognizer's memory, and interrupts the agent for a person's approval before it does. That
    takes an agent with a checkpointer.

    Args:
        recognizer: What to ask; default: one from the settings.
        teach: Whether an agent may propose to teach the memory.

    Raises:
        ConfigurationError: A setting is not valid.

    Example:
        >>> from langchain.agents import create_agent
        >>> agent = create_agent("openai:gpt-5-mini", make_toolkit())  # doctest: +SKIP
    """
    asked = recognizer if isinstance(recognizer, Recognizers) else Recognizers(recognizer)
    tools: list[BaseTool] = [
        make_recognize_image(asked, memories=()),  # any that list_memories lists
        _list_memories(asked),
        _describe_category(asked),
    ]
    return [*tools, _teach_category(asked)] if teach else tools


def _list_memories(asked: Recognizers) -> BaseTool:
    def run() -> tuple[Content, dict[str, Any]]:
        runtime = None  # is not injected into a tool without arguments
        with suppress(KeyError, RuntimeError):  # there is no graph around it
            runtime = get_runtime()
        with telling():
            found = knowledge.memories(asked.of(None, runtime).settings)
            return knowledge.tell_memories(found), found.model_dump(mode="json")

    return _tool(
        run,
        "list_memories",
        "List the memories of categories that images can be compared with: what kind of things "
        "each knows, how many, and whether it has photos of them.",
        ListMemoriesInput,
    )


def _describe_category(asked: Recognizers) -> BaseTool:
    def run(
        category: str,
        memory: str | None = None,
        photos: int = 0,
        runtime: ToolRuntime = None,  # type: ignore[assignment] # Optional would not be injected
    ) -> tuple[Content, dict[str, Any]]:
        with telling():
            recognizer = asked.of(memory, runtime)
            opened, settings = recognizer.memory, recognizer.settings
            found = knowledge.category(opened, category)
            shown = [
                to_picture(photo, _SIDE)
                for photo in knowledge.pictures(opened, category, photos, settings)
            ]
        said = knowledge.tell_category(found)
        blocks = [{"type": "image", "base64": p.base64, "mime_type": MIME_TYPE} for p in shown]
        content: Content = [{"type": "text", "text": said}, *blocks] if blocks else said
        return content, found.model_dump(mode="json")

    return _tool(
        run,
        DESCRIBES,
        "Look up what a memory knows of a category: other names, description, place in the "
        "taxonomy, metadata, number of photos, and a few of them.",
        DescribeCategoryInput,
    )


def _teach_category(recognizers: Recognizers) -> BaseTool:
    def run(
        category: str,
        images: list[str],
        description: str = "",
        runtime: ToolRuntime = None,  # type: ignore[assignment] # Optional would not be injected
    ) -> tuple[Content, dict[str, Any]]:
        with telling():
            recognizer = recognizers.of(None, runtime)
            asked = TeachCategoryInput(category=category, images=images, description=description)
            # Up to the interrupt nothing has any effect: from here the node is run again.
            answer = _ask(asked, _lesson(recognizer, asked, runtime))
            if answer["type"] == "reject":
                why = f": {answer['message']}" if answer.get("message") else "."
                return f"Not taught: whoever was asked rejected it{why}", {"taught": False}
            if answer["type"] == "edit":
                asked = _edited(asked, answer)
            taught = teach(recognizer, _lesson(recognizer, asked, runtime))
        return tell_taught(taught), {"taught": True, **taught.model_dump(mode="json")}

    return _tool(
        run,
        "teach_category",
        "Propose to teach the memory what attached images show, so that it is recognised from then "
        "on. A person is asked first. Only where the user wants it and says what it is.",
        TeachCategoryInput,
    )


def _lesson(
    recognizer: Recognizer, asked: TeachCategoryInput, runtime: ToolRuntime | None
) -> Lesson:
    """What would be taught; the same whenever the node is run again.

    Raises:
        InputError: It cannot be taught, or an image is none that was attached itself.
    """
    attached = images_of(runtime.state if runtime else [])
    for image in asked.images:
        handle = handle_in(image)
        if handle is None:
            raise InputError(
                f"'{image[:60]}' is no attached image.", "Name them by their handles: image_1."
            )
        url = attached.get(handle, {}).get("url", "data:")
        if not url.startswith("data:"):
            raise InputError(
                f"{image} is a link, and another image could be there once it is approved.",
                "Ask the user to attach the image itself.",
            )
    images = [find_image(image, runtime, recognizer.settings) for image in asked.images]
    return prepare(recognizer, asked.category, images, asked.description)


def _ask(asked: TeachCategoryInput, lesson: Lesson) -> Mapping[str, Any]:
    """Interrupt the agent, and return what was decided when it goes on.

    The request and the answer are those of LangChain's `HumanInTheLoopMiddleware`, so that its
    front ends show them; what would be taught is under `lesson`.
    """
    action = ActionRequest(name="teach_category", args=asked.model_dump(), description=str(lesson))
    review = ReviewConfig(
        action_name="teach_category", allowed_decisions=["approve", "edit", "reject"]
    )
    request = HITLRequest(action_requests=[action], review_configs=[review])
    try:
        answer = interrupt({**request, "lesson": lesson.plain()})
    except (KeyError, RuntimeError) as error:  # there is no graph around it
        raise ToolException(
            "Not taught: a person has to approve it, and nobody can be asked here. Run the agent "
            "with a checkpointer."
        ) from error
    if isinstance(answer, Mapping) and isinstance(answer.get("decisions"), list):
        answer = answer["decisions"][0] if len(answer["decisions"]) == 1 else None
    if isinstance(answer, str):
        answer = {"type": answer}
    if not isinstance(answer, Mapping) or answer.get("type") not in review["allowed_decisions"]:
        raise ToolException(
            "Not taught: the answer was neither approve, edit nor reject. Resume with "
            '{"decisions": [{"type": "approve"}]}.'
        )
    return answer


def _edited(asked: TeachCategoryInput, answer: Mapping[str, Any]) -> TeachCategoryInput:
    """What whoever was asked made of it; what they left out stays."""
    try:
        return TeachCategoryInput(**{**asked.model_dump(), **answer["edited_action"]["args"]})
    except (KeyError, TypeError, ValidationError) as error:
        raise ToolException(f"Not taught: the edited arguments are not valid: {error}") from error


def _tool(
    run: Callable[..., tuple[Content, dict[str, Any]]],
    name: str,
    description: str,
    schema: type[BaseModel],
) -> BaseTool:
    """A tool whose asynchronous calls run in a thread."""
    return StructuredTool.from_function(
        run,
        name=name,
        description=description,
        args_schema=schema,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )
