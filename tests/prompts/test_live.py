"""Editing a prompt while it is in use."""

import logging
import os
import threading

import pytest

from rar_agent.errors import ConfigurationError, NotFoundError
from rar_agent.prompts import Live, Prompt, load_prompt
from tests.prompts.test_library import VALID, write


def said(prompt: Prompt) -> str:
    return prompt.templates[0][1]


@pytest.fixture
def live(tmp_path):
    write(tmp_path, VALID)
    return Live("rank@2", tmp_path, said)


def edit(tmp_path, old, new):
    path = write(tmp_path, VALID.replace(old, new))
    status = path.stat()  # as a later edit has it, however fast this machine is
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))


def test_an_edit_is_seen_by_the_next(live, tmp_path):
    assert live.get() == "Sort {{{domain}}}."
    edit(tmp_path, "Sort", "Order")
    assert live.get() == "Order {{{domain}}}."


def test_an_edit_of_the_same_length_is_seen(live, tmp_path):
    assert live.get() == "Sort {{{domain}}}."
    edit(tmp_path, "Sort", "Rank")
    assert live.get() == "Rank {{{domain}}}."


def test_nothing_is_made_anew_without_an_edit(tmp_path):
    write(tmp_path, VALID)
    made = []
    live = Live("rank@2", tmp_path, lambda prompt: made.append(prompt) or prompt)
    assert live.get() is live.get()
    assert len(made) == 1


def test_an_invalid_edit_leaves_the_last_valid_one_and_says_so_once(live, tmp_path, caplog):
    before = live.get()
    edit(tmp_path, "{{{name}}}", "{{name}}")
    with caplog.at_level(logging.WARNING):
        assert [live.get(), live.get()] == [before, before]
    [record] = caplog.records
    path = tmp_path / "prompts" / "rank" / "2.yaml"
    assert f"{path}:5 uses {{{{name}}}}, which HTML-escapes it" in record.message
    assert "stays in use" in record.message
    edit(tmp_path, "Sort", "Put in order")
    assert live.get() == "Put in order {{{domain}}}."


def test_a_file_that_was_deleted_stays_in_use(live, tmp_path, caplog):
    before = live.get()
    (tmp_path / "prompts" / "rank" / "2.yaml").unlink()
    assert [live.get(), live.get()] == [before, before]
    assert len(caplog.records) == 1
    write(tmp_path, VALID.replace("Sort", "Order"))
    assert live.get() == "Order {{{domain}}}."


def test_what_cannot_be_made_of_an_edit_leaves_the_last(tmp_path, caplog):
    def made(prompt):
        if prompt.output == "letter":
            raise ConfigurationError("It asks for a letter.")
        return said(prompt)

    write(tmp_path, VALID)
    live = Live("rank@2", tmp_path, made)
    before = live.get()
    edit(tmp_path, "version: 2", "version: 2\noutput: letter")
    assert live.get() == before
    assert "It asks for a letter." in caplog.text


def test_a_file_that_newly_hides_a_shipped_one_counts_as_an_edit(tmp_path):
    live = Live("rank@1", tmp_path, said)
    assert live.get() == said(load_prompt("rank@1", tmp_path))
    write(tmp_path, VALID.replace("version: 2", "version: 1"), "1")
    assert live.get() == "Sort {{{domain}}}."


def test_an_error_at_first_is_raised_until_it_is_mended(tmp_path):
    live = Live("rank@2", tmp_path, said)
    with pytest.raises(NotFoundError):
        live.get()
    write(tmp_path, VALID.replace("{{{name}}}", ""))
    with pytest.raises(ConfigurationError):
        live.get()
    write(tmp_path, VALID)
    assert live.get() == "Sort {{{domain}}}."


def test_edits_while_many_threads_ask(live, tmp_path):
    wrong, done = [], threading.Event()

    def ask():
        while not done.is_set():
            text = live.get()
            if not (text.startswith("Sort") and text.endswith(" {{{domain}}}.")):
                wrong.append(text)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(30):
        edit(tmp_path, "Sort", f"Sort{'!' * number}")
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert live.get() == f"Sort{'!' * 29} {{{{{{domain}}}}}}."
