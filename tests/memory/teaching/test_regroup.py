"""What merge and move do, one by one; `test_changes` has any sequence of changes."""

import pytest

from rar_agent.errors import InputError, NotFoundError
from rar_agent.memory import (
    create_memory,
    merge_categories,
    move_entries,
    open_memory,
    remove_from_memory,
    rename_category,
    update_category,
)
from rar_agent.types import Category
from tests.memory.teaching.tiny import png
from tests.memory.teaching.trees import BEFORE, ids, known, parents, unchanged


def test_merging_into_a_new_name_says_how(place, encoder):
    rename = r"To make it, rename one of them first: rar-agent memory rename m ash 'tall trees'$"
    with pytest.raises(NotFoundError, match=f"no category 'tall trees'. {rename}"):
        merge_categories(place, "m", ["ash", "oak"], "tall trees", encoder.load)
    with pytest.raises(NotFoundError, match=r"Did you mean conifers\? To make it, rename one"):
        merge_categories(place, "m", ["ash"], "Conifer", encoder.load)
    with pytest.raises(NotFoundError, match="no category 'elm'"):
        merge_categories(place, "m", ["elm"], "tall trees", encoder.load)
    assert unchanged(place)


def test_merge_keeps_all_and_takes_children_along(place, encoder):
    memory = merge_categories(place, "m", ["conifers", "birch"], "oak", encoder.load)
    assert parents(memory) == {"ash": "trees", "fir": "oak", "oak": "trees"}
    assert known(memory)["oak"] == (
        ["conifers 0", "conifers 1", "conifers 2", "oak 0", "oak 1", "oak 2"],
        True,
    )
    oak = memory.categories[memory.categories.find("oak")]
    assert oak.aliases == ("conifers", "birch")
    assert encoder.texts == ["oak", "conifers", "birch"]


def test_the_one_that_stays_may_be_named_among_the_merged(place, encoder):
    memory = merge_categories(place, "m", ["ash", "oak"], "oak", encoder.load)
    assert known(memory)["oak"][0] == ["ash 0", "ash 1", "ash 2", "oak 0", "oak 1", "oak 2"]
    assert memory.categories[memory.categories.find("oak")].aliases == ("ash",)
    for alone in (["oak"], ["oak", "oak"]):
        with pytest.raises(InputError, match="'oak' cannot be merged into itself"):
            merge_categories(place, "m", alone, "oak", encoder.load)
    with pytest.raises(InputError, match="'trees' cannot be merged into itself"):
        merge_categories(place, "m", ["trees"], "trees", encoder.load)


def test_merging_into_a_branch_makes_a_category_of_it(place, encoder):
    memory = merge_categories(place, "m", ["ash", "birch"], "trees", encoder.load)
    assert parents(memory) == {"fir": "conifers", "conifers": "trees", "oak": "", "trees": ""}
    assert known(memory)["trees"] == (["ash 0", "ash 1", "ash 2"], True)
    assert known(memory)["oak"] == (["oak 0", "oak 1", "oak 2"], True)
    assert encoder.texts == ["trees", "ash", "birch"]


@pytest.mark.parametrize(
    ("merged", "into", "after"),
    [
        # A child into its parent, and a parent into its child: what was above both is above it.
        (["fir"], "conifers", {"conifers": "trees"}),
        (["conifers"], "fir", {"fir": "trees"}),
        # A parent and its child into another, in any order.
        (["conifers", "fir"], "oak", {"oak": "trees"}),
        (["fir", "conifers"], "oak", {"oak": "trees"}),
        (["fir", "fir"], "oak", {"oak": "conifers", "conifers": "trees"}),
    ],
)
def test_merging_along_a_branch(place, encoder, merged, into, after):
    memory = merge_categories(place, "m", merged, into, encoder.load)
    assert (
        parents(memory) == {"oak": "", "ash": "trees", "birch": "trees", **after}
        if into != "oak"
        else {"ash": "trees", "birch": "trees", **after}
    )


def test_a_merge_that_makes_a_cycle(place, encoder):
    update_category(place, "m", "fir", encoder.load, parent="conifers")
    update_category(place, "m", "oak", encoder.load, parent="fir")
    # conifers < oak, and between them fir, which would be below and above it.
    with pytest.raises(InputError, match="above itself"):
        merge_categories(place, "m", ["conifers"], "oak", encoder.load)


def test_the_same_image_is_kept_once(tmp_path, encoder):
    both = {"ash": [png("ash", 0), png("ash", 1)], "elm": [png("ash", 0), png("elm", 0)]}
    both["fir"] = [png("ash", 0), png("fir", 0)]
    memory = create_memory(tmp_path, "m", encoder, both).memory
    moved = move_entries(tmp_path, "m", ids(memory, "elm"), "ash", encoder.load)
    assert {n: len(images) for n, (images, _) in known(moved).items()} == {"ash": 3, "fir": 2}
    merged = merge_categories(tmp_path, "m", ["fir"], "ash", encoder.load)
    assert known(merged) == {"ash": (["ash[0]", "ash[1]", "elm[1]", "fir[1]"], False)}
    assert encoder.loaded == 0
    create_memory(tmp_path, "n", encoder, {"oak": [png("oak", 0)], **both})
    three = merge_categories(tmp_path, "n", ["elm", "fir"], "oak", encoder.load)
    assert sorted(len(images) for images, _ in known(three).values()) == [2, 4]


def test_move_gives_entries_to_another_category(place, encoder):
    before = open_memory(place, "m")
    some = ids(before, "ash")
    memory = move_entries(place, "m", [some[1], some[0], some[1]], "oak", encoder.load)
    assert known(memory)["oak"][0] == ["ash 0", "ash 1", "oak 0", "oak 1", "oak 2"]
    assert known(memory)["ash"] == (["ash 2"], True)
    vectors = before.entries.vectors(before.entries.rows("image"))
    after = memory.entries.vectors(memory.entries.rows("image"))
    assert sorted(map(tuple, vectors)) == sorted(map(tuple, after))
    [text] = ids(memory, "oak", "text")
    with pytest.raises(InputError, match=f"Entry {text} is a text"):
        move_entries(place, "m", [some[2], text], "oak", encoder.load)
    assert parents(move_entries(place, "m", [], "oak", encoder.load)) == BEFORE


def test_moving_to_where_it_is_changes_nothing(place, encoder):
    remove_from_memory(place, "m", entries=ids(open_memory(place, "m"), "ash", "text"))
    before = open_memory(place, "m")
    memory = move_entries(place, "m", ids(before, "ash"), "ash", encoder.load)
    assert known(memory) == known(before)
    assert memory.entries.ids.tolist() == before.entries.ids.tolist()


def test_a_merge_of_names_keeps_a_text(tmp_path, encoder):
    """Also where only those that are merged had one."""
    create_memory(tmp_path, "m", encoder, {"ash": [png("ash", 0)]}, [Category(name="elm")])
    remove_from_memory(tmp_path, "m", entries=ids(open_memory(tmp_path, "m"), "ash", "text"))
    memory = merge_categories(tmp_path, "m", ["elm"], "ash", encoder.load)
    assert known(memory) == {"ash": (["ash[0]"], True)}


def test_a_name_that_is_an_alias_now(place, encoder):
    merge_categories(place, "m", ["ash", "fir"], "oak", encoder.load)
    said = r"no category '{}': it is an alias of 'oak'. Did you mean oak\?$"
    changes = [
        lambda n: merge_categories(place, "m", [n], "birch", encoder.load),
        lambda n: merge_categories(place, "m", ["birch"], n, encoder.load),
        lambda n: remove_from_memory(place, "m", [n]),
        lambda n: rename_category(place, "m", n, "x", encoder.load),
        lambda n: move_entries(place, "m", [0], n, encoder.load),
    ]
    for change in changes:
        for name in ("ash", "Fir"):
            with pytest.raises(NotFoundError, match=said.format(name)):
                change(name)
    update_category(place, "m", "birch", encoder.load, aliases=["ash"])
    with pytest.raises(NotFoundError, match="an alias of 'oak' and 'birch'"):
        remove_from_memory(place, "m", ["ash"])
