"""memory update, rename, merge, move, remove."""

import pytest

from rar_agent import encoders
from rar_agent.cli.options import pairs
from rar_agent.errors import InputError
from rar_agent.memory import create_memory, list_memories, memory_folder, open_memory
from rar_agent.types import Category


def test_update_a_category_and_a_branch(rar, colours):
    done = rar(
        *("memory", "update", "colours", "red", "--alias", "rouge", "--alias", "rot"),
        *("--description", "Like blood.", "--parent", "loud", "--set", "hot=", "--set", "rare=1"),
    )
    assert done.status == 0, done.err
    assert "red\nalso: rouge, rot\nis: Like blood.\nin: loud\nhas: letters=3, rare=1\n" in done.out
    red = open_memory(colours, "colours").categories[0]
    assert red.metadata == {"letters": 3, "rare": 1}
    done = rar("memory", "update", "colours", "warm", "--parent", "all")
    assert "warm\nbranch with 1 category below it\nin: all\n" in done.out
    done = rar("memory", "update", "colours", "red", "--alias", "", "--parent", "")
    assert "also" not in done.out
    assert "in:" not in done.out
    assert "Like blood." in done.out


def test_the_encoder_is_loaded_only_for_texts(rar, home, builtin, tmp_path, monkeypatch):
    monkeypatch.setenv("RAR_HOME", str(tmp_path / "home"))
    names = [Category(name="espresso"), Category(name="tabby cat")]
    create_memory(tmp_path / "home", "named", builtin, names=names)
    loaded = []

    def load(name, settings):
        loaded.append(name)
        return builtin

    monkeypatch.setattr(encoders, "load_encoder", load)
    assert rar("memory", "update", "named", "espresso", "--parent", "drinks").status == 0
    assert loaded == []
    assert rar("memory", "update", "named", "espresso", "--alias", "coffee").status == 0
    assert rar("memory", "rename", "named", "tabby cat", "cat").status == 0
    assert loaded == ["builtin", "builtin"]


def test_rename_a_category_and_a_branch(rar, colours):
    assert rar("memory", "rename", "colours", "red", "crimson").status == 0
    done = rar("memory", "rename", "colours", "warm", "hot")
    assert done.out.startswith("hot\n")
    assert "in: hot" in rar("memory", "show", "colours", "--category", "crimson").out


def test_merge_move_and_remove(rar, colours):
    done = rar("memory", "merge", "colours", "orange", "purple", "--into", "red", "--no-fit")
    assert done.status == 0, done.err
    assert "also: orange, purple" in done.out
    assert "colours: 4 categories, 108 entries left" in done.out
    assert "rar-agent memory fit colours" in done.out
    blue = rar("memory", "show", "colours", "--category", "blue").out
    entry = next(line.split()[0] for line in blue.splitlines() if "gone/blue/0.png" in line)
    done = rar("memory", "move", "colours", "--entry", entry, "--to", "red")
    assert done.status == 0, done.err
    shown = rar("memory", "show", "colours", "--category", "red", "--limit", 100).out
    assert "gone/blue/0.png" in shown
    done = rar("memory", "remove", "colours", "black")
    assert "colours: 3 categories, 90 entries left" in done.out
    assert "changed since" not in done.out  # small memories are fitted again


def test_a_scoring_that_became_another_is_said(rar, colours):
    before = open_memory(colours, "colours").manifest.fit
    done = rar("memory", "remove", "colours", "red", "--no-fit")
    assert "scoring chosen anew" not in done.out
    others = ["orange", "blue", "green"]
    done = rar("memory", "remove", "colours", *others)
    assert done.status == 0, done.err
    after = open_memory(colours, "colours").manifest.fit
    assert (before.calibrated, after.calibrated) == (True, False)
    line = next(x for x in done.out.splitlines() if x.startswith("scoring chosen anew: "))
    assert line.endswith(f", not calibrated (before: {before.method}, calibrated)")
    done = rar("memory", "rename", "colours", "black", "coal")
    assert "scoring chosen anew" not in done.out


def test_with_a_prior_no_scoring_is_called_calibrated(rar, colours):
    for at, colour in enumerate(["red", "orange", "blue", "green", "black", "purple"], 1):
        assert rar("memory", "update", "colours", colour, "--set", f"seen={at}").status == 0
    assert rar("memory", "fit", "colours", "--prior", "seen").status == 0
    assert open_memory(colours, "colours").manifest.fit.calibrated
    done = rar("memory", "remove", "colours", "red", "orange", "blue", "green")
    assert done.status == 0, done.err
    assert not open_memory(colours, "colours").manifest.fit.calibrated
    assert "scoring chosen anew" not in done.out  # it was not calibrated before either


def test_delete_says_what_was_deleted(rar, colours):
    done = rar("memory", "delete", "colours", "--yes")
    assert (done.status, done.out) == (0, "deleted colours: 6 categories, 108 entries\n")
    assert list_memories(colours) == []


def test_a_damaged_memory_is_deleted_too(rar, colours):
    folder = memory_folder(colours, "colours")
    for file in (folder / "data").iterdir():
        file.write_bytes(b"")
    done = rar("memory", "delete", "colours", "--yes")
    assert (done.status, done.out) == (0, "deleted colours: it could not be opened\n")
    assert not folder.exists()


@pytest.mark.parametrize("manifest", ["garbage", "a folder"])
def test_a_memory_without_a_manifest_is_deleted_too(rar, colours, manifest):
    folder = memory_folder(colours, "colours")
    path = next((folder / "generations").glob("*.json"))
    path.unlink()
    path.write_bytes(b"\xff{") if manifest == "garbage" else path.mkdir()
    done = rar("memory", "delete", "colours", "--yes")
    assert (done.status, done.out) == (0, "deleted colours: it could not be opened\n")
    assert not folder.exists()


@pytest.mark.parametrize("command", [["show", "--category"], ["update", "--parent", "x"]])
def test_a_misspelt_branch_is_found(rar, colours, command):
    done = rar("memory", command[0], "colours", *command[1:], "Wram")
    assert done.status == 2
    assert "Did you mean warm" in done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["update", "colours", "red"], "Nothing to change"),
        (["update", "colours", "pink", "--parent", "warm"], "no category 'pink'"),
        (["update", "colours", "rd", "--parent", "warm"], "Did you mean red"),
        (["update", "colours", "red", "--set", "rare"], "Write --set key=value"),
        (["update", "colours", "red", "--set", "=1"], "Write --set key=value"),
        (["update", "colours", "red", "--set", "a=1", "--set", "a=2"], "twice"),
        (["update", "colours", "warm", "--parent", "red"], "above itself"),
        (["rename", "colours", "red", "blue"], "has a category 'blue' already"),
        (["rename", "colours", "red", ""], "cannot be the name"),
        (["rename", "colours", "red"], "Missing argument"),
        (["merge", "colours", "red", "--into", "red"], "merged into itself"),
        (["merge", "colours", "red"], "--into"),
        (["merge", "colours", "--into", "red"], "CATEGORY"),
        (["merge", "colours", "red", "--into", "pink"], "memory rename colours red pink"),
        (["move", "colours", "--entry", "9999", "--to", "red"], "no entry 9999"),
        (["move", "colours", "--entry", "x", "--to", "red"], "'--entry'"),
        (["move", "colours", "--entry", "1", "--to", "pink"], "no category 'pink'"),
        (["remove", "colours", "pink"], "no category 'pink'"),
        (["update", "nosuch", "red", "--parent", "x"], "no memory 'nosuch'"),
        (["update", "imagenet-1k", "tabby", "--parent", "x"], "ready-made"),
    ],
)
def test_bad_values(rar, colours, home, monkeypatch, arguments, says):
    if "imagenet-1k" in arguments:
        monkeypatch.setenv("RAR_HOME", str(home))
        rar("memory", "show", "imagenet-1k")
    done = rar("memory", *arguments)
    assert done.status == 2
    assert says in done.err


def test_values_are_json_or_text():
    given = [
        "a=1",
        "b=true",
        'c=["x","y"]',
        "d=red fox",
        "e=",
        "f=NaN",
        "g=a=b",
    ]
    found = pairs(given, "--set")
    assert found["a"] == 1
    assert found["b"] is True
    assert found["c"] == ["x", "y"]
    assert found["d"] == "red fox"
    assert found["e"] is None
    assert found["f"] == "NaN"
    assert found["g"] == "a=b"
    with pytest.raises(InputError, match="twice"):
        pairs(["a=1", "a=1"], "--where")


@pytest.mark.parametrize(
    "value", ['{"min":10', "{min:10}", "[1,", '"a', '{"min":NaN}', "[" * 9_999]
)
def test_what_begins_as_json_has_to_be_json(value):
    with pytest.raises(InputError, match="--where length is not valid JSON") as said:
        pairs([f"length={value}"], "--where")
    assert value[:80] in said.value.message
