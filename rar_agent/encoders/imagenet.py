"""The 1,000 categories of the builtin encoder's classifier, in the order of its rows."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from rar_agent.errors import ConfigurationError
from rar_agent.types import Category

# The two names that WordNet gives to two of the thousand synsets.
_TOLD_APART = {"n02012849": "crane (bird)", "n03126707": "crane (machine)"}


def imagenet_categories() -> list[Category]:
    """Names, aliases and definitions from WordNet, as timm ships them.

    Raises:
        ConfigurationError: The extra `offline` is not installed.
    """
    wnids = _shipped("imagenet_synsets.txt")
    lemmas = dict(line.split("\t") for line in _shipped("imagenet_synset_to_lemma.txt"))
    definitions = dict(line.split("\t") for line in _shipped("imagenet_synset_to_definition.txt"))
    firsts = Counter(lemmas[wnid].split(", ")[0] for wnid in wnids)
    categories = []
    for wnid in wnids:
        names = lemmas[wnid].split(", ")
        name = names[0] if firsts[names[0]] == 1 or len(names) == 1 else names[1]
        name = _TOLD_APART.get(wnid, name)
        categories.append(
            Category(
                name=name,
                aliases=tuple(alias for alias in names if alias != name),
                description=definitions[wnid].strip(),
                metadata={"wnid": wnid},
            )
        )
    return categories


def _shipped(name: str) -> list[str]:
    """Lines of a file of timm's, found without importing timm, which takes seconds."""
    spec = find_spec("timm")
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise ConfigurationError(
            "The names of ImageNet are not installed.", "Run: pip install 'rar-agent[offline]'"
        )
    file = Path(next(iter(places))) / "data" / "_info" / name
    return file.read_text(encoding="utf-8").splitlines()
