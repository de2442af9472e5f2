"""V3Det's tree: one parent for each category, branches that are none, and no way round."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.errors import InputError
from rar_agent.memory.readers import AnnotationsReader, read_categories
from rar_agent.types import Category

NODES = {
    "n1": "entity",
    "n2": "bird",
    "n3": "crane",  # the bird's branch, with the name of the machine's category
    "n4": "sandhill crane",
    "n5": "machine",
    "n6": "crane",
    "n7": "hoist",
}
TREE = {
    "categoryid2treeid": {"1": "n6", "2": "n4", "3": "n2", "9": "n9"},
    "id2name": NODES,
    "id2name_zh": {"n2": "鸟"},
    "id2desc": {"n4": "A grey crane.", "n5": "It works."},
    "id2synonym_list": {"n6": ["n7", "n6"]},
    "child2father": {"n2": ["n1"], "n3": ["n2"], "n4": ["n3"], "n5": ["n1"], "n6": ["n5", "n2"]},
    "father2child": {"n1": ["n2", "n5"], "n2": ["n3", "n6"], "n3": ["n4"], "n5": ["n6"]},
}
CATEGORIES = [
    {"id": 1, "name": "crane", "cat_info": "It lifts."},
    {"id": 2, "name": "sandhill crane"},
    {"id": 3, "name": "bird"},
    {"id": 4, "name": "nowhere"},
]


def given_files(place, tree=TREE, categories=CATEGORIES):
    file, other = place / "set.json", place / "tree.json"
    file.write_text(json.dumps({"categories": categories}), encoding="utf-8")
    other.write_text(json.dumps(tree), encoding="utf-8")
    return file, other


@pytest.mark.parametrize("without", ["father2child", "child2father"])
def test_parents_branches_synonyms(tmp_path, without):
    tree = {key: value for key, value in TREE.items() if key != without}
    samples = list(AnnotationsReader(*given_files(tmp_path, tree)).samples())
    branches = {s.category.name: s.category for s in samples if s.branch}
    # inverted, the first father of n6 is the one that is listed first: n2, a category
    parent = "machine" if without == "father2child" else "bird"
    assert [s.category for s in samples if not s.branch] == [
        Category(
            name="crane",
            aliases=("hoist",),
            description="It lifts.",
            parent=parent,
            metadata={"id": 1, "node": "n6"},
        ),
        Category(
            name="sandhill crane",
            description="A grey crane.",
            parent="crane (n3)",
            metadata={"id": 2, "node": "n4"},
        ),
        Category(name="bird", parent="entity", metadata={"id": 3, "node": "n2"}),
        Category(name="nowhere", metadata={"id": 4}),
    ]
    assert branches["crane (n3)"] == Category(
        name="crane (n3)", parent="bird", metadata={"node": "n3"}
    )
    assert branches["entity"] == Category(name="entity", metadata={"node": "n1"})
    assert set(branches) == {"crane (n3)", "entity"} | ({"machine"} & {parent})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"categoryid2treeid": None}, "'categoryid2treeid' in .* is a NoneType"),
        ({"id2name": ["entity"]}, "'id2name' in .* is a list"),
        ({"categoryid2treeid": {"77": "n6"}}, "knows none of the categories"),
        ({"child2father": {"n6": [["n5"]]}}, "'child2father' is a list"),
    ],
)
def test_a_tree_that_is_none(tmp_path, change, says):
    with pytest.raises(InputError, match=says):
        read_categories(*given_files(tmp_path, TREE | change))


def test_a_file_that_is_no_tree(tmp_path):
    file, tree = given_files(tmp_path)
    for text, says in (
        ("{", "not JSON"),
        ("[]", "no category tree: it has no 'categoryid2treeid'"),
        ('{"categoryid2treeid": {}, "id2name": {}}', "no 'child2father'"),
    ):
        tree.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=says):
            read_categories(file, tree)
    with pytest.raises(InputError, match="cannot be read"):
        read_categories(file, tmp_path / "missing")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 11), max_size=3), min_size=1, max_size=12),
    st.sets(st.integers(0, 11), min_size=1),
    st.sampled_from([lambda i: f"name {i}", lambda i: f"name {i % 3}", lambda _: ""]),
)
def test_any_graph_becomes_a_tree(tmp_path_factory, fathers, chosen, name):
    """Every way upwards ends; parents are among those listed; all that is above is there, once."""
    chosen = sorted(one for one in chosen if one < len(fathers)) or [0]
    place = tmp_path_factory.getbasetemp()
    tree = {
        "categoryid2treeid": {str(i): f"n{i}" for i in chosen},
        "id2name": {f"n{i}": name(i) for i in range(12)},
        "child2father": {f"n{i}": [f"n{f}" for f in some] for i, some in enumerate(fathers)},
    }
    categories = [{"id": i, "name": f"name {i}"} for i in chosen]
    samples = list(AnnotationsReader(*given_files(place, tree, categories)).samples())
    placed = {s.category.name: s.category for s in samples}
    assert len(placed) == len(samples)
    assert [s.category.metadata["id"] for s in samples if not s.branch] == chosen
    for one in placed.values():
        met, at = [one.name], one
        while at.parent:
            assert at.parent in placed
            at = placed[at.parent]
            assert at.name not in met
            met.append(at.name)
        node = int(one.metadata["node"][1:])
        listed = fathers[node] if node < len(fathers) else []
        if one.parent:
            assert int(placed[one.parent].metadata["node"][1:]) in listed
        elif set(listed) - {node}:  # at the top only where any parent would make a way round
            assert all(one.name in _ways(placed, father) for father in listed if father != node)


def _ways(placed, node):
    """Names from a node upwards."""
    at = next(one for one in placed.values() if one.metadata["node"] == f"n{node}")
    names = [at.name]
    while at.parent:
        at = placed[at.parent]
        names.append(at.name)
    return names
