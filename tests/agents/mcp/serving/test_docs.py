"""docs/serving.md, walked: its unit starts servers behind its nginx, and its loop restarts them.

`systemctl` is a script that does to processes what the unit says.
"""

import configparser
import re
import shutil
import subprocess
import textwrap

import httpx
import pytest

from rar_agent.agents.mcp.http import DRAIN_S
from rar_agent.settings import Settings
from tests.agents.mcp.conftest import COMMAND, TOKEN, until
from tests.agents.mcp.serving.conftest import Load, nginx_before
from tests.agents.mcp.serving.test_restarts import FAST
from tests.nginx import NAME, free_port, printed

pytestmark = pytest.mark.slow

SYSTEMCTL = """
    #!/bin/bash
    # of those arguments that have a port
    for unit in "$@"; do
        [[ $unit == rar-agent@* ]] || continue
        port=${unit#*@}
        if [[ $1 == restart ]]; then
            kill -TERM $(cat $port.pid)
            while kill -0 $(cat $port.pid) 2>/dev/null; do sleep 0.05; done
        fi
        ENVIRONMENT setsid START > /dev/null 2>> $port.log < /dev/null &
        echo $! > $port.pid
    done
"""


def unit():
    """The printed unit, a dictionary of each section."""
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str
    parsed.read_string(printed("serving.md", "ini")[0])
    return parsed


def test_the_unit_is_one(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = printed("serving.md", "ini")[0].replace("/opt/rar-agent/bin/rar-agent", COMMAND)
    file = tmp_path / "rar-agent@8765.service"
    file.write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", file]
    done = subprocess.run(command, capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "rar-agent@" in line]
    assert ours == []


def test_the_unit_gives_requests_the_time_that_they_have():
    service = unit()["Service"]
    assert int(service["TimeoutStopSec"]) > DRAIN_S
    assert service["KillMode"] == "mixed"  # or the processes that decode are ended at once


def test_bodies_may_be_as_large_as_images():
    """In base64 for MCP, as they are for the page."""
    sizes = {
        name: int(re.search(r"client_max_body_size +(\d+)m;", block)[1]) * 2**20
        for block in printed("serving.md")
        for name in re.findall(r"server_name (\S+);", block)
    }
    most = Settings().max_bytes
    assert 1.1 > sizes[NAME] / (most * 4 / 3) > 1
    assert 1.1 > sizes["page.example.org"] / most > 1


@pytest.fixture
def systemctl(tmp_path, alone, monkeypatch):
    """Puts it into the path; stops in the end what it started."""
    service = unit()["Service"]
    given = dict(one.split("=") for one in service["Environment"].split())
    given |= {**alone, "RAR_MCP_TOKEN": TOKEN}
    start = service["ExecStart"].replace("/opt/rar-agent/bin/rar-agent", COMMAND)
    script = textwrap.dedent(SYSTEMCTL).strip()
    script = script.replace("ENVIRONMENT", " ".join(f"{k}='{v}'" for k, v in given.items()))
    script = script.replace("START", start.replace("%i", "$port"))
    (tmp_path / "bin").mkdir()
    file = tmp_path / "bin" / "systemctl"
    file.write_text(script)
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.chdir(tmp_path)
    yield
    for pid in tmp_path.glob("*.pid"):
        subprocess.run(["kill", "-KILL", pid.read_text().strip()])


def healthy(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").text == "ok\n"
    except httpx.TransportError:
        return False


def test_the_loop_restarts_all_under_load(systemctl, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    _, restart, enable = printed("serving.md", "bash")
    ports = {"8765": str(free_port()), "8766": str(free_port())}

    def run(block):
        for old, new in ports.items():
            block = block.replace(old, new)
        done = subprocess.run(["bash", "-c", block], capture_output=True, text=True, timeout=120)
        assert not re.search("error|not found", done.stderr), done.stderr
        return done.stdout

    run(enable.splitlines()[-1])  # not the line that adds a user
    until(lambda: all(map(healthy, ports.values())), 120)
    first = {port: (tmp_path / f"{port}.pid").read_text() for port in ports.values()}
    folder = tmp_path / "nginx"
    folder.mkdir()
    with nginx_before([int(p) for p in ports.values()], folder, changes=FAST) as nginx:
        with Load(nginx) as load:
            load.more(20)
            assert run(restart) == "ok\n" * 2
            load.more(20)
        assert load.wrong == [], nginx.errors
    assert load.sent == load.right >= 40
    assert all((tmp_path / f"{port}.pid").read_text() != was for port, was in first.items())
