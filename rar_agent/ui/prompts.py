"""Comparing prompts for the page: two side by side, on one photo."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from difflib import unified_diff

from markupsafe import Markup

from rar_agent.explained import preview_page
from rar_agent.graph.preview import preview
from rar_agent.images import AdmittedImage
from rar_agent.prompts import find_prompt, read_prompt
from rar_agent.ui import recognise, render
from rar_agent.ui.desk import Choice, Desk
from rar_agent.ui.pictures import Pictures


def rendered(desk: Desk, image: AdmittedImage, choice: Choice) -> str:
    """HTML of what a model would be asked with a prompt, or why that cannot be."""
    try:
        prompt = desk.prompt(choice.prompt)
        settings = desk.settings.model_copy(update={"memory": choice.memory})
        return preview_page(preview(settings, image, prompt, None, choice.k), "h4")
    except Exception as error:  # the other prompt may do
        return render.sentence(error)


async def answered(desk: Desk, pictures: Pictures, image: AdmittedImage, choice: Choice) -> str:
    """HTML of the answer with a prompt, or why there is none."""
    try:
        answer = await desk.recognise(image, choice)
        return await asyncio.to_thread(recognise.show, desk, pictures, answer)
    except Exception as error:  # the other prompt may do
        return render.sentence(error)


def differences(desk: Desk, references: Sequence[str]) -> str:
    """How the second prompt's file differs from the first one's.

    Raises:
        NotFoundError: There is none of a name.
    """
    one, other = (
        read_prompt(find_prompt(reference, desk.settings.home))
        .decode("utf-8-sig", "replace")
        .splitlines()
        for reference in references
    )
    first, second = references
    return "\n".join(unified_diff(one, other, first, second, lineterm=""))


async def compare(
    desk: Desk,
    pictures: Pictures,
    photo: object,
    memory: object,
    k: object,
    one: object,
    other: object,
    asks: object,
) -> str:
    """HTML of two prompts side by side.

    Args:
        desk: That is asked.
        pictures: Of exemplars.
        photo: As the browser names it.
        memory: See `Desk.choice`.
        k: Candidates.
        one: Reference of a prompt.
        other: Of another.
        asks: Whether the settings' model is asked.

    Raises:
        RarError: The photo or what was chosen cannot be used.
    """
    model = desk.model if asks else None
    choices = [desk.choice(memory, k, model, prompt) for prompt in (one, other)]
    image = await asyncio.to_thread(desk.photo, photo)
    difference = differences(desk, [choice.prompt for choice in choices])
    texts = [await asyncio.to_thread(rendered, desk, image, choice) for choice in choices]
    answers = ["", ""]
    if model:
        answers = await asyncio.gather(*(answered(desk, pictures, image, c) for c in choices))
    columns = [
        (choice.prompt, Markup(text), Markup(answer))  # noqa: S704 - escaped where it was made
        for choice, text, answer in zip(choices, texts, answers, strict=True)
    ]
    return render.render("prompts", columns=columns, difference=difference)
