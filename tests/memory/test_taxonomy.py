import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.errors import InputError, NotFoundError
from rar_agent.memory import Filter
from rar_agent.memory.taxonomy import Taxonomy, alike
from rar_agent.types import Category
from tests.memory.arrays import drawn, memory_of

TREE = (
    Category(
        name="robin", parent="songbirds", metadata={"mass": 18, "seen": ["UK", "FR"], "cm": "14"}
    ),
    Category(name="wren", parent="songbirds", metadata={"mass": 9.5, "rare": True, "cm": "9.5"}),
    Category(name="songbirds", parent="birds"),
    Category(
        name="owl",
        parent="birds",
        metadata={"mass": 500, "seen": "UK", "years": [2019, 20], "shy": "true"},
    ),
    Category(name="cat", parent="mammals", metadata={"mass": "heavy", "cm": "nan"}),
    Category(name="rock", metadata={"cm": "None", "seen": []}),
)


def taught(home, shots=3, texts=False, named=()):
    """The tree with images of all but the named, and a text of each where wanted."""
    known = [i for i, category in enumerate(TREE) if category.name not in named]
    images = drawn(0, len(known) * shots).reshape(len(known), shots, -1)
    return memory_of(
        home,
        dict(zip(known, images, strict=True)),
        dict(enumerate(drawn(1, len(TREE)))) if texts else None,
        categories=TREE,
    )


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    return taught(tmp_path_factory.mktemp("tree"))


def names(memory, columns):
    return {memory.categories[int(column)].name for column in columns}


def test_above_and_below(memory):
    tree = memory.taxonomy
    above = {c.name: tree.above(i) for i, c in enumerate(memory.categories)}
    assert above == {
        "robin": ("songbirds", "birds"),
        "wren": ("songbirds", "birds"),
        "songbirds": ("birds",),
        "owl": ("birds",),
        "cat": ("mammals",),
        "rock": (),
    }
    assert tree.branches() == ["birds", "mammals", "songbirds"]
    assert names(memory, tree.below("birds")) == {"robin", "wren", "songbirds", "owl"}
    assert names(memory, tree.below("songbirds")) == {"robin", "wren", "songbirds"}
    assert names(memory, tree.below("mammals")) == {"cat"}  # a branch that is no category
    assert names(memory, tree.below("rock")) == {"rock"}
    assert tree.below("fish").tolist() == []
    assert names(memory, tree.children("birds")) == {"songbirds", "owl"}
    assert tree.children("rock") == []


@pytest.mark.parametrize(
    ("where", "passing"),
    [
        ({"mass": 18}, {"robin"}),
        ({"mass": "18"}, {"robin"}),  # as the command line gives it
        ({"mass": [18, 500]}, {"robin", "owl"}),
        ({"mass": {"min": 18}}, {"robin", "owl"}),
        ({"mass": {"max": 18}}, {"robin", "wren"}),
        ({"mass": {"min": 9.5, "max": 18}}, {"robin", "wren"}),
        ({"cm": {"min": 10, "max": 15}}, {"robin"}),  # as a table gives it; as text 9.5 > 10
        ({"cm": {"max": 14}}, {"robin", "wren"}),
        ({"mass": {"min": 100}, "seen": "UK"}, {"owl"}),
        ({"seen": "UK"}, {"robin", "owl"}),  # a value, or one of a list
        ({"seen": ["FR", "DE"]}, {"robin"}),
        ({"years": 2019}, {"owl"}),
        ({"years": "2019"}, {"owl"}),
        ({"years": {"min": 2000}}, {"owl"}),
        ({"rare": True}, {"wren"}),
        ({"rare": "True"}, {"wren"}),
        ({"shy": True}, {"owl"}),  # a table has it as text
        ({"mass": None}, {"songbirds", "rock"}),
        ({"mass": ""}, {"songbirds", "rock"}),
        ({"mass": [18, None]}, {"robin", "songbirds", "rock"}),
        ({"seen": None, "mass": {"min": 0}}, {"wren"}),
        ({"shy": None}, {c.name for c in TREE} - {"owl"}),  # the text None is not nothing
        ({"cm": "None"}, {"rock"}),
        (lambda c: c.name.endswith("k"), {"rock"}),
        ({}, {c.name for c in TREE}),
    ],
)
def test_metadata_that_a_category_must_have(memory, where, passing):
    assert names(memory, memory.taxonomy.allowed(Filter(where=where))) == passing
    inside = passing & {"robin", "wren", "songbirds", "owl"}
    if inside:
        allowed = memory.taxonomy.allowed(Filter(("birds",), where))
        assert names(memory, allowed) == inside
    else:
        with pytest.raises(InputError, match="No category passes"):
            memory.taxonomy.allowed(Filter(("birds",), where))


def test_branches_and_categories_together(memory):
    tree = memory.taxonomy
    allowed = tree.allowed(Filter(("songbirds", "rock", "robin")))
    assert names(memory, allowed) == {"robin", "wren", "songbirds", "rock"}
    assert (np.diff(allowed) > 0).all()
    assert len(tree.allowed(Filter())) == len(TREE)
    with pytest.raises(NotFoundError, match=r"no branch or category 'fish'.*birds, mammals"):
        tree.allowed(Filter(("birds", "fish")))
    with pytest.raises(NotFoundError, match=r"mean songbirds, birds\? Branches: birds"):
        tree.allowed(Filter(("Songbirds",)))
    with pytest.raises(NotFoundError, match=r"Did you mean robin\?"):
        tree.allowed(Filter(("Robbin",)))


@pytest.mark.parametrize(
    ("only", "where", "says"),
    [
        (("birds",), {"mass": -1}, "passes the filter --only birds --where mass=-1."),
        ((), {"seen": "ES"}, "filter --where seen=ES. 'seen' is one of UK, FR."),
        ((), {"seen": "uk"}, "filter --where seen=uk. Did you mean seen=UK?"),
        ((), {"cm": "14.", "mass": 18}, "--where cm=14. --where mass=18. Did you mean cm=14?"),
        ((), {"mass": {"min": 1000}}, """--where 'mass={"min": 1000}'. 'mass' is one of 18, """),
        ((), {"rare": True, "mass": 18}, "mass=18. Each part of it holds for some category"),
        (("rock", "cat"), {"rare": True}, "--only rock --only cat --where rare=true. Each part"),
        (("rock",), lambda c: False, "filter --only rock where a function says so. See"),
        ((), {"maas": 18}, "No category has metadata 'maas'. Did you mean mass? Keys: mass, "),
        ((), {"maas": None}, "No category has metadata 'maas'. Did you mean mass?"),
    ],
)
def test_a_filter_that_leaves_nothing_is_told_as_it_was_typed(memory, only, where, says):
    with pytest.raises(InputError) as error:
        memory.taxonomy.allowed(Filter(only, where))
    assert says in str(error.value)


def test_names_that_are_alike_among_few_and_many():
    assert alike("WREN", ["robin", "Wren", "owl"]) == ["Wren"]
    assert alike("fish", ["robin", "wren"]) == []
    many = [f"{letter}{number:05}" for letter in "ab" for number in range(20_000)]
    assert alike("A12345", many)[0] == "a12345"


forests = st.lists(
    st.sampled_from(["", "a", "b", "c", "d", "e", "X", "Y"]), min_size=1, max_size=5
).map(lambda ps: [Category(name="abcde"[i], parent=p) for i, p in enumerate(ps)])


class Listed(list):
    has_parents = True

    def places(self):
        return [(category.name, category.parent) for category in self]


@settings(max_examples=200, deadline=None)
@given(forests)
def test_any_parents_cycles_too_agree_both_ways(categories):
    """`below` is what `above` says from the other side, and everything ends."""
    tree = Taxonomy(Listed(categories))
    for branch in {c.parent for c in categories} - {""}:
        below = set(tree.below(branch).tolist())
        assert {i for i in range(len(categories)) if branch in tree.above(i)} <= below
        for i in below:
            assert branch == categories[i].name or branch in tree.above(i)
    for i in range(len(categories)):
        assert len(set(tree.above(i))) == len(tree.above(i))


def brute(categories, name):
    """Positions of a name and of all from which a walk upwards meets it."""
    at = {category.name: category for category in categories}
    found = set()
    for i, category in enumerate(categories):
        met = {category.name}
        while category and category.parent and category.parent not in met:
            met.add(category.parent)
            category = at.get(category.parent)
        if name in met:
            found.add(i)
    return found


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-6, 39), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_below_is_what_a_walk_upwards_finds(parents, random):
    """Parents may be categories before or after, branches that are none, or in a cycle."""
    named = [f"c{p}" if 0 <= p < len(parents) else f"branch {p}" * (p < 0) for p in parents]
    categories = [Category(name=f"c{i}", parent=parent) for i, parent in enumerate(named)]
    tree = Taxonomy(Listed(categories))
    asked = np.array(random.sample(range(len(parents)), len(parents) // 2), np.int64)
    for name in {*named, "c0", "nothing"} - {""}:
        below = brute(categories, name)
        assert tree.below(name).tolist() == sorted(below)
        assert tree.is_below(asked, name).tolist() == [i in below for i in asked.tolist()]


def test_a_branch_however_deep():
    chain = [Category(name=f"c{i}", parent=f"c{i + 1}") for i in range(20_000)]
    tree = Taxonomy(Listed(chain))
    assert len(tree.above(0)) == 20_000
    assert len(tree.below("c20000")) == 20_000
    assert tree.is_below(np.array([0, 9_999, 10_000]), "c9999").tolist() == [True, True, False]


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("shots", [1, 3, 20])
def test_branches_sum_over_the_whole_memory(tmp_path, texts, shots):
    memory = taught(tmp_path, shots, texts)
    queries, norms = drawn(9, 12), np.ones(12, np.float32)
    everything = memory.search(queries, norms, k=6)
    for k in (1, 2, 6):
        for whole, found in zip(everything, memory.search(queries, norms, k=k), strict=True):
            sure = {c.category.name: c.probability for c in whole.candidates}
            assert sum(sure.values()) == pytest.approx(1.0)
            shown = {c.category.name for c in found.candidates}
            wanted = {
                name
                for column, category in enumerate(memory.categories)
                if category.name in shown
                for name in memory.taxonomy.above(column)
            }
            assert {branch.name for branch in found.branches} == wanted
            for branch in found.branches:
                below = names(memory, memory.taxonomy.below(branch.name))
                assert branch.probability == pytest.approx(sum(sure[n] for n in below), abs=1e-9)
                assert branch.categories == len(below)
            shares = [branch.probability for branch in found.branches]
            assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("method", ["fitted", "knn"])
@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("shots", [1, 3, 20])
def test_filters_renormalise_and_never_let_through(tmp_path, texts, shots, method):
    memory = taught(tmp_path, shots, texts)
    queries, norms = drawn(9, 12), np.ones(12, np.float32)
    everything = memory.search(queries, norms, k=6, method=method)
    for wanted in (
        Filter(("birds",)),
        Filter(("mammals", "rock")),
        Filter(("cat",)),
        Filter(where={"mass": {"min": 0}}),
    ):
        allowed = names(memory, memory.taxonomy.allowed(wanted))
        found = memory.search(queries, norms, k=6, method=method, within=wanted)
        for whole, result in zip(everything, found, strict=True):
            share = {c.category.name: c.probability for c in result.candidates}
            assert set(share) == allowed
            assert sum(share.values()) == pytest.approx(1.0)
            before = {c.category.name: c.probability for c in whole.candidates}
            order = sorted(allowed, key=lambda name: -before[name])
            assert [c.category.name for c in result.candidates] == order
            if method == "knn" or (not texts and shots == 1):  # no temper, no text beside
                total = sum(before[name] for name in allowed)
                for name in allowed:
                    assert share[name] == pytest.approx(before[name] / total, abs=1e-6)


def test_a_filter_for_what_nothing_is_known_of(tmp_path):
    """A category with neither exemplar nor text cannot be filtered for alone: an error says so."""
    memory = taught(tmp_path, named=("songbirds", "rock"))
    query, norms = drawn(9, 1), np.ones(1, np.float32)
    with pytest.raises(InputError, match="no entries of the categories"):
        memory.search(query, norms, within=Filter(("rock",)))
    [found] = memory.search(query, norms, k=10)
    assert {c.category.name for c in found.candidates} == {"robin", "wren", "owl", "cat"}
