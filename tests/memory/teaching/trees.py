"""A memory with trees, to be changed."""

from rar_agent.memory import open_memory
from rar_agent.memory.readers import Sample
from rar_agent.types import Category
from tests.memory.teaching.tiny import TinyEncoder, png


class Encoder(TinyEncoder):
    """Counts how often it was loaded."""

    loaded = 0

    def load(self):
        self.loaded += 1
        return self


def tree(*pairs):
    return [
        Sample(Category(name=name, parent=parent), png(name, i), f"{name} {i}")
        for name, parent in pairs
        for i in range(3)
    ]


def parents(memory):
    return {category.name: category.parent for category in memory.categories}


def known(memory):
    """Sources of the images, and whether there is a text, by category."""
    return {
        category.name: (
            sorted(e.source for e in memory.entries_of(column) if e.modality == "image"),
            "text" in memory.evidence(column),
        )
        for column, category in enumerate(memory.categories)
    }


def ids(memory, name, modality="image"):
    column = memory.categories.find(name)
    return [e.id for e in memory.entries_of(column) if e.modality == modality]


BEFORE = {"ash": "trees", "fir": "conifers", "conifers": "trees", "oak": "", "birch": "trees"}


def unchanged(place):
    memory = open_memory(place, "m")
    return memory.manifest.generation == 1 and parents(memory) == BEFORE
