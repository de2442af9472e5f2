import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rar_agent.cli.main import app
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.memory import open_memory
from rar_agent.scale.ray import cluster
from tests.conftest import eventually
from tests.scale.ray.test_recognising import photos

RAR = [sys.executable, "-c", "from rar_agent.cli import main; main()"]


def ran(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_options_that_cannot_be(discs, photo):
    wrong = ran("memory", "create", "a", "--images", discs, "--engine", "spark")
    assert isinstance(wrong.exception, InputError)
    assert "Choose local or ray" in wrong.exception.fix
    alone = ran("memory", "add", "a", "--images", discs, "--ray-address", "auto")
    assert "--engine ray" in alone.exception.fix
    explained = ran("recognize", photo, "--engine", "ray", "--explain")
    assert isinstance(explained.exception, InputError)


def test_a_cluster_that_is_not_there():
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'rar-agent[ray]'")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{taken.getsockname()[1]}"
    for address in (nowhere, f"ray://{nowhere}"):
        with pytest.raises(ConfigurationError, match=rf"{nowhere}' cannot be reached"):
            cluster._begin(ray, address)


def rar(home, *arguments, **more):
    ours = {"RAR_HOME": str(home), "RAR_DEVICE": "cpu", "RAR_RAY_WORKERS": "1", **more}
    environment = {**os.environ, **ours}
    return subprocess.Popen(
        [*RAR, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.long
def test_an_interrupted_command_ends_cleanly_and_goes_on(tmp_path, builtin, discs):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'rar-agent[ray]'")
    home = tmp_path / "home"
    create = ("memory", "create", "discs", "--images", discs, "--encoder", "builtin")
    begun = rar(home, *create, "--engine", "ray")
    eventually(lambda: list(home.glob("ray/*/tries/*")), limit_s=100)  # a worker is at it
    begun.send_signal(signal.SIGINT)
    _, told = begun.communicate(timeout=60)
    assert begun.returncode == 130
    assert "run the same command again" in told
    assert "Traceback" not in told
    again = rar(home, *create, "--engine", "ray")
    out, told = again.communicate(timeout=100)
    assert again.returncode == 0, told
    assert "ray" not in (out + told).lower().replace("gray", "")  # nothing of Ray's own
    assert open_memory(home, "discs").image_count == 36


@pytest.mark.slow
@pytest.mark.long
def test_a_cluster_through_its_client(tmp_path, builtin, discs):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'rar-agent[ray]'")
    pytest.importorskip("grpc", reason="Ray's client needs grpcio: pip install 'ray[client]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = ["start", "--head", "--block", "--port=0", f"--ray-client-server-port={port}"]
    start += ["--num-cpus=2", "--include-dashboard=false", "--object-store-memory=100000000"]
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    node = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", *start],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for line in node.stdout:
            if "Ray runtime started" in line:
                break
        there = ("--engine", "ray", "--ray-address", f"ray://127.0.0.1:{port}")
        home, auth = tmp_path / "home", {"RAY_AUTH_MODE": "token"}
        create = ("memory", "create", "discs", "--images", discs, "--encoder", "builtin")
        made = rar(home, *create, *there, **auth)
        _, told = made.communicate(timeout=150)
        assert made.returncode == 0, told
        images = photos(tmp_path, 5)
        asked = rar(home, "recognize", *images, "--memory", "discs", "--json", *there, **auth)
        out, told = asked.communicate(timeout=150)
        assert asked.returncode == 0, told
        found = [json.loads(line) for line in out.splitlines()]
        assert [one["source"] for one in found] == [str(image) for image in images]
        assert node.poll() is None  # it is left running
    finally:
        node.terminate()
        node.wait(60)


def ours():
    """This process and all that it started."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[place.name] = (place / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:  # it ended
            continue
    found = {str(os.getpid())}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening(pids):
    """Addresses that processes listen at, as the kernel writes them."""
    sockets = set()
    for pid in pids:
        try:
            links = [handle.readlink().name for handle in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        sockets |= {found[1] for link in links if (found := re.match(r"socket:\[(\d+)\]", link))}
    lines = [Path(f"/proc/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
    rows = [line.split() for table in lines for line in table]
    return [row[1].rpartition(":")[0] for row in rows if row[3] == "0A" and row[9] in sockets]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net").is_dir(), reason="needs /proc")
def test_what_is_started_here_listens_on_loopback_alone(ray):
    places = listening(ours())
    assert len(places) > 2  # Ray's daemons
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert set(places) <= loopback


def test_a_process_that_is_attached_stays_so(ray):
    with cluster.attached("nowhere:1"):  # which is not looked at
        assert ray.is_initialized()
    assert ray.is_initialized()


def test_more_gpus_than_there_are(ray):
    from rar_agent.scale.ray.pipeline import Workers

    with pytest.raises(ConfigurationError, match=r"a worker wants 99"):
        Workers(gpus=99).number(3)
