"""What tests of the page share: memories, a desk, and for some a real server and browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from rar_agent.memory import SampleReader, create_memory
from rar_agent.memory.readers import Sample
from rar_agent.settings import load_settings
from rar_agent.types import Category
from tests.conftest import COLOURS, draw
from tests.openai_server import OpenAIServer, Reply, options_of

HOSTILE = "<img src=x onerror=window.hit=1>${window.hit=2}{{7*7}} Kätzchen 小猫"
"""A name that is markup, and no ASCII; it is a name all the same."""


def named_first(name):
    """A model that puts one name before the others."""

    def answer(request):
        options = options_of(request)
        letters = sorted(options, key=lambda letter: (options[letter] != name, letter))
        return Reply('{"ranking": ["' + '", "'.join(letters) + '"]}', usage=(321, 45))

    return answer


@pytest.fixture(scope="session")
def taught_home(tmp_path_factory, builtin):
    """RAR_HOME with `colours`, in two branches, with thumbnails, and one name that is markup."""
    home = tmp_path_factory.mktemp("ui-home")
    names = {**dict.fromkeys(COLOURS), "red": HOSTILE}
    samples = [
        Sample(
            Category(
                name=names[colour] or colour, description=f"All {colour} & round.", parent="dots"
            ),
            draw(colour, 1_000 * c + i),
            f"gone/{colour}/{i}.png",
        )
        for c, colour in enumerate(COLOURS)
        for i in range(5)
    ]
    create_memory(home, "colours", builtin, SampleReader(samples), domain="discs", thumbnails=96)
    return home


@pytest.fixture
def own_home(taught_home, tmp_path, monkeypatch):
    """A copy of it, to change."""
    home = tmp_path / "own-home"
    shutil.copytree(taught_home, home)
    return home


@pytest.fixture
def uploads(tmp_path):
    """Folder of uploads."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    return folder


@pytest.fixture
def upload(uploads):
    """Saves a drawing, or bytes, as a browser's upload; gives what the browser says of it."""

    def save(what, name="photo.png"):
        path = uploads / name
        if isinstance(what, bytes):
            path.write_bytes(what)
        else:
            what.save(path)
        return {"path": str(path), "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    return save


@pytest.fixture
def desk_of(own_home, uploads):
    """Makes a desk over the memories, with settings of one's own."""
    from rar_agent.ui.desk import Desk

    def make(**given):
        chosen = {"memory": "colours", "device": "cpu", "skip_ranking_at": 1.01, **given}
        chosen.setdefault("crop_scales", (1, 1, 1))  # a square box is its own crop
        return Desk(load_settings(home=own_home, **chosen), uploads)

    return make


@pytest.fixture
def desk(desk_of):
    return desk_of()


@pytest.fixture(scope="module")
def proxy():
    """Where all that leaves loopback would go: its address; in the end, nothing was asked."""
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.setblocking(False)
        yield f"http://127.0.0.1:{trap.getsockname()[1]}"
        with pytest.raises(BlockingIOError):
            trap.accept()


@pytest.fixture(scope="module")
def ui(taught_home, tmp_path_factory, proxy, request):
    """A running page: its address, its model's server, its home, its temporary folder.

    It is given a module's `OPTIONS` and `VARIABLES`.
    """
    pytest.importorskip("gradio", reason="the page needs the extra ui")
    place = tmp_path_factory.mktemp("ui")
    home, temporary = place / "home", place / "tmp"
    shutil.copytree(taught_home, home)
    temporary.mkdir()
    command = [sys.executable, "-c", "from rar_agent.cli import main; main()", "ui", "--port", "0"]
    command += getattr(request.module, "OPTIONS", ())
    with OpenAIServer() as model, (place / "log").open("wb") as log:
        model.answer = named_first("blue")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAR_")},
            "RAR_HOME": str(home),
            "RAR_DEVICE": "cpu",
            "RAR_CACHE_MB": "0",
            "RAR_MEMORY": "colours",
            "RAR_SKIP_RANKING_AT": "1.01",
            "RAR_CROP_SCALES": "[1, 1, 1]",
            "RAR_MODEL_RETRIES": "0",
            "RAR_MODEL": "test-model",
            "RAR_BASE_URL": model.url,
            "TMPDIR": str(temporary),
            "RAR_MAX_BYTES": "1000000",
            "HF_HUB_OFFLINE": "1",
            "HTTP_PROXY": proxy,
            "HTTPS_PROXY": proxy,
            "NO_PROXY": "127.0.0.1",
            **getattr(request.module, "VARIABLES", {}),
        }
        server = subprocess.Popen(
            command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:"), (place / "log").read_text()
            yield SimpleNamespace(address=address, model=model, home=home, temporary=temporary)
        finally:
            server.terminate()
            status = server.wait(timeout=30)
        assert status == 0, (place / "log").read_text()
        assert not list(temporary.iterdir()), "uploads outlive the page"
