"""graphs/recognize.py in the LangGraph CLI's local server, offline."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from langgraph_sdk import get_sync_client

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture
def url(home, photo, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).parent / "langgraph", "dev", "--no-browser", "--no-reload"]
    log = tmp_path / "server.log"
    environment = {
        **os.environ,
        "RAR_HOME": str(home),
        "RAR_ROOTS": str(photo.parent),
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "LANGSMITH_TRACING": "false",
    }
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, log.read_text()
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def test_a_run_is_answered_there(url):
    client = get_sync_client(url=url)
    [assistant] = client.assistants.search(graph_id="recognize")
    schemas = client.assistants.get_schemas(assistant["assistant_id"])
    assert set(schemas["context_schema"]["properties"]) == {
        "memory",
        "k",
        "method",
        "coverage",
        "only",
        "where",
    }
    answer = client.runs.wait(None, "recognize", input={"image": "chelsea.png"}, context={"k": 3})
    found = answer["recognition"]
    assert found["categories"][0]["category"]["name"] == "Egyptian cat"
    assert len(found["categories"]) == 3
    refused = client.runs.wait(None, "recognize", input={"image": "/etc/passwd"}, raise_error=False)
    assert refused["__error__"]["error"] == "ImageError"
