"""rar-agent ui: what it says where it cannot serve; the page itself is tested in tests/ui."""

import socket
import sys
import tempfile

import pytest

from rar_agent.errors import ConfigurationError


def test_without_the_extra_it_says_how_to_install_it(rar, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)  # as where it is not installed
    done = rar("ui")
    assert (done.status, done.out) == (3, "")
    assert done.err == (
        "error: The page needs Gradio, which is not installed.\n"
        "  fix: Run: pip install 'rar-agent[ui]'\n"
    )


def test_settings_are_checked_before_anything_is_served(rar, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", pytest)  # any module: it is not imported yet
    monkeypatch.setenv("RAR_K", "99")
    done = rar("ui")
    assert done.status == 3
    assert "Setting 'k'" in done.err


def test_a_place_that_is_taken_is_a_sentence():
    pytest.importorskip("uvicorn", reason="the page needs the extra ui")
    from rar_agent.ui.server import _listening

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"127.0.0.1:{port}: .*in use"):
            _listening("127.0.0.1", port)
    with pytest.raises(ConfigurationError, match=r"at no-such-host.invalid"):
        _listening("no-such-host.invalid", 0)


def test_no_place_for_temporary_files_is_a_sentence(tmp_path, monkeypatch):
    pytest.importorskip("uvicorn", reason="the page needs the extra ui")
    from rar_agent.ui.server import _temporary

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(ConfigurationError, match=r"temporary files .*TMPDIR"):
        _temporary()
