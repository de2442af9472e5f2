"""What is shown of candidates, and in which order: letters belong to places, not to candidates."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from PIL import Image

from rar_agent.images import Picture, to_picture
from rar_agent.prompts import Prompt
from rar_agent.types import Candidate, Exemplar

LETTERS = list(string.ascii_uppercase)
"""Letters of the options, in the order shown."""

EXEMPLAR_SIDE = 256
"""Longest side of an exemplar's picture, in pixels: several are shown beside the photo."""

ExemplarImage = Callable[[Exemplar], Image.Image | None]
"""Finds an exemplar's picture, RGB; None where neither its file nor a thumbnail is there."""

ExemplarPicture = Callable[[Exemplar], Picture | None]
"""Likewise, as it is sent."""

_KEPT_PICTURES = 1_024  # of some 10 kB


def no_pictures(exemplar: Exemplar) -> None:
    """Finds none."""


def encoded_once(find: ExemplarImage) -> ExemplarPicture:
    """Finds exemplars' pictures and encodes them, each once for all questions that show it."""

    @lru_cache(_KEPT_PICTURES)
    def encoded(entry: int, source: str) -> Picture | None:
        image = find(Exemplar(entry=entry, source=source, similarity=0.0))
        return replace(to_picture(image, EXEMPLAR_SIDE), optional=True) if image else None

    return lambda exemplar: encoded(exemplar.entry, exemplar.source)


def shown_orders(count: int, seed: int, orders: int) -> list[list[int]]:
    """Orders in which to show candidates: one drawn from the seed, and rotations of it.

    Retrieval's own order is not shown: a model's liking for the first option would then look like
    agreement with retrieval.

    Args:
        count: Of candidates.
        seed: Of the first order.
        orders: How many; 0 for all rotations, in which each candidate stands once at each letter.

    Returns:
        Positions of candidates, in the order shown.
    """
    first = random.Random(seed).sample(range(count), count)
    wanted = count if orders == 0 else min(orders, count)
    turns = [round(i * count / wanted) for i in range(wanted)]
    return [first[turn:] + first[:turn] for turn in turns]


def values_of(
    prompt: Prompt,
    photo: Picture,
    candidates: Sequence[Candidate],
    shown: Sequence[int],
    domain: str,
    exemplar_picture: ExemplarPicture = no_pictures,
) -> dict[str, Any]:
    """The variables that a prompt is rendered with; pictures only where it shows them.

    Args:
        prompt: For which.
        photo: The image that is asked about.
        candidates: In retrieval order.
        shown: Their positions, in the order shown.
        domain: What kind of categories these are.
        exemplar_picture: Finds the exemplars' pictures.
    """
    letters = LETTERS[: len(shown)]
    options: list[dict[str, Any]] = []
    for letter, position in zip(letters, shown, strict=True):
        candidate = candidates[position]
        option: dict[str, Any] = {
            "letter": letter,
            "name": candidate.category.name,
            "aliases": ", ".join(candidate.category.aliases),
            "description": candidate.category.description,
            "exemplars": [],
        }
        if "picture" in prompt.variables:
            found = (exemplar_picture(exemplar) for exemplar in candidate.exemplars)
            option["exemplars"] = [{"picture": picture} for picture in found if picture]
        options.append(option)
    example = random.Random(len(letters)).sample(letters, len(letters))
    return {
        "domain": domain or "closely related categories",
        "count": len(shown),
        "options": options,
        "example": ", ".join(f'"{letter}"' for letter in example),
        "photo": photo,
    }


def values_of_crops(
    prompt: Prompt,
    photos: Sequence[Picture],
    candidates: Sequence[Sequence[Candidate]],
    shown: Sequence[Sequence[int]],
    domain: str,
) -> dict[str, Any]:
    """The variables that a prompt about several crops is rendered with.

    Args:
        prompt: For which.
        photos: The crops.
        candidates: Of each crop, in retrieval order.
        shown: Of each crop, their positions in the order shown.
        domain: What kind of categories these are.
    """
    each = [
        values_of(prompt, photo, own, order, domain)
        for photo, own, order in zip(photos, candidates, shown, strict=True)
    ]
    example = ", ".join(f'"{n}": [{values["example"]}]' for n, values in enumerate(each, 1))
    return {
        "domain": each[0]["domain"],
        "count": len(each),
        "crops": [
            {"number": n, "photo": values["photo"], "options": values["options"]}
            for n, values in enumerate(each, 1)
        ],
        "example": f"{{{example}}}",
    }
