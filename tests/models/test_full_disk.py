"""What is kept of models on a disk that fills up: it costs answers, never a recognition."""

import errno
import fcntl

from rar_agent.models.cache import AnswerCache
from rar_agent.models.capabilities import Capabilities
from tests.disks import read_only, small_disk
from tests.test_locks import refusing

ANSWERS = {bytes([number]): "x" * 3_000 for number in range(60)}


def test_answers_that_find_no_room_are_not_kept(tmp_path, caplog):
    with small_disk(tmp_path / "disk") as disk:
        path = disk.path / "cache" / "answers.sqlite"
        for room in (0, 2, 20, 40):
            with disk.leaving(room):
                cache = AnswerCache(path, 100)  # another process
                for key, answer in ANSWERS.items():
                    cache.put(key, answer)
                    assert cache.get(key) in (None, answer)
        said = [message for message in caplog.messages if "answers are not kept" in message]
        assert len(said) == len(caplog.messages) == 4  # once each
        cache = AnswerCache(path, 100)
        for key, answer in ANSWERS.items():
            cache.put(key, answer)
        assert all(AnswerCache(path, 100).get(key) == answer for key, answer in ANSWERS.items())


def test_answers_of_a_folder_that_may_only_be_read(tmp_path, caplog):
    path = tmp_path / "cache" / "answers.sqlite"
    AnswerCache(path, 100).put(b"a", "1")
    with read_only(path.parent):
        cache = AnswerCache(path, 100)
        cache.put(b"b", "2")
        assert cache.get(b"a") in (None, "1")
    assert len(caplog.messages) == 1


def test_what_a_server_refuses_is_known_though_it_cannot_be_written(tmp_path):
    (tmp_path / "models").mkdir()
    with read_only(tmp_path / "models"):
        known = Capabilities("http://server", "m", tmp_path / "models")
        known.refuse({"schema"})
        assert known.refused == {"schema"}
    assert list((tmp_path / "models").iterdir()) == []


def test_answers_are_not_kept_where_there_are_no_locks(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))
    cache = AnswerCache(tmp_path / "answers.sqlite", 100)
    cache.put(b"a", "1")
    assert cache.get(b"a") is None
    [said] = caplog.messages
    assert "cannot be locked" in said
