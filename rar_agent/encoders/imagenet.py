"""The 1,000 categories of the builtin encoder's classifier, in the order of its rows."""

from __future__ import annotations

from collections import Counter

from rar_agent.types import Category

# The two names that WordNet gives to two of the thousand synsets.
_TOLD_APART = {"n02012849": "crane (bird)", "n03126707": "crane (machine)"}


def imagenet_categories() -> list[Category]:
    """Names, aliases and definitions from WordNet, as timm ships them."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    wnids = info.label_names()
    lemmas = [info.index_to_description(i).split(", ") for i in range(len(wnids))]
    firsts = Counter(names[0] for names in lemmas)
    categories = []
    for index, (wnid, names) in enumerate(zip(wnids, lemmas, strict=True)):
        name = names[0] if firsts[names[0]] == 1 or len(names) == 1 else names[1]
        name = _TOLD_APART.get(wnid, name)
        categories.append(
            Category(
                name=name,
                aliases=tuple(alias for alias in names if alias != name),
                description=_definition(info.index_to_description(index, detailed=True), names),
                metadata={"wnid": wnid},
            )
        )
    return categories


def _definition(detailed: str, names: list[str]) -> str:
    return detailed.removeprefix(", ".join(names)).removeprefix(":").strip()
