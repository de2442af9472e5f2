"""What update and rename do, one by one; `test_changes` has any sequence of changes."""

import pytest

from rar_agent.errors import FingerprintMismatchError, InputError, NotFoundError
from rar_agent.memory import (
    add_to_memory,
    compact_memory,
    merge_categories,
    move_entries,
    open_memory,
    remove_from_memory,
    rename_category,
    update_category,
)
from rar_agent.types import Category
from tests.memory.teaching.tiny import TinyEncoder, png
from tests.memory.teaching.trees import BEFORE, ids, known, parents, unchanged


def test_rename_takes_entries_and_children_along(place, encoder):
    before = open_memory(place, "m")
    memory = rename_category(place, "m", "conifers", "evergreens", encoder.load)
    assert parents(memory) == {
        "ash": "trees",
        "fir": "evergreens",
        "evergreens": "trees",
        "oak": "",
        "birch": "trees",
    }
    assert known(memory)["evergreens"] == known(before)["conifers"]
    assert ids(memory, "evergreens") == ids(before, "conifers")
    assert encoder.texts == ["evergreens"]
    assert memory.taxonomy.above(memory.categories.find("fir")) == ("evergreens", "trees")


def test_rename_of_a_branch_that_is_no_category(place, encoder):
    memory = rename_category(place, "m", "trees", "plants", encoder.load)
    assert {name for name, parent in parents(memory).items() if parent == "plants"} == {
        "ash",
        "conifers",
        "birch",
    }
    assert encoder.loaded == 0
    assert "plants" not in known(memory)  # only what is below it has changed
    assert memory.category_count == 5
    memory = update_category(place, "m", "plants", encoder.load)
    assert "plants" not in known(memory)


def test_what_is_said_of_a_branch_makes_it_no_category(place, encoder):
    for change in ({"description": "tall"}, {"parent": "life"}, {"metadata": {"k": 1}}):
        memory = update_category(place, "m", "trees", encoder.load, **change)
    trees = memory.categories[memory.categories.find("trees")]
    assert (trees.description, trees.parent, trees.metadata) == ("tall", "life", {"k": 1})
    assert known(memory)["trees"] == ([], False)
    assert encoder.loaded == 0
    assert open_memory(place, "m").category_count == 5 == len(memory.categories) - 1
    assert compact_memory(place, "m").memory.category_count == 5
    memory = add_to_memory(place, "m", encoder, {"trees": [png("trees", 0)]}).memory
    assert memory.category_count == 6
    memory = remove_from_memory(place, "m", entries=memory.entries.ids.tolist())
    assert memory.category_count == 0


def test_to_the_same_name_is_no_change(place, encoder):
    memory = rename_category(place, "m", "conifers", "conifers", encoder.load)
    assert parents(memory) == BEFORE
    assert encoder.loaded == 0


@pytest.mark.parametrize("name", ["conifers", "trees"])
def test_names_that_are_taken(place, encoder, name):
    with pytest.raises(InputError, match="has a category 'oak' already") as error:
        rename_category(place, "m", name, "oak", encoder.load)
    assert f"memory merge m '{name}' --into 'oak'" in error.value.fix
    for bad in ("", "x" * 201):
        with pytest.raises(InputError, match="cannot be the name"):
            rename_category(place, "m", name, bad, encoder.load)
    assert unchanged(place)


def test_cycles_are_refused_and_shown(place, encoder):
    with pytest.raises(InputError, match="'conifers' would be above itself: conifers < conifers"):
        update_category(place, "m", "conifers", encoder.load, parent="conifers")
    with pytest.raises(InputError, match="conifers < fir < conifers"):
        update_category(place, "m", "conifers", encoder.load, parent="fir")
    with pytest.raises(InputError, match="trees < fir < conifers < trees"):
        update_category(place, "m", "trees", encoder.load, parent="fir")
    assert unchanged(place)


@pytest.mark.parametrize("levels", [250, 5_000])
def test_metadata_that_are_nested_too_deep(place, encoder, levels):
    value = 1
    for _ in range(levels):
        value = [value]
    with pytest.raises(InputError, match="metadata"):
        update_category(place, "m", "oak", encoder.load, metadata={"k": value})
    assert unchanged(place)


def test_a_branch_keeps_its_name_to_itself(place, encoder):
    update_category(place, "m", "oak", encoder.load, parent="broadleaved")
    for name in ("fir", "broadleaved"):
        with pytest.raises(InputError, match="has a branch 'trees' already"):
            rename_category(place, "m", name, "trees", encoder.load)
    assert parents(open_memory(place, "m")) == {**BEFORE, "oak": "broadleaved"}


def test_unknown_names_with_what_is_alike(place, encoder):
    changes = [
        lambda n: rename_category(place, "m", n, "x", encoder.load),
        lambda n: update_category(place, "m", n, encoder.load, description="x"),
        lambda n: merge_categories(place, "m", [n], "ash", encoder.load),
        lambda n: move_entries(place, "m", [0], n, encoder.load),
        lambda n: remove_from_memory(place, "m", ["ash", n]),
    ]
    for change in changes:
        with pytest.raises(NotFoundError, match=r"no category 'Conifer'.*Did you mean conifers\?"):
            change("Conifer")
        with pytest.raises(NotFoundError, match=r"See rar-agent memory show m$"):
            change("zzz")
        with pytest.raises(NotFoundError, match="no memory"):
            rename_category(place, "nosuch", "a", "b", encoder.load)
    for entry in (999, -1):
        with pytest.raises(NotFoundError, match=f"no entry {entry}.*rar-agent memory show m "):
            move_entries(place, "m", [0, entry], "ash", encoder.load)
        with pytest.raises(NotFoundError, match=f"no entry {entry}"):
            remove_from_memory(place, "m", ["oak"], [entry])
    assert unchanged(place)


def test_update_changes_what_is_given_and_encodes_where_texts_change(place, encoder):
    details = {"aliases": ["a", "b"], "description": "tall", "metadata": {"k": 1, "l": [1]}}
    memory = update_category(place, "m", "ash", encoder.load, **details)
    assert memory.categories[0] == Category(
        name="ash",
        aliases=("a", "b"),
        description="tall",
        parent="trees",
        metadata={"k": 1, "l": [1]},
    )
    assert encoder.texts == ["ash", "a", "b", "ash: tall"]
    encoder.texts.clear()
    for change in (
        {"metadata": {"k": None, "m": 2}},
        {"parent": ""},
        {"aliases": ["a", "b"]},
        {},
        {"description": "tall"},
    ):
        memory = update_category(place, "m", "ash", encoder.load, **change)
    assert memory.categories[0].metadata == {"l": [1], "m": 2}
    assert memory.categories[0].parent == ""
    assert encoder.loaded == 1
    memory = update_category(place, "m", "ash", encoder.load, aliases=[], description="")
    assert encoder.texts == ["ash"]
    assert known(memory)["ash"] == (["ash 0", "ash 1", "ash 2"], True)
    assert memory.entries.counts("text").tolist() == [1] * 5


def test_a_category_without_a_text_gets_none_by_an_update(place, encoder):
    remove_from_memory(place, "m", entries=ids(open_memory(place, "m"), "ash", "text"))
    for change in ({"aliases": ["a"]}, {"rename": "elm"}, {"description": "x"}):
        name = "elm" if "description" in change else "ash"
        memory = update_category(place, "m", name, encoder.load, **change)
    assert known(memory)["elm"] == (["ash 0", "ash 1", "ash 2"], False)
    assert encoder.loaded == 0


def test_another_encoder_is_refused_before_anything_changes(place):
    other = TinyEncoder(weights="other")
    for change in (
        lambda: rename_category(place, "m", "ash", "elm", lambda: other),
        lambda: merge_categories(place, "m", ["fir"], "ash", lambda: other),
    ):
        with pytest.raises(FingerprintMismatchError, match="weights"):
            change()
    assert unchanged(place)
