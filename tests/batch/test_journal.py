"""The journal: what was written stays, whoever dies in the middle of what."""

import fcntl
import json
import signal
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rar_agent.batch import Entry, Journal, read_journal
from rar_agent.errors import ConfigurationError, DamagedDataError, InputError
from tests.disks import read_only
from tests.test_locks import MISSING, refusing

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=5,
)
ENTRIES = st.lists(
    st.builds(
        Entry,
        st.text(st.characters(exclude_categories=("Cs",)), max_size=6),
        st.dictionaries(st.text("xyz\n", max_size=2), PLAIN, max_size=3),
        st.booleans(),
    ),
    max_size=8,
    unique_by=lambda entry: entry.key,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "journal.jsonl"


@settings(max_examples=60, deadline=None)
@given(entries=ENTRIES, cut=st.integers(0, 60))
def test_a_torn_end_costs_the_last_entry_alone(tmp_path_factory, entries, cut):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    with Journal(path, "c") as journal:
        for entry in entries:
            journal.append([entry])
    data = path.read_bytes()
    kept = data[: max(len(data) - cut, 0)]
    path.write_bytes(kept)
    whole = max(kept.count(b"\n") - 1, 0)
    with Journal(path, "c") as journal:
        assert list(journal.entries.values()) == entries[:whole]
        assert journal.successes == sum(not entry.failed for entry in entries[:whole])
        journal.append(entries[whole:])
        assert list(journal.entries.values()) == entries
    assert path.read_bytes() == data


def test_an_interrupt_anywhere_leaves_the_journal_to_the_next(path):
    usual = signal.signal(signal.SIGALRM, signal.default_int_handler)
    numbers = count()
    try:
        for turn in range(300):
            with pytest.raises(KeyboardInterrupt), Journal(path, "c") as journal:  # noqa: PT012
                signal.setitimer(
                    signal.ITIMER_REAL, 0.0001 + turn * 0.00001, 1
                )  # one may be ignored
                for number in numbers:
                    journal.append([Entry(str(number), {})])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)
    with Journal(path, "c") as journal:
        kept = [int(key) for key in journal.entries]
        assert kept == sorted(kept)
        assert len(kept) + 300 > kept[-1]  # an interrupt costs the entry under way, or none


def test_two_who_write_see_each_other(path):
    with Journal(path, "c") as one, Journal(path, "c") as other:
        one.append([Entry("a", {"n": 1})])
        other.append([Entry("b", {"n": 2})])
        one.refresh()
        assert set(one.entries) == set(other.entries) == {"a", "b"}


def test_an_item_is_done_once_but_may_fail_before(path):
    with Journal(path, "c") as journal, Journal(path, "c") as other:
        journal.append([Entry("a", {"error": "x"}, failed=True)])
        assert not journal.done("a")
        journal.append([Entry("a", {"n": 1})])
        assert journal.done("a")
        assert journal.successes == 1
        for late in (journal, other):
            with pytest.raises(InputError, match="'a' is in journal"):
                late.append([Entry("b", {}), Entry("a", {"n": 2})])
        with pytest.raises(InputError):
            journal.append([Entry("c", {}), Entry("c", {})])
        assert set(journal.entries) == {"a"}  # nothing of these was written


def test_another_configuration_is_refused(path):
    Journal(path, "one").close()
    with pytest.raises(InputError, match="of another configuration: one, not two"):
        Journal(path, "two")
    Journal(path, "one").close()


def test_a_damaged_line_is_told_by_its_number(path):
    with Journal(path, "c") as journal:
        journal.append([Entry("a", {}), Entry("b", {})])
    lines = path.read_bytes().splitlines(keepends=True)
    for line in (b"{}\n", b"x\n", b"[]\n", b'{"key": "a", "result": 3, "failed": false}\n'):
        path.write_bytes(lines[0] + line + lines[2])
        with pytest.raises(DamagedDataError, match="line 2"):
            Journal(path, "c")
    path.write_bytes(b"something else\n" + lines[1])
    with pytest.raises(DamagedDataError, match="is no journal"):
        Journal(path, "c")
    path.write_bytes(json.dumps({"journal": 9, "configuration": "c"}).encode() + b"\n")
    with pytest.raises(ConfigurationError, match="format 9"):
        Journal(path, "c")


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        Journal(tmp_path / "file" / "journal.jsonl", "c")


def test_a_number_that_json_has_not_is_not_written(path):
    with Journal(path, "c") as journal:
        with pytest.raises(ValueError, match="JSON"):
            journal.append([Entry("a", {"n": float("nan")})])
        assert journal.entries == {}


def test_a_reader_changes_nothing(path):
    assert read_journal(path, "c") == []
    with Journal(path, "c") as journal:
        journal.append([Entry("a", {}, failed=True), Entry("b", {})])
        journal.append([Entry("a", {"n": 1})])
        assert read_journal(path, "c") == list(journal.entries.values())
    with pytest.raises(InputError, match="of another configuration"):
        read_journal(path, "d")
    torn = path.read_bytes() + b'{"key": "c", "fai'
    path.write_bytes(torn)
    path.with_suffix(".shares").unlink()
    with read_only(path.parent):
        assert [entry.key for entry in read_journal(path, "c")] == ["a", "b"]
        with pytest.raises(ConfigurationError, match=f"'{path}' cannot be written"):
            Journal(path, "c")
    assert path.read_bytes() == torn
    assert list(path.parent.iterdir()) == [path]
    path.write_bytes(b"x\n")
    with pytest.raises(DamagedDataError, match="is no journal"):
        read_journal(path, "c")


@pytest.mark.parametrize("number", MISSING)
def test_a_file_system_without_locks_is_told_of(path, monkeypatch, number):
    with Journal(path, "c") as journal, monkeypatch.context() as patch:
        patch.setattr(fcntl, "lockf", refusing(number))
        with (
            pytest.raises(ConfigurationError, match=r"cannot be locked in .*NFS"),
            journal.share(0) as mine,
        ):
            assert mine  # it would be taken for another's, and waited for for ever
    with Journal(path, "c") as journal:
        monkeypatch.setattr(fcntl, "flock", refusing(number))
        for ask in (lambda: journal.append([Entry("a", {})]), lambda: Journal(path, "c")):
            with pytest.raises(ConfigurationError, match=r"cannot be locked in .*NFS"):
                ask()
