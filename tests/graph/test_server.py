"""graphs/ in the LangGraph CLI's local server, offline."""

import base64
import os
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from langgraph_sdk import get_sync_client

from tests.openai_server import OpenAIServer, Reply, tool_call

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model():
    with OpenAIServer() as running:
        yield running


@pytest.fixture(scope="module")
def url(home, photo, model, tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).parent / "langgraph", "dev", "--no-browser", "--no-reload"]
    log = tmp_path_factory.mktemp("server") / "server.log"
    unset = ("RAR_", "LANGSMITH_", "LANGCHAIN_")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(unset)},
        "RAR_HOME": str(home),
        "RAR_ROOTS": str(photo.parent),
        "RAR_DEVICE": "cpu",
        "RAR_AGENT_MODEL": "some-model",
        "RAR_AGENT_BASE_URL": model.url,
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "LANGGRAPH_NO_VERSION_CHECK": "1",
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


@pytest.fixture(scope="module")
def client(url):
    return get_sync_client(url=url)


def told(refused):
    assert refused["__error__"]["error"] == "RefusedError"
    return refused["__error__"]["message"]


def names(answer):
    return [c["category"]["name"] for c in answer["recognition"]["categories"]]


def test_a_run_is_answered_there(client):
    [assistant] = client.assistants.search(graph_id="recognize")
    schemas = client.assistants.get_schemas(assistant["assistant_id"])
    assert set(schemas["context_schema"]["properties"]) == {
        "memory",
        "ranker",
        "prompt",
        "k",
        "method",
        "coverage",
        "only",
        "where",
    }
    answer = client.runs.wait(None, "recognize", input={"image": "chelsea.png"}, context={"k": 3})
    assert names(answer)[0] == "Egyptian cat"
    assert len(names(answer)) == 3
    refused = client.runs.wait(None, "recognize", input={"image": "/etc/passwd"}, raise_error=False)
    assert "'/etc/passwd' is not a file under the folders open to models" in told(refused)
    for wrong, says in (
        ({"memory": "nosuch"}, "no memory 'nosuch'"),
        ({"k": 27}, "Give 1 to 26"),
        ({"ranker": "dice"}, "Give listwise, choice, pairwise"),
        ({"prompt": "nosuch@1"}, "nosuch@1"),
    ):
        given = {"image": "chelsea.png"}
        refused = client.runs.wait(None, "recognize", input=given, context=wrong, raise_error=False)
        assert says in told(refused)


def test_nodes_and_progress_are_streamed(client):
    stream = client.runs.stream(
        None,
        "recognize",
        input={"image": "chelsea.png"},
        stream_mode=["updates", "custom"],
    )
    told = [(part.event, part.data) for part in stream]
    nodes = [next(iter(data)) for event, data in told if event == "updates"]
    assert nodes == ["admit", "retrieve", "rank", "conclude"]
    [progress] = [data for event, data in told if event == "custom"]
    assert progress["step"] == "retrieved"
    assert progress["candidates"][0]["name"] == "Egyptian cat"


BOXES = [[0, 0, 451, 300], [120, 20, 200, 200], [900, 0, 10, 10]]


def test_boxes_are_answered(client):
    [assistant] = client.assistants.search(graph_id="detect")
    schemas = client.assistants.get_schemas(assistant["assistant_id"])
    assert set(schemas["input_schema"]["properties"]) == {"image", "boxes", "form", "source"}
    given = {"image": "chelsea.png", "boxes": BOXES}
    answer = client.runs.wait(None, "detect", input=given, context={"k": 3})
    found = answer["detections"]
    assert (found["source"], found["width"], found["height"]) == ("chelsea.png", 451, 300)
    whole, part, outside = found["detections"]
    for one in (whole, part):
        assert len(one["recognition"]["categories"]) == 3
    assert part["recognition"]["categories"][0]["category"]["name"] == "Egyptian cat"
    assert "is not in an image of 451x300 pixels" in outside["failure"]["error"]
    shares = {"image": "chelsea.png", "boxes": [[0, 0, 1, 1]], "form": "xyxy-relative"}
    answer = client.runs.wait(None, "detect", input=shares)
    assert answer["detections"]["detections"][0]["box"] == [0, 0, 451, 300]
    none = client.runs.wait(None, "detect", input={"image": "chelsea.png", "boxes": []})
    assert none["detections"]["detections"] == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"image": "/etc/passwd", "boxes": BOXES}, "not a file under the folders open to models"),
        ({"image": "chelsea.png", "boxes": [[1, 2, 3]]}, "has 3 numbers"),
        ({"image": "chelsea.png", "boxes": [[1, 2, 0, 4]]}, "has no area"),
        ({"image": "chelsea.png", "boxes": [[1, 2, 3, 4]], "form": "yx"}, "no form of boxes"),
    ],
)
def test_boxes_that_are_none_are_said_to_be(client, given, says):
    refused = client.runs.wait(None, "detect", input=given, raise_error=False)
    assert says in told(refused)


def test_progress_of_boxes_is_streamed(client):
    given = {"image": "chelsea.png", "boxes": BOXES}
    stream = client.runs.stream(None, "detect", input=given, stream_mode=["updates", "custom"])
    parts = [(part.event, part.data) for part in stream]
    nodes = [next(iter(data)) for event, data in parts if event == "updates"]
    assert nodes == ["admit", "retrieve", "choose", "conclude"]
    assert [data for event, data in parts if event == "custom"] == [
        {"step": "encoded", "boxes": 3, "of": 3}
    ]


def test_a_thread_holds_no_image(client):
    thread = client.threads.create()["thread_id"]
    for file in ("chelsea.png", "coffee.png"):
        client.runs.wait(thread, "recognize", input={"image": file})
    state = client.threads.get_state(thread)["values"]
    assert state["recognition"]["source"] == "coffee.png"
    assert len(str(state)) < 10_000


def test_runs_in_a_batch(client):
    files = ["chelsea.png", "coffee.png", "rocket.jpg"]
    threads = [client.threads.create()["thread_id"] for _ in files]
    runs = [
        {"assistant_id": "recognize", "input": {"image": file}, "context": {"k": 1}}
        for file in files
    ]
    created = client.runs.create_batch(runs)
    assert len(created) == 3
    begun = [
        client.runs.create(thread, "recognize", input=run["input"], context=run["context"])
        for thread, run in zip(threads, runs, strict=True)
    ]
    for thread, run in zip(threads, begun, strict=True):
        client.runs.join(thread, run["run_id"])
    found = [client.threads.get_state(t)["values"]["recognition"]["source"] for t in threads]
    assert found == files


def test_the_agent_asks_its_guide_there(client, model, photo):
    [assistant] = client.assistants.search(graph_id="agent")
    schemas = client.assistants.get_schemas(assistant["assistant_id"])
    assert set(schemas["context_schema"]["properties"]) == {"memory", "ranker", "prompt"}
    assert "attached_images" not in schemas["input_schema"]["properties"]
    model.script = [
        tool_call("ask_field_guide", image="image_1"),
        tool_call("recognize_image", image="image_1"),
        Reply("An Egyptian cat."),
        Reply("It is an Egyptian cat."),
    ]
    data = base64.b64encode(photo.read_bytes()).decode()
    image = {"type": "image", "base64": data, "mime_type": "image/png"}
    message = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}
    given = {"messages": [message]}
    wrong = {"memory": "nosuch"}
    refused = client.runs.wait(None, "agent", input=given, context=wrong, raise_error=False)
    assert "no memory 'nosuch'" in told(refused)
    thread = client.threads.create()["thread_id"]
    state = client.runs.wait(thread, "agent", input=given)
    assert state["messages"][-1]["content"] == "It is an Egyptian cat."
    answers = [m["content"] for m in model.requests[2]["messages"] if m["role"] == "tool"]
    assert answers[0].startswith("Answer: Egyptian cat")
    held = [step for step in client.threads.get_history(thread) if step["metadata"]["step"] > 0]
    assert held
    assert all(len(str(step["values"])) < 10_000 for step in held)


def test_its_image_is_described(tmp_path):
    """As `langgraph dockerfile` writes it; building it takes a Docker daemon and a network."""
    file = tmp_path / "Dockerfile"
    cli = Path(sys.executable).parent / "langgraph"
    done = subprocess.run(
        [cli, "dockerfile", "-c", ROOT / "langgraph.json", file], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    text = file.read_text()
    assert text.startswith("FROM langchain/langgraph-api:3.11")
    assert "agent.py:graph" in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for package in project["optional-dependencies"]["offline"]:
        assert package in text
