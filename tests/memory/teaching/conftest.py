"""A memory of trees, for tests of changes."""

import pytest

from rar_agent.memory import create_memory
from rar_agent.types import Category
from tests.memory.teaching.trees import Encoder, tree


@pytest.fixture
def encoder():
    return Encoder()


@pytest.fixture
def place(tmp_path, encoder):
    """Trees, of which all but the branches have three images; `birch` has a text as they all do."""
    samples = tree(("ash", "trees"), ("fir", "conifers"), ("conifers", "trees"), ("oak", ""))
    create_memory(tmp_path, "m", encoder, samples, [Category(name="birch", parent="trees")])
    encoder.texts.clear()
    return tmp_path
