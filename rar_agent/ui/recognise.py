"""Recognising for the page: a photo, what it is asked with, and HTML of the answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rar_agent.types import RankedCategory
from rar_agent.ui import render
from rar_agent.ui.desk import Answer, Desk
from rar_agent.ui.pictures import Pictures

RETRIEVAL = "retrieval alone"
"""How the choice of no model reads."""


@dataclass(frozen=True)
class Last:
    """What was answered last on a page.

    Attributes:
        image: sha256 of the photo.
        memory: That was asked.
        categories: The answer.
    """

    image: str
    memory: str
    categories: tuple[RankedCategory, ...]


def show(desk: Desk, pictures: Pictures, answer: Answer) -> str:
    """HTML of an answer, with its exemplars' pictures."""
    memory = desk.memory(answer.recognition.trace.memory)
    evidence = [
        render.shown(ranked.exemplars, pictures.of(memory, ranked.exemplars), asked=True)
        for ranked in answer.recognition.categories
    ]
    return render.answer(answer, evidence)


def chosen(ranked_by: object) -> object:
    """The model that was chosen; None: none."""
    return None if ranked_by == RETRIEVAL else ranked_by


async def ask(
    desk: Desk,
    pictures: Pictures,
    photo: object,
    memory: object,
    k: object,
    ranked_by: object,
    prompt: object,
) -> tuple[str, Last]:
    """Recognise a photo.

    Args:
        desk: That is asked.
        pictures: Of exemplars.
        photo: As the browser names it.
        memory: See `Desk.choice`, as the rest.
        k: Candidates.
        ranked_by: `RETRIEVAL`, or the model.
        prompt: Its reference.

    Returns:
        HTML of the answer, and what it was.

    Raises:
        RarError: As `Recognizer.recognize`, and where something is chosen that is not offered.
    """
    choice = desk.choice(memory, k, chosen(ranked_by), prompt)
    image = await asyncio.to_thread(desk.photo, photo)
    answer = await desk.recognise(image, choice)
    html = await asyncio.to_thread(show, desk, pictures, answer)
    return html, Last(image.sha256, choice.memory, answer.recognition.categories)
