"""What each change does, one by one; `test_changes` has any sequence of them."""

import pytest

from rar_agent.errors import FingerprintMismatchError, InputError, NotFoundError
from rar_agent.memory import (
    add_to_memory,
    compact_memory,
    create_memory,
    merge_categories,
    move_entries,
    open_memory,
    remove_from_memory,
    rename_category,
    update_category,
)
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


def test_merging_into_a_new_name_says_how(place, encoder):
    rename = r"To make it, rename one of them first: rar-agent memory rename m ash 'tall trees'$"
    with pytest.raises(NotFoundError, match=f"no category 'tall trees'. {rename}"):
        merge_categories(place, "m", ["ash", "oak"], "tall trees", encoder.load)
    with pytest.raises(NotFoundError, match=r"Did you mean conifers\? To make it, rename one"):
        merge_categories(place, "m", ["ash"], "Conifer", encoder.load)
    with pytest.raises(NotFoundError, match="no category 'elm'"):
        merge_categories(place, "m", ["elm"], "tall trees", encoder.load)
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


def test_a_merge_of_names_keeps_a_text(tmp_path, encoder):
    """Also where only those that are merged had one."""
    create_memory(tmp_path, "m", encoder, {"ash": [png("ash", 0)]}, [Category(name="elm")])
    remove_from_memory(tmp_path, "m", entries=ids(open_memory(tmp_path, "m"), "ash", "text"))
    memory = merge_categories(tmp_path, "m", ["elm"], "ash", encoder.load)
    assert known(memory) == {"ash": (["ash[0]"], True)}


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
