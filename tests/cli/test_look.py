"""memory list, show, verify, plan."""

import pytest

from rar_agent.memory import create_memory
from rar_agent.types import Category
from tests.cli.conftest import row


def test_show_says_how_it_scores_and_what_it_can_promise(rar, colours):
    shown = rar("memory", "show", "colours", "--limit", 3).out
    assert shown.startswith("colours: 6 categories, 108 entries, ")
    assert "1280 dimensions, views: one" in shown
    assert "scored by" in shown
    for method in ("gda", "prototype", "cache", "knn"):
        assert row(shown, method)[1].replace(".", "").isdigit()
    assert "leaving one out: " in shown
    assert " of 108 exemplars recognised (95 % sure: " in shown
    assert "calibrated by leaving out 108 exemplars one by one (ECE" in shown
    assert "too few exemplars to promise it" in row_text(shown, "1 %")
    assert row(shown, "5 %")[2].startswith("0.")
    assert row(shown, "5 %")[-1] == "%"
    assert "on average" in row_text(shown, "95 %")
    assert row(shown, "image")[1] == "108"
    assert "… and 3 more; --limit shows them" in shown
    assert "changed since" not in shown


def row_text(text, start):
    return " ".join(row(text, start))


def test_nothing_is_promised_when_stale(rar, colours):
    rar("memory", "remove", "colours", "black", "--no-fit")
    shown = rar("memory", "show", "colours").out
    assert "16.7 % changed since it was fitted: rar-agent memory fit colours" in shown
    assert "--error-rate" not in shown


def test_the_tree(rar, colours):
    tree = rar("memory", "show", "colours", "--tree", "--limit", 3).out.splitlines()
    assert tree == [
        "colours  6 categories, 108 exemplars",
        "├── cold  4 categories, 72 exemplars",
        "│   ├── green  18 exemplars",
        "│   ├── blue  18 exemplars",
        "│   ├── purple  18 exemplars",
        "│   └── … and 1 more; --limit shows them",
        "└── warm  2 categories, 36 exemplars",
        "    ├── red  18 exemplars",
        "    └── orange  18 exemplars",
    ]


def test_the_tree_of_categories_in_no_branch_and_of_one_that_is_a_branch(rar, colours):
    for name, parent in (("red", ""), ("blue", ""), ("orange", "red")):
        rar("memory", "update", "colours", name, "--parent", parent)
    tree = rar("memory", "show", "colours", "--tree").out.splitlines()
    assert tree == [
        "colours  6 categories, 108 exemplars",
        "├── cold  3 categories, 54 exemplars",
        "│   ├── green  18 exemplars",
        "│   ├── purple  18 exemplars",
        "│   └── black  18 exemplars",
        "├── red  2 categories, 36 exemplars",
        "│   └── orange  18 exemplars",
        "└── blue  18 exemplars",
    ]


def test_a_category_and_a_branch(rar, colours):
    shown = rar("memory", "show", "colours", "--category", "red", "--limit", 2).out
    assert "in: warm" in shown
    assert "gone/red/1.png" in shown
    assert "… and 16 more" in shown
    shown = rar("memory", "show", "colours", "--category", "warm").out
    assert "branch with 2 categories below it" in shown
    assert row(shown, "orange") == ["orange", "18"]
    missing = rar("memory", "show", "colours", "--category", "gren")
    assert (missing.status, "Did you mean green?" in missing.err) == (2, True)


def test_a_branch_with_a_description_counts_as_no_category(rar, colours):
    rar("memory", "update", "colours", "warm", "--description", "Like fire.", "--parent", "all")
    for shown in (rar("memory", "show", "colours").out, rar("memory", "list").out):
        assert "warm" not in shown
        assert " 6 " in shown or "6 categories" in shown
    shown = rar("memory", "show", "colours", "--category", "warm").out
    assert "warm\nbranch with 2 categories below it\nis: Like fire.\nin: all\n" in shown
    assert row(shown, "orange") == ["orange", "18"]
    shown = rar("memory", "show", "colours", "--category", "all").out
    assert "branch with 2 categories below it" in shown
    assert row(shown, "warm") == ["warm", "branch"]
    tree = rar("memory", "show", "colours", "--tree").out.splitlines()
    assert tree[0] == "colours  6 categories, 108 exemplars"
    assert tree[1:3] == [
        "├── all  2 categories, 36 exemplars",
        "│   └── warm  2 categories, 36 exemplars",
    ]


def test_names_alone_and_a_broken_memory(rar, builtin, tmp_path, monkeypatch):
    monkeypatch.setenv("RAR_HOME", str(tmp_path))
    create_memory(tmp_path, "named", builtin, names=[Category(name="red"), Category(name="tea")])
    shown = rar("memory", "show", "named").out
    assert "scored by text: cosine with the name" in shown
    assert "--error-rate" not in shown
    assert row(rar("memory", "show", "named", "--tree").out, "├── red")[-2:] == ["0", "exemplars"]
    (tmp_path / "memories" / "named" / "CURRENT").write_text("x")
    listed = rar("memory", "list")
    assert listed.status == 0
    assert "not usable, see below" in listed.out
    assert rar("memory", "verify", "named").status == 5
    assert rar("memory", "delete", "named", "--yes").status == 0
    assert rar("memory", "list").out.count("named") == 0


def test_plan_for_a_number(rar):
    done = rar("memory", "plan", "--count", 2_000_000, "--dimension", 768, "--ram", 8)
    assert done.status == 0, done.err
    images, texts = done.out.split("2,000,000 texts")
    assert "2,000,000 images of 768 dimensions\nHNSW: " in images
    for part in (images, texts):
        assert "taken" in row_text(part, "hnsw")
        assert {row(part, kind)[0] for kind in ("exact", "ivf", "ivf-pq")}
    less = rar("memory", "plan", "--count", 2_000_000, "--dimension", 768, "--ram", 1).out
    assert "taken" in row_text(less, "ivf-pq")


def test_plan_for_a_memory(rar, colours):
    done = rar("memory", "plan", "colours")
    assert "108 images of 1,280 dimensions\nExact search" in done.out
    assert "texts" not in done.out
    grown = rar("memory", "plan", "colours", "--count", 10_000_000, "--recall", 1, "--ram", 4).out
    assert "taken" in row_text(grown, "exact")
    assert "will wait for the disk" in grown


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["plan"], 2, "Name a memory"),
        (["plan", "--count", "5"], 2, "give --count and --dimension"),
        (["plan", "nosuch"], 2, "no memory 'nosuch'"),
        (["plan", "--count", "5", "--dimension", "0"], 2, "--dimension"),
        (["plan", "--count", "5", "--dimension", "4", "--recall", "2"], 2, "recall"),
        (["plan", "--count", "5", "--dimension", "4", "--recall", "nan"], 2, "recall"),
        (["plan", "--count", "5", "--dimension", "4", "--ram", "-1"], 2, "--ram -1"),
        (["plan", "--count", "5", "--dimension", "4", "--ram", "nan"], 2, "--ram nan"),
        (["compact", "nosuch"], 2, "no memory 'nosuch'"),
        (["compact", "colours", "--recall", "2"], 2, "recall"),
        (["fit", "nosuch"], 2, "no memory 'nosuch'"),
        (["show", "colours", "--limit", "0"], 2, "--limit"),
        (["verify", "nosuch"], 2, "no memory 'nosuch'"),
        (["nosuch"], 2, "No such command"),
    ],
)
def test_bad_values(rar, colours, arguments, status, says):
    done = rar("memory", *arguments)
    assert done.status == status
    assert says in done.err
