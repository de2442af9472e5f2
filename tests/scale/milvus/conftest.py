"""A real milvus-lite process that speaks gRPC on loopback, started and stopped by the tests.

`MILVUS_TEST_PORT=PORT` has the tests ask a server that runs there already, such as Milvus
standalone; those that stop a server start milvus-lite all the same. docs/milvus.md says how.
"""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest


class Lite:
    """A server in a process of its own.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, folder):
        self._folder = folder
        self.port = free_port()
        self.start()

    def start(self):
        self._log = (self._folder.parent / "milvus.log").open("ab")
        command = [sys.executable, "-m", "milvus_lite", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--data-dir", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                assert self._process.poll() is None, "milvus-lite did not start"
                assert time.monotonic() < end, "milvus-lite did not answer"
                time.sleep(0.05)

    def stop(self):
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def address(self, name):
        return f"milvus://127.0.0.1:{self.port}/{name}"


class Running:
    """A server that runs already on loopback; tests leave its data behind."""

    def __init__(self, port):
        self.port = port

    address = Lite.address


def free_port():
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


@pytest.fixture(scope="session")
def lite(tmp_path_factory):
    if port := os.environ.get("MILVUS_TEST_PORT"):
        pytest.importorskip("pymilvus", reason="needs the extra milvus")
        yield Running(int(port))
        return
    for module in ("pymilvus", "milvus_lite"):
        pytest.importorskip(module, reason="needs the extra milvus")
    server = Lite(tmp_path_factory.mktemp("milvus") / "data")
    yield server
    server.stop()


@pytest.fixture
def address(lite, request):
    """Address of a memory that no other test has."""
    number = abs(hash(request.node.nodeid)) % 10**12
    return lite.address(f"m{number}")
