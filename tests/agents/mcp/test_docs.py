"""docs/mcp.md, walked from start to end: what it shows is run, what it configures is started."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from langchain_core.messages import AIMessage

from rar_agent.cli import main
from tests.agents.conftest import model, tool_messages
from tests.agents.mcp.conftest import COMMAND, Client, over_http, over_stdio, text

DOCUMENT = Path(__file__).parents[3] / "docs" / "mcp.md"
ADDRESS = "http://127.0.0.1:8765"
CALL = {"name": "recognize_image", "args": {"image": "garden.jpg"}, "id": "c", "type": "tool_call"}


class Walk:
    """The reader, and what they have by now: a memory, photos, a server, its token."""

    def __init__(self, photos, home, monkeypatch):
        self.photos = photos
        self.home = home
        self.patch = monkeypatch

    def bash(self, block):
        lines = block.strip().splitlines()
        command = shlex.split(lines[-1])
        if command[:3] == ["rar-agent", "memory", "create"]:
            self.patch.setattr(sys, "argv", command)
            with pytest.raises(SystemExit) as end:
                main()
            assert not end.value.code
        elif command[0] == "claude":
            self.claude(command)
        elif "--stateless" in command:
            with self.serving(command) as url:
                assert httpx.get(f"{url}/health").text == "ok\n"
        else:
            token = subprocess.run(
                ["bash", "-c", f'{lines[0]}; printf %s "$RAR_MCP_TOKEN"'],
                capture_output=True,
                check=True,
                text=True,
                env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            ).stdout
            self.patch.setenv("RAR_MCP_TOKEN", token)
            self.server = self.serving(command)
            self.url = self.server.__enter__()

    @contextmanager
    def serving(self, command):
        command = [COMMAND, *(" ".join(command[1:]).replace("8765", "0").split())]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                self.said = process.stderr.readline()
                yield re.search(r"(http://\S+)/mcp", self.said)[1]
            finally:
                process.terminate()
                process.communicate(timeout=30)

    def claude(self, command):
        """Says the same as the configuration in JSON."""
        options, server = command[: command.index("--")], command[command.index("--") + 1 :]
        given = dict(option.split("=") for option in options if "=" in option)
        assert {"command": server[0], "args": server[1:], "env": given} == self.first

    def json(self, block):
        found = json.loads(block)
        self.server_of(found.get("mcpServers") or found["servers"])

    def toml(self, block):
        self.server_of(tomllib.loads(block)["mcp_servers"])

    def server_of(self, servers):
        [given] = servers.values()
        if "command" in given:
            self.first = getattr(self, "first", given)
            self.start(given)
        else:
            self.connect(given)

    def start(self, given):
        assert given["command"] == "/path/to/.venv/bin/rar-agent"
        variables = {"RAR_HOME": str(self.home), **given["env"], "RAR_ROOTS": str(self.photos)}
        with Client(over_stdio(variables, *given["args"][1:])) as client:
            assert "birds (default): bird species, 2 categories" in text(
                client.call("list_memories")
            )

    def connect(self, given):
        assert given["url"] == f"{ADDRESS}/mcp"
        if variable := given.get("bearer_token_env_var"):
            given = {"headers": {"Authorization": f"Bearer ${{{variable}}}"}}
        bearer = given["headers"]["Authorization"]
        for placeholder in ("${RAR_MCP_TOKEN}", "${input:rar-token}"):  # each client's own
            bearer = bearer.replace(placeholder, os.environ["RAR_MCP_TOKEN"])
        with Client(over_http(f"{self.url}/mcp", {"Authorization": bearer})) as client:
            assert "birds (default)" in text(client.call("list_memories"))

    def text(self, block):
        assert self.said == block.replace(ADDRESS, self.url)

    def python(self, block):
        scripted = model(AIMessage("", tool_calls=[CALL]), "A red one.")
        code = block.replace(ADDRESS, self.url).replace('"openai:gpt-5-mini"', "SCRIPTED")
        names = {"SCRIPTED": scripted}
        exec(compile(code, "docs/mcp.md", "exec"), names)
        [message] = tool_messages(names["answer"])
        assert message.artifact["structured_content"]["source"] == "garden.jpg"
        assert "Answer: red" in message.text


@pytest.mark.slow
def test_the_document_is_walked(discs, tmp_path, monkeypatch, capsys):
    photos, home = tmp_path / "photos", tmp_path / "home"
    for colour in ("red", "blue"):
        shutil.copytree(discs / f"{colour}_discs", tmp_path / "birds" / colour)
    photos.mkdir()
    shutil.copy(discs / "red_discs" / "0.png", photos / "garden.jpg")
    for name, value in (("HOME", home), ("ROOTS", photos), ("MEMORY", "birds"), ("DEVICE", "cpu")):
        monkeypatch.setenv(f"RAR_{name}", str(value))
    walk = Walk(photos, home, monkeypatch)
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 10
    try:
        for language, block in blocks:
            getattr(walk, language)(block)
    finally:
        if hasattr(walk, "server"):
            walk.server.__exit__(None, None, None)
