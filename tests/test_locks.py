"""Locks between processes, and file systems that have none or only say so."""

import errno
import fcntl
import os
import threading

import pytest

from rar_agent.errors import ConfigurationError
from rar_agent.locks import locked
from tests.disks import read_only

MISSING = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What file systems without locks say."""


def refusing(number):
    def call(*_):
        raise OSError(number, os.strerror(number))

    return call


def test_one_at_a_time(tmp_path):
    path = tmp_path / "folder" / "x.lock"
    with locked(path), pytest.raises(TimeoutError), locked(path, wait_s=0.1):
        pass
    with locked(path, wait_s=0):
        pass
    with pytest.raises(ZeroDivisionError), locked(path):
        1 / 0  # noqa: B018
    with locked(path, wait_s=0):
        assert list(path.parent.iterdir()) == [path]


def test_who_waits_gets_it(tmp_path):
    held, got = locked(tmp_path / "x.lock"), []

    def wait():
        with locked(tmp_path / "x.lock", wait_s=20):
            got.append(free.is_set())

    free, waiting = threading.Event(), threading.Thread(target=wait)
    with held:
        waiting.start()
        waiting.join(0.2)
        free.set()
    waiting.join(20)
    assert got == [True]


@pytest.mark.parametrize("number", MISSING)
def test_a_file_system_without_locks(tmp_path, monkeypatch, number):
    monkeypatch.setattr(fcntl, "flock", refusing(number))
    with (
        pytest.raises(ConfigurationError, match=f"'{tmp_path}': {os.strerror(number)}.*local disk"),
        locked(tmp_path / "x.lock"),
    ):
        pass


def test_a_file_system_that_only_says_that_it_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with (
        pytest.raises(ConfigurationError, match=f"'{tmp_path}': two got the same .*local disk"),
        locked(tmp_path / "x.lock"),
    ):
        pass


def test_a_folder_that_may_only_be_read(tmp_path):
    (tmp_path / "home").mkdir()
    for path in (tmp_path / "home" / "x.lock", tmp_path / "home" / "more" / "x.lock"):
        with (
            read_only(tmp_path / "home"),
            pytest.raises(ConfigurationError, match=f"'{path.parent}' cannot be written"),
            locked(path),
        ):
            pass


def test_a_planted_link_is_not_followed(tmp_path):
    (tmp_path / "x.lock").symlink_to(tmp_path / "target")
    with pytest.raises(ConfigurationError, match="cannot be written"), locked(tmp_path / "x.lock"):
        pass
    assert not (tmp_path / "target").exists()
