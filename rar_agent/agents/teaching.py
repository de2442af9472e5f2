"""Teaching by an agent: what would be taught, said before anything is written, then written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from rar_agent.agents.untrusted import plain
from rar_agent.errors import InputError
from rar_agent.forks import Lock

if TYPE_CHECKING:
    from rar_agent.images import AdmittedImage
    from rar_agent.recognizer import Recognizer
    from rar_agent.types import Category

MOST_IMAGES = 16
"""That are taught at once."""

_writing = Lock()  # a person approves several lessons at once, and none is to find another busy


class Taught(BaseModel):
    """What was taught."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    memory: str
    category: str
    added: int
    """Photos that are new to the category."""
    known: int
    """Photos that it had already."""
    failed: tuple[str, ...] = ()
    """Why a photo was not learnt."""
    generation: int
    """Of the memory, that answers from now on."""


@dataclass(frozen=True)
class Lesson:
    """What would be taught; nothing is written before `teach`.

    Attributes:
        memory: Its name.
        category: With what is said of it.
        images: Of it, admitted.
        is_new: Whether the memory does not have the category yet.
        kept: Description that the memory has already, and that stays; empty where it has none.
    """

    memory: str
    category: Category
    images: tuple[AdmittedImage, ...]
    is_new: bool
    kept: str = ""

    def __str__(self) -> str:
        """One sentence, for whoever approves it."""
        count = f"{len(self.images)} photo{'s' if len(self.images) != 1 else ''}"
        what = "a new category" if self.is_new else "a category that it has"
        words = f"Teach memory '{self.memory}' {count} of '{self.category.name}', {what}."
        if self.category.description:
            words += f" Description: {self.category.description}"
            words += " (not used: it has one, which stays)" if self.kept else ""
        return words

    def plain(self) -> dict[str, Any]:
        """Plain data, without pixels."""
        return {
            "memory": self.memory,
            "category": self.category.name,
            "new_category": self.is_new,
            "description": self.category.description,
            "kept_description": self.kept,
            "images": [
                {"image": i.name, "sha256": i.sha256, "width": i.rgb.width, "height": i.rgb.height}
                for i in self.images
            ],
        }


def prepare(
    recognizer: Recognizer, category: str, images: Sequence[AdmittedImage], description: str = ""
) -> Lesson:
    """What teaching would do; nothing is written.

    Raises:
        InputError: The memory may not be taught, the name cannot name a category, or there are no
            images, or too many.
    """
    from rar_agent.memory.readers.categories import named

    memory = recognizer.memory
    if memory.manifest.fixed:
        raise InputError(
            f"Memory '{memory.name}' is ready-made and may not be taught.",
            "Have the operator create one, rar-agent memory create NAME --images FOLDER, and name "
            "it in RAR_MEMORY.",
        )
    if not 1 <= len(images) <= MOST_IMAGES:
        raise InputError(f"{len(images)} images were named.", f"Name 1 to {MOST_IMAGES}.")
    wanted = named(plain(category), "the call", description=plain(description))
    column = memory.categories.find(wanted.name)
    known = memory.categories[column] if column is not None else None
    different = {image.sha256: image for image in images}
    return Lesson(
        memory.name,
        wanted,
        tuple(different.values()),
        known is None,
        known.description if known and known.description != wanted.description else "",
    )


def teach(recognizer: Recognizer, lesson: Lesson) -> Taught:
    """Write it to the memory; the recognizer answers with the new generation from then on.

    Nothing is learnt twice: photos are known by their content.

    Raises:
        BusyError: Somebody else is writing to the memory.
        ConfigurationError: Its encoder cannot be loaded.
        DamagedDataError: It is damaged.
    """
    from rar_agent.images import Policy
    from rar_agent.memory import add_to_memory
    from rar_agent.memory.readers import Sample

    settings = recognizer.settings
    samples = [
        Sample(lesson.category, image, f"taught by an agent: {image.name}")
        for image in lesson.images
    ]
    with _writing:
        report = add_to_memory(
            settings.home,
            lesson.memory,
            recognizer.services.encoder,
            samples,
            policy=Policy.of(settings),
        )
    recognizer.refresh()
    return Taught(
        memory=lesson.memory,
        category=lesson.category.name,
        added=report.added,
        known=report.known,
        failed=tuple(failure.error for failure in report.failures),
        generation=recognizer.memory.manifest.generation,
    )


def tell_taught(taught: Taught) -> str:
    """What was taught, in a sentence or two."""
    words = f"Memory '{taught.memory}' learnt {taught.added} of '{taught.category}'"
    words += f"; {taught.known} it had already" if taught.known else ""
    return ". ".join([words, *taught.failed]).rstrip(".") + "."
