"""From categories to text vectors: templates, aliases and the description, averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rar_agent.encoders import Encoder, FloatArray
from rar_agent.encoders.base import normalize
from rar_agent.memory.format.segment import text_content
from rar_agent.types import Category

_CATEGORIES, _TEXTS = 256, 2_048  # encoded between reports of progress, at most or so


def default_templates(encoder: Encoder, domain: str) -> tuple[str, ...]:
    """Templates for names, as in the paper's protocols where the encoder was trained on captions.

    Args:
        encoder: Bare names suit the builtin encoder's bridge; captions suit CLIP's kind.
        domain: What kind of categories these are; empty for any.
    """
    if not encoder.names_help:
        return ("{}",)
    if domain:
        return ("a photo of a {}.", f"a photo of a {{}}, a type of {domain}.")
    return ("a photo of a {}.",)


def texts_of(category: Category, templates: Sequence[str]) -> tuple[str, ...]:
    """All texts that stand for a category: its names in each template, and its description.

    Underscores in names, as LVIS has them, are spaces there.
    """
    names = [name.replace("_", " ") for name in (category.name, *category.aliases)]
    texts = [template.replace("{}", name) for name in names for template in templates]
    if category.description:
        texts.append(f"{names[0]}: {category.description}")
    return tuple(texts)


def content_of(category: Category, templates: Sequence[str]) -> str:
    """Content hash of a category's text entry: it changes when any of its texts does."""
    return text_content("\n".join(texts_of(category, templates)))


def encode_categories(
    encoder: Encoder,
    categories: Sequence[Category],
    templates: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """The normalised mean of each category's texts.

    Args:
        encoder: Of the texts.
        categories: n of them.
        templates: What names are put into.
        progress: Told after each batch how many categories are done, and of how many.

    Returns:
        (n, d) float32 unit rows.
    """
    parts = [np.empty((0, encoder.dimension), np.float32)]
    batch = max(1, min(_CATEGORIES, _TEXTS // max(1, len(templates))))
    for start in range(0, len(categories), batch):
        groups = [texts_of(c, templates) for c in categories[start : start + batch]]
        vectors = encoder.encode_texts([text for group in groups for text in group])
        firsts = np.cumsum([0, *(len(group) for group in groups[:-1])])
        parts.append(np.add.reduceat(vectors, firsts, axis=0).astype(np.float32))
        if progress:
            progress(start + len(groups), len(categories))
    return normalize(np.concatenate(parts))[0]
