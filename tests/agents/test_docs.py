"""docs/agents.md, run from start to end."""

import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from rar_agent.agents.answer import describe, describe_boxes
from rar_agent.agents.boxes import FORM
from rar_agent.memory import create_memory, read_folder
from rar_agent.recognizer import Recognizer
from tests.conftest import draw
from tests.openai_server import Reply, tool_call

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "agents.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)


def agents_model(body):
    """Calls the first tool about the newest image, and passes on what it says."""
    tools = [tool["function"]["name"] for tool in body.get("tools", ())]
    last = body["messages"][-1]
    if last["role"] == "tool":
        return Reply(f"I am told: {last['content']}")
    handles = re.findall(r"attached image: (image_\d+)", json.dumps(body["messages"]))
    image = handles[-1] if handles else "image_1"
    if "remember" in json.dumps(last) and "teach_category" in tools:
        return tool_call("teach_category", category="wren", images=[image])
    return tool_call(tools[0], image=image)


@contextmanager
def serving(command, folder):
    """The block's server, at a port that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = command.strip().replace("=photos", f"={folder}/photos")
    command = f"exec env {command} --host 127.0.0.1 --port {port}"
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            ["bash", "-c", command], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, log.read_text()
            time.sleep(0.3)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture
def reader(tmp_path, builtin, discs, server, monkeypatch):
    """What who reads the page has: photos, a memory of birds, a key."""
    home = tmp_path / "home"
    for memory in ("birds", "cars"):
        create_memory(home, memory, builtin, read_folder(discs), domain="bird species")
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, colour in (("first", "red"), ("second", "blue"), ("new", "yellow")):
        draw(colour, 99).save(tmp_path / f"{name}.jpg")
        draw(colour, 99).save(photos / f"{name}.jpg")
    server.answer = agents_model
    monkeypatch.setenv("RAR_HOME", str(home))
    monkeypatch.setenv("RAR_DEVICE", "cpu")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return tmp_path


def test_the_page_from_start_to_end(reader, photo, capsys):
    data = base64.b64encode(photo.read_bytes()).decode()
    names = {"data": data}
    printed, answers = [], []
    running = None
    try:
        for language, block in BLOCKS:
            if language == "bash":
                running = serving(block, reader)
                port = running.__enter__()
            elif language == "python":
                code = block.replace(":2024", f":{port}") if running else block
                exec(code, names)  # the page's own
                printed.append(capsys.readouterr().out)
            elif language == "text":
                answers.append(block)
    finally:
        if running:
            running.__exit__(None, None, None)
    [given] = re.findall(r"here of `(\[\[.*?\]\])`", TEXT)
    asked = Recognizer()
    assert answers == [
        describe(asked.recognize(photo)) + "\n",
        describe_boxes(asked.detect(photo, json.loads(given), FORM)) + "\n",
    ]
    assert (reader / "drawn.png").exists()
    told = "".join(printed)
    assert "accepted Egyptian cat" in told
    assert "one of 6 bird species (" in told
    assert (
        "I am told: The field guide says: I am told: Answer: red discs" in told
    )  # through the guide
    assert "Teach memory 'birds' 1 photo of 'wren', a new category." in told
    assert "custom {'step': 'retrieved'" in told
    assert "[48.0, 0.0, 48.0, 96.0] red discs" in told
    assert names["birds"].recognize(reader / "new.jpg").label == "wren"
    assert names["state"]["messages"][-1].text.startswith("I am told: Memory 'birds' learnt 1")


def test_every_block_is_walked():
    assert {language for language, _ in BLOCKS} == {"bash", "python", "text"}
    assert sum(language == "bash" for language, _ in BLOCKS) == 1
