"""memory export, import, import-rar."""

import faiss
import pytest

from rar_agent.memory import open_memory
from tests.cli.conftest import row

pytest.importorskip("pyarrow")


def test_there_and_back(rar, colours, tmp_path):
    done = rar("memory", "export", "colours", "out")
    assert done.status == 0, done.err
    assert "colours: 6 categories, 108 entries in out" in done.out
    assert (tmp_path / "out" / "memory.json").exists()
    done = rar("memory", "import", "again", "out")
    assert done.status == 0, done.err
    assert "again: 6 categories, 108 entries" in done.out
    assert "calibrated by leaving out 108 exemplars" in done.out
    shown = rar("memory", "show", "again", "--category", "red").out
    assert "in: warm" in shown
    assert open_memory(colours, "again").thumbnail(int(row(shown, "0")[0]))


@pytest.fixture
def reference(colours, tmp_path):
    """What the paper's code would have written, of `colours`."""
    memory = open_memory(colours, "colours")
    rows = memory.entries.rows("image")
    index = faiss.IndexHNSWFlat(memory.manifest.dimension, 8, faiss.METRIC_INNER_PRODUCT)
    index.add(memory.entries.vectors(rows))
    faiss.write_index(index, str(tmp_path / "db.index"))
    lines = [f"{memory.entries.source(int(r))} {int(memory.entries.columns[r])}\n" for r in rows]
    (tmp_path / "db.txt").write_text("".join(lines))
    return ("--index", "db.index", "--labels", "db.txt")


def test_the_reference_codes_files(rar, reference, tmp_path):
    done = rar("memory", "import-rar", "theirs", *reference, "--encoder", "builtin")
    assert done.status == 0, done.err
    assert "theirs: 6 categories, 108 entries" in done.out
    (tmp_path / "names.txt").write_text("".join(f"colour {i}\n" for i in range(6)))
    done = rar(
        *("memory", "import-rar", "named", *reference, "--encoder", "builtin"),
        *("--classnames", "names.txt", "--domain", "colours"),
    )
    assert done.status == 0, done.err
    assert "colour 0" in rar("memory", "show", "named").out
    done = rar("memory", "import-rar", "x", *reference, "--unverified", "--encoder", "theirs")
    assert done.status == 0, done.err


def test_without_the_encoders_weights(rar, reference):
    missing = ("--encoder", "open_clip:ViT-B-16/laion400m_e32")
    done = rar("memory", "import-rar", "theirs", *reference, *missing)
    assert done.status == 3
    assert "with --unverified" in done.err
    assert rar("memory", "import-rar", "theirs", *reference, *missing, "--unverified").status == 0


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["export", "nosuch", "out"], 2, "no memory 'nosuch'"),
        (["export", "colours", "."], 2, "is not empty"),
        (["import", "x", "nosuch"], 2, "nosuch"),
        (["import", "../x", "nosuch"], 2, ""),
        (["import-rar", "x", "--index", "i", "--labels", "nope"], 2, ""),
        (["import-rar", "x", "--labels", "nope"], 2, "--index"),
    ],
)
def test_bad_values(rar, colours, arguments, status, says):
    if arguments[0] == "import-rar":
        arguments = [*arguments, "--unverified"]
    done = rar("memory", *arguments)
    assert done.status == status, done.err
    assert says in done.err
