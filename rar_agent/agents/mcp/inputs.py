"""What the tools take, as a client is told and as it is checked."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rar_agent.agents.boxes import Boxes
from rar_agent.agents.knowledge import MOST_PICTURES
from rar_agent.agents.teaching import MOST_IMAGES
from rar_agent.errors import InputError
from rar_agent.settings import MOST_CANDIDATES


class Input(BaseModel):
    """Anything else is refused."""

    model_config = ConfigDict(extra="forbid")


class RecognizeInput(Input):
    """What to recognise."""

    image: str = Field(
        default="",
        description="Path of an image file under a root of the client or server, or https URL.",
    )
    data: str = Field(
        default="",
        description="In place of image: the file's bytes in base64. For programs; a model cannot "
        "copy image data.",
    )
    memory: str = Field(
        default="", description="Name of the memory to ask, see list_memories; empty: the default."
    )
    top_k: int = Field(
        default=5, ge=1, le=MOST_CANDIDATES, description="How many candidates to return."
    )
    boxes: Boxes = Field(default_factory=list)
    draw: bool = Field(
        default=False, description="Whether to return the image with these boxes drawn, too."
    )


class ListInput(Input):
    """Nothing is chosen."""


class DescribeInput(Input):
    """What to describe."""

    category: str = Field(description="Name of the category, as recognize_image gives it.")
    memory: str = Field(default="", description="Name of the memory; empty: the default.")
    photos: int = Field(
        default=0,
        ge=0,
        le=MOST_PICTURES,
        description="How many of its photos to show you.",
    )


class TeachInput(Input):
    """What to teach."""

    category: str = Field(description="Name of the category, an existing or a new one.")
    images: list[str] = Field(
        default_factory=list,
        max_length=MOST_IMAGES,
        description="Paths or https URLs of images that show it, as for recognize_image.",
    )
    data: list[str] = Field(
        default_factory=list,
        max_length=MOST_IMAGES,
        description="More images, as bytes in base64; for programs.",
    )
    description: str = Field(
        default="",
        max_length=500,
        description="One sentence that tells a new category from similar ones.",
    )


def checked(takes: type[Input], arguments: dict[str, object]) -> Input:
    """The arguments of a call.

    Raises:
        InputError: They are not valid; the message says which and why.
    """
    try:
        return takes.model_validate(arguments)
    except ValidationError as error:
        wrong = [
            f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg'].lower()}"
            for one in error.errors()
        ]
        raise InputError(
            f"The arguments are not valid: {'; '.join(wrong)}.", "Correct them."
        ) from error
