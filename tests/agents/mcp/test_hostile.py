"""Images that were made to hurt, sent to a server: an answer each, and the server goes on."""

import base64
import os
import signal
from pathlib import Path

import pytest

from rar_agent import Recognition
from tests.agents.mcp.conftest import Client, data, http_server, over_http, text
from tests.conftest import draw
from tests.images.hostile import catalogue
from tests.images.hostile_jpeg import many_scans
from tests.images.hostile_others import FRAME, gif

BOMBS = {
    "takes too long": (many_scans(8_944, 199), "not decoded within 1 seconds"),
    "takes too much memory": (gif(8_944, 8_944, FRAME), "memory"),
    "claims too much": (gif(65_535, 65_535, FRAME), "pixels"),
    "has too many scans": (many_scans(4_096, 300), "scans"),
    "is no image": (b"<html>" * 99, "allowed format"),
}


@pytest.fixture(scope="module")
def serving(variables):
    limits = {"RAR_ISOLATE_SECONDS": "1", "RAR_ISOLATE_MB": "500"}
    model = ("RAR_MODEL", "RAR_BASE_URL")
    alone = {name: value for name, value in variables.items() if name not in model}
    with (
        http_server({**alone, **limits}) as (process, url),
        Client(over_http(url)) as client,
    ):
        yield process, client


def workers(process):
    """Processes that the server started."""
    found = []
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def recognised(client):
    result = client.call("recognize_image", data=data(draw("red", 99)))
    return Recognition.model_validate(result.structuredContent).label == "red"


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_an_answer_and_the_server_goes_on(serving, name):
    process, client = serving
    bomb, reason = BOMBS[name]
    refused = client.call("recognize_image", data=base64.b64encode(bomb).decode())
    assert refused.isError
    assert reason in text(refused)
    assert process.poll() is None
    assert recognised(client)


def test_small_hostile_files_are_answers(serving):
    process, client = serving
    for file in catalogue():
        if file.expected == "error" and 0 < len(sent := file.make()) < 1_000:
            refused = client.call("recognize_image", data=base64.b64encode(sent).decode())
            assert refused.isError, file.name
            assert "bug" not in text(refused)
    assert process.poll() is None


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")
def test_images_are_decoded_elsewhere(serving):
    process, client = serving
    assert recognised(client)
    (worker,) = [one for one in workers(process) if b"images.worker" in _command(one)]
    os.kill(worker, signal.SIGSEGV)
    assert recognised(client)
    assert process.poll() is None


def _command(number):
    return Path(f"/proc/{number}/cmdline").read_bytes()
