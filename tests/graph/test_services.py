"""The services of a run: prompts that are edited while a server runs."""

import logging
import os
import shutil
import sys

import pytest

from rar_agent import Recognizer
from rar_agent.errors import DamagedDataError
from rar_agent.graph import services
from rar_agent.graph.services import Services
from rar_agent.memory import create_memory, read_folder
from rar_agent.prompts import load_prompt
from rar_agent.settings import load_settings
from tests.conftest import draw
from tests.forks import Stuck, in_fork, needs_fork
from tests.openai_server import Reply
from tests.prompts.test_library import VALID, write


@pytest.fixture(scope="module")
def taught(tmp_path_factory, builtin, discs):
    home = tmp_path_factory.mktemp("services-home")
    create_memory(home, "discs", builtin, read_folder(discs), domain="discs")
    return home


@pytest.fixture
def own(taught, tmp_path):
    """A copy of its home, with a prompt."""
    home = tmp_path / "home"
    shutil.copytree(taught, home)
    write(home, VALID)
    return home


@pytest.fixture
def recognizer(own, server):
    server.script = [Reply("A > B > C > D > E")]
    asked = {"base_url": server.url, "prompt": "rank@2", "skip_ranking_at": 1.01}
    return Recognizer("discs", "m", home=own, device="cpu", **asked)


def asked(server):
    return server.requests[-1]["messages"][0]["content"]


def test_the_next_recognition_uses_an_edited_prompt(recognizer, own, server):
    before = recognizer.recognize(draw("red", 1)).trace
    assert (before.prompt, asked(server)) == ("rank@2", "Sort discs.")
    write(own, VALID.replace("Sort", "Put in order"))
    after = recognizer.recognize(draw("red", 1)).trace
    assert asked(server) == "Put in order discs."
    assert before.prompt_hash != after.prompt_hash == load_prompt("rank@2", own).sha256


def test_an_invalid_edit_takes_no_server_down(recognizer, own, server, caplog):
    before = recognizer.recognize(draw("red", 1)).trace
    write(own, VALID.replace("{{{name}}}", "{{{colour}}}"))
    with caplog.at_level(logging.WARNING, "rar_agent"):
        answers = [recognizer.recognize(draw("red", seed)).trace for seed in (1, 2)]
    assert [answer.prompt_hash for answer in answers] == [before.prompt_hash] * 2
    assert not any(answer.degraded for answer in answers)
    assert len([r for r in caplog.records if "stays in use" in r.message]) == 1


def test_an_edit_that_this_ranker_cannot_read_is_not_used(recognizer, own, server, caplog):
    before = recognizer.recognize(draw("red", 1)).trace
    write(own, VALID.replace("version: 2", "version: 2\noutput: letter"))
    assert recognizer.recognize(draw("red", 1)).trace.prompt_hash == before.prompt_hash
    assert "asks for a letter, which ranker 'listwise' cannot read" in caplog.text


@needs_fork
def test_a_fork_in_the_middle_of_a_load_loads_for_itself(taught, builtin, monkeypatch):
    stuck = Stuck()

    def load(*_):
        stuck()
        return builtin

    monkeypatch.setattr(services, "load_encoder", load)
    monkeypatch.setenv("RAR_HOME", str(taught))
    fresh = Services(load_settings(memory="discs"))
    _ = fresh.memory
    with stuck.held(lambda: fresh.encoder):
        assert in_fork(lambda: fresh.encoder is builtin and len(fresh.memory.categories) == 6)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes")
def test_what_stands_in_the_place_of_current_is_neither_waited_for_nor_read_whole(own):
    current = own / "memories" / "discs" / "CURRENT"
    settings = load_settings(home=own, memory="discs")
    opened = Services(settings)
    assert opened.memory.name == "discs"
    assert not opened.outdated
    current.unlink()
    os.mkfifo(current)
    assert opened.outdated
    with pytest.raises(DamagedDataError, match="CURRENT is damaged: is no regular file"):
        _ = Services(settings).memory
    current.unlink()
    with current.open("wb") as file:
        file.truncate(1 << 40)  # read whole, it would fill all memory
    assert opened.outdated
    with pytest.raises(DamagedDataError, match="CURRENT is damaged: has more than"):
        _ = Services(settings).memory


def test_who_is_elsewhere_stays_there():
    settings = load_settings(memory="discs")
    assert Services(settings).remote
    assert Services(settings).anew().remote
    found = Services(settings, "caller")
    assert not found.anew().remote
    found.remote = True
    assert found.anew().remote
