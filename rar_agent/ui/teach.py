"""Teaching for the page: a category from a few photos, and HTML of what that changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rar_agent.encoders import choose_encoder, load_encoder
from rar_agent.errors import InputError
from rar_agent.images import Policy
from rar_agent.memory import Report, add_to_memory, create_memory, require_new
from rar_agent.memory.readers import Sample
from rar_agent.memory.readers.categories import named
from rar_agent.types import Category
from rar_agent.ui import render
from rar_agent.ui.desk import Desk
from rar_agent.ui.recognise import Last

NEW = "a new memory"
"""How the choice of a memory that is not there yet reads."""
MOST_PHOTOS = 100
"""That are taught at once."""
KEPT_SIDE = 320
"""Longer side in pixels of the pictures that a new memory keeps: uploads are not kept."""


@dataclass(frozen=True)
class Lesson:
    """What is to be taught.

    Attributes:
        memory: Its name.
        is_new: Whether it is to be created.
        domain: What kind of categories a new one has.
        category: With what is said of it.
        photos: Of it, as they were uploaded.
    """

    memory: str
    is_new: bool
    domain: str
    category: Category
    photos: tuple[Path, ...]


def lesson(
    desk: Desk,
    memory: object,
    new_name: object,
    domain: object,
    name: object,
    description: object,
    parent: object,
    photos: object,
) -> Lesson:
    """What the form says.

    Args:
        desk: Whose memories.
        memory: One that there is, or `NEW`.
        new_name: Of the new one.
        domain: Of the new one.
        name: Of the category.
        description: Of the category; may be empty.
        parent: Of the category; may be empty.
        photos: As the browser names them.

    Raises:
        InputError: Something is missing, cannot be used, or is not offered.
    """
    is_new = memory == NEW
    into = str(new_name or "").strip() if is_new else str(memory or "")
    if not into:
        raise InputError(
            "The new memory has no name." if is_new else "No memory is chosen.",
            "Give it one, such as birds." if is_new else f"Choose one, or {NEW}.",
        )
    if is_new:
        require_new(desk.settings.home, into)
    elif into not in desk.teachable():
        raise InputError(f"Memory '{into}' cannot be taught.", f"Choose another, or {NEW}.")
    if not str(name or "").strip():
        raise InputError("The category has no name.", "Give it one, such as Wilson Warbler.")
    said = {"description": str(description or "").strip(), "parent": str(parent or "").strip()}
    category = named(str(name), "the form", **said)
    given = photos if isinstance(photos, list) else []
    if not 1 <= len(given) <= MOST_PHOTOS:
        raise InputError(
            f"There are {len(given)} photos of '{category.name}'.",
            f"Give 1 to {MOST_PHOTOS}; rar-agent memory add teaches more.",
        )
    paths = tuple(desk.upload(photo) for photo in given)
    return Lesson(into, is_new, str(domain or "").strip(), category, paths)


def teach(desk: Desk, lesson: Lesson) -> Report:
    """Write it to the memory.

    Raises:
        InputError: Nothing could be learnt.
        BusyError: Somebody else is writing to the memory.
        ConfigurationError: The encoder cannot be loaded.
    """
    settings, policy = desk.settings, Policy.of(desk.settings)
    samples = [Sample(lesson.category, photo, photo.name) for photo in lesson.photos]
    if lesson.is_new:
        encoder = load_encoder(choose_encoder(settings.encoder).name, settings)
        return create_memory(
            settings.home,
            lesson.memory,
            encoder,
            samples,
            domain=lesson.domain,
            policy=policy,
            thumbnails=KEPT_SIDE,
        )
    encoder = load_encoder(desk.memory(lesson.memory).manifest.encoder.name, settings)
    return add_to_memory(settings.home, lesson.memory, encoder, samples, policy=policy)


def taught(
    desk: Desk, lesson: Lesson, report: Report, before: Last | None, now: Last | None
) -> str:
    """HTML of what was taught, and of what it changed.

    Args:
        desk: Whose memories.
        lesson: What was to be taught.
        report: What was.
        before: The last answer; None where there is none.
        now: The answer to the same photo now; None where there is no photo.
    """
    memory = desk.memory(lesson.memory)
    column = memory.categories.find(lesson.category.name)
    category = memory.categories[column] if column is not None else lesson.category
    same = before and now and (before.image, before.memory) == (now.image, now.memory)
    return render.render(
        "taught",
        lesson=lesson,
        report=report,
        memory=memory,
        count=memory.exemplar_count(column) if column is not None else 0,
        description_stays=category.description != lesson.category.description,
        before=render.brief(before.categories) if same and before else "",
        now=render.brief(now.categories) if now else "",
    )
