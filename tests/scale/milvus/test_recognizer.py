"""Users change one argument: the memory's address."""

import json
import multiprocessing

import pytest
from typer.testing import CliRunner

from rar_agent import Recognizer
from rar_agent.cli.main import app
from rar_agent.memory import create_memory, open_memory
from rar_agent.memory.readers import FolderReader
from rar_agent.scale.milvus.migrate import migrate
from tests.conftest import COLOURS, draw
from tests.memory.teaching.tiny import TinyEncoder
from tests.scale.milvus.same import assert_same
from tests.scale.milvus.test_equivalence import photos

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def discs_in_milvus(lite, discs, builtin, tmp_path_factory):
    home = tmp_path_factory.mktemp("discs")
    create_memory(home, "discs", builtin, FolderReader(discs))
    migrate(home, "discs", lite.address("discs"))
    return home, lite.address("discs")


def test_a_recognizer(discs_in_milvus):
    home, address = discs_in_milvus
    here, there = (Recognizer(memory, home=home) for memory in ("discs", address))
    for number, colour in enumerate(COLOURS):
        picture = draw(colour, 900 + number)
        ours, theirs = here.recognize(picture), there.recognize(picture)
        assert ours.label == theirs.label
        assert ours.probability == pytest.approx(theirs.probability, abs=1e-5)
        assert [c.category for c in ours.categories] == [c.category for c in theirs.categories]
    assert there.memory.name == address
    assert not there.refresh()


def test_it_sees_what_was_taught_elsewhere(discs_in_milvus, builtin, monkeypatch, tmp_path):
    import rar_agent.memory.format.generation as generation
    from rar_agent.memory import add_to_memory

    monkeypatch.setattr(generation, "FRESH_S", 0.0)
    home, address = discs_in_milvus
    recognizer = Recognizer(address, home=home)
    before = recognizer.memory.manifest.generation
    assert not recognizer.refresh()
    add_to_memory(tmp_path, address, builtin, {"grey discs": [draw("grey", 1), draw("grey", 2)]})
    assert recognizer.refresh()
    assert recognizer.memory.manifest.generation == before + 1
    assert recognizer.recognize(draw("grey", 3)).label == "grey discs"


def test_commands(discs_in_milvus, discs, monkeypatch, tmp_path):
    home, address = discs_in_milvus
    monkeypatch.setenv("RAR_HOME", str(home))
    draw("green", 77).save(tmp_path / "green.png")

    def run(*command):
        done = CliRunner().invoke(app, [*command])
        assert done.exit_code == 0, (command, done.output, done.exception)
        return done.output

    mine = address.replace("discs", "mine")
    run("memory", "create", mine, "--images", str(discs), "--shots", "3")
    assert f"--memory {mine}" in run("memory", "add", mine, "--images", str(discs))
    found = json.loads(run("recognize", str(tmp_path / "green.png"), "--memory", mine, "--json"))
    assert found["categories"][0]["category"]["name"] == "green discs"
    assert found["trace"]["memory"] == mine
    assert "in Milvus" in run("memory", "show", mine)
    assert "mine" not in run("memory", "list")
    run("memory", "rename", mine, "green discs", "emerald discs")
    assert "emerald discs" in run("memory", "show", mine, "--tree")
    run("memory", "merge", mine, "red discs", "--into", "orange discs")
    run("memory", "remove", mine, "blue discs")
    run("memory", "fit", mine)
    assert "reclaimed" in run("memory", "compact", mine)
    run("memory", "verify", mine)
    run("memory", "migrate", mine, "--to", "back")
    assert "fine" in run("memory", "migrate", mine, "--to", "back")
    run("memory", "export", mine, str(tmp_path / "exported"))
    run("memory", "import", address.replace("discs", "again"), str(tmp_path / "exported"))
    run("memory", "delete", mine, "--yes")
    assert "deleted" in run("memory", "delete", address.replace("discs", "again"), "--yes")


def _ask(home, address, queue):
    queue.put(len(open_memory(home, address).entries))


def test_a_forked_process_connects_anew(tmp_path, address):
    create_memory(tmp_path, address, TinyEncoder(), photos(3, "ash", "oak"))
    memory = open_memory(tmp_path, address)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_ask, args=(tmp_path, address, queue))
    child.start()
    try:
        assert queue.get(timeout=60) == 6
    finally:
        child.kill()
        child.join()
    assert_same(memory, open_memory(tmp_path, address))
