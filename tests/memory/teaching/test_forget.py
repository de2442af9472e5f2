"""What removing does, one by one; `test_changes` has any sequence of changes."""

import pytest

from rar_agent.errors import InputError
from rar_agent.memory import (
    add_to_memory,
    compact_memory,
    create_memory,
    move_entries,
    open_memory,
    remove_from_memory,
    update_category,
)
from rar_agent.types import Category
from tests.memory.teaching.tiny import png
from tests.memory.teaching.trees import BEFORE, ids, known, parents, tree


def test_a_category_left_empty_goes_unless_some_are_below_it(place, encoder):
    memory = open_memory(place, "m")
    texts = [i for name in ("fir", "conifers") for i in ids(memory, name, "text")]
    remove_from_memory(place, "m", entries=texts)
    # conifers has fir below it, and stays a category of which nothing is known.
    entries = ids(open_memory(place, "m"), "conifers")
    memory = move_entries(place, "m", entries, "oak", encoder.load)
    assert known(memory)["conifers"] == ([], False)
    memory = move_entries(place, "m", ids(memory, "fir"), "oak", encoder.load)
    assert "fir" not in parents(memory)
    # All at once: the one below goes as well, so nothing keeps the one above.
    for i, order in enumerate((("fir", "conifers"), ("conifers", "fir"))):
        above = {"fir": "conifers", "conifers": ""}
        create_memory(place, f"n{i}", encoder, tree(*((n, above[n]) for n in order), ("oak", "")))
        memory = open_memory(place, f"n{i}")
        both = [*ids(memory, "fir"), *ids(memory, "conifers")]
        assert parents(remove_from_memory(place, f"n{i}", entries=both)) == {"oak": ""}


def test_removing_a_category_leaves_what_is_below_in_its_place(place, encoder):
    update_category(place, "m", "conifers", encoder.load, description="needles", aliases=["c"])
    memory = remove_from_memory(place, "m", ["conifers"])
    assert parents(memory) == BEFORE
    assert memory.taxonomy.above(memory.categories.find("fir")) == ("conifers", "trees")
    # The branch is all that is left of it.
    assert known(memory)["conifers"] == ([], False)
    conifers = memory.categories[memory.categories.find("conifers")]
    assert conifers == Category(name="conifers", parent="trees")
    assert memory.category_count == 4
    assert known(compact_memory(place, "m").memory) == known(memory)
    memory = remove_from_memory(place, "m", ["fir"])
    assert "conifers" in parents(memory)
    assert "conifers" not in parents(remove_from_memory(place, "m", ["conifers"]))


def test_a_branch_without_a_parent_needs_no_record(tmp_path, encoder):
    create_memory(tmp_path, "m", encoder, tree(("conifers", ""), ("fir", "conifers"), ("oak", "")))
    memory = remove_from_memory(tmp_path, "m", ["conifers"])
    assert parents(memory) == {"fir": "conifers", "oak": ""}
    assert memory.taxonomy.branches() == ["conifers"]


def test_a_branch_is_nothing_to_remove(place, encoder):
    remove_from_memory(place, "m", ["conifers"])
    for name, below in (("conifers", "1 right below it: fir"), ("trees", "3 right below it: ash")):
        with pytest.raises(InputError, match=f"'{name}' is a branch with {below}") as error:
            remove_from_memory(place, "m", [name, "oak"])
        assert "memory update m" in error.value.fix
    assert parents(open_memory(place, "m")) == BEFORE
    # What is said of a branch can be forgotten, and a branch with all below it.
    update_category(place, "m", "conifers", encoder.load, description="needles")
    memory = remove_from_memory(place, "m", ["conifers"])
    assert memory.categories[memory.categories.find("conifers")].description == ""
    memory = remove_from_memory(place, "m", ["trees", "ash", "birch", "conifers", "fir"])
    assert parents(memory) == {"oak": ""}


@pytest.mark.parametrize("gone", [["conifers", "fir"], ["fir", "conifers"]])
def test_removing_a_category_with_all_below_it(place, gone):
    memory = remove_from_memory(place, "m", gone)
    assert parents(memory) == {n: p for n, p in BEFORE.items() if n not in gone}


def test_a_branch_that_is_taught_again_gets_a_text(tmp_path, encoder):
    """All others have one, and the scoring would use texts no more."""
    samples = tree(("dogs", "animals"), ("pug", "dogs"), ("cats", "animals"), ("oak", ""))
    for name in ("taught", "moved"):
        create_memory(tmp_path, name, encoder, samples, [Category(name="elm")])
        before = remove_from_memory(tmp_path, name, ["dogs"])
        assert known(before)["dogs"] == ([], False)
        encoder.texts.clear()
        if name == "taught":
            images = {"dogs": [png("dogs", i) for i in range(12)]}
            memory = add_to_memory(tmp_path, name, encoder, images).memory
        else:
            memory = move_entries(tmp_path, name, ids(before, "cats")[:1], "dogs", encoder.load)
        assert encoder.texts == ["dogs"]
        assert all(text for _, text in known(memory).values())
        assert memory.scorer.has_text.all()  # or the fit leaves texts out
