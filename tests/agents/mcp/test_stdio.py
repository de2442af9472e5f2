"""`rar-agent mcp` over stdio, asked by the official client and by LangChain's adapters."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_mcp_adapters.tools import load_mcp_tools
from mcp.shared.exceptions import McpError
from PIL import Image, ImageChops

import rar_agent
from rar_agent import Recognition
from rar_agent.agents.answer import describe, describe_boxes
from rar_agent.agents.knowledge import CategoryDetails
from rar_agent.types import Detections
from tests.agents.conftest import model, tool_messages
from tests.agents.mcp.conftest import COMMAND, Client, data, over_stdio, text, until
from tests.conftest import draw
from tests.openai_server import Reply, options_of

# One of the client's roots is none that the SDK would send.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")


@pytest.fixture(scope="module")
def client(variables, photos, tmp_path_factory):
    roots = [(photos / "open").as_uri(), "https://example.com/", "file://elsewhere/etc"]
    log = (tmp_path_factory.mktemp("log") / "errors").open("w+")
    connect = over_stdio(variables, "--teach", errors=log)
    with log, Client(connect, roots, elicits=True) as client:
        yield client


@pytest.fixture
def red(ranker):
    """The ranking model says it is red."""

    def answer(request):
        letters = {name: letter for letter, name in options_of(request).items()}
        return Reply(letters["red"])

    ranker.answer = answer
    yield
    ranker.answer = None


def test_what_the_server_says_it_is(client):
    assert client.info.serverInfo.name == "rar-agent"
    assert client.info.serverInfo.version == rar_agent.__version__
    assert "recognize_image" in client.info.instructions
    tools = {tool.name: tool for tool in client.do(client.session.list_tools).tools}
    writes = {name: not tool.annotations.readOnlyHint for name, tool in tools.items()}
    assert writes == {
        "recognize_image": False,
        "list_memories": False,
        "describe_category": False,
        "teach_category": True,
    }
    assert "one of 6 coloured discs" in tools["recognize_image"].description
    assert {"image", "data", "memory", "top_k", "boxes", "draw"} == {
        *tools["recognize_image"].inputSchema["properties"]
    }
    schema = tools["recognize_image"].outputSchema
    assert schema["type"] == "object"
    assert [one["$ref"] for one in schema["anyOf"]] == ["#/$defs/Recognition", "#/$defs/Detections"]


def test_a_photo_under_a_root_is_recognised(client, photos, red):
    for name in ("red.png", photos / "open" / "red.png", (photos / "open" / "red.png").as_uri()):
        result = client.call("recognize_image", image=str(name), top_k=3)
        found = Recognition.model_validate(result.structuredContent)
        assert (found.label, found.source, len(found.categories)) == ("red", str(name), 3)
        assert found.trace.model.endswith("test-model")
        assert [block.text for block in result.content] == [describe(found)]


def test_bytes_are_recognised(client, red):
    for sent in (data(draw("red", 98)), f"data:image/png;base64,{data(draw('red', 98))}"):
        result = client.call("recognize_image", data=sent)
        assert result.structuredContent["source"] == "data"
        assert text(result).startswith("Answer: red")


def test_each_box_is_recognised_by_itself(client, ranker):
    ranker.script = [Reply("no letter")]
    left, right = draw("red", 98), draw("blue", 98)
    both = Image.new("RGB", (192, 96))
    both.paste(left, (0, 0))
    both.paste(right, (96, 0))
    boxes = [[0, 0, 0.5, 1], [0.5, 0, 1, 1], [1.1, 0, 1.4, 1]]
    told = []

    async def tell(done, total, message):
        told.append((done, total, message))

    result = client.call("recognize_image", progress=tell, data=data(both), boxes=boxes)
    found = Detections.model_validate(result.structuredContent)
    assert [one.label for one in found.detections] == ["red", "blue", None]
    assert [one.box for one in found.detections[:2]] == [(0, 0, 96, 96), (96, 0, 96, 96)]
    assert found.detections[2].failure.kind == "InputError"
    assert [block.text for block in result.content] == [describe_boxes(found)]
    assert text(result).startswith("1. red ")
    assert told[2:] == [(2, 4, "encoding and searching"), (3, 4, "ranking 2 boxes")]


def test_boxes_are_drawn_for_who_asks(client, ranker):
    ranker.script = [Reply("no letter")]
    red = draw("red", 95, 300)
    sent = {"data": data(red), "boxes": [[0.2, 0.2, 0.8, 0.8]]}
    said, picture = client.call("recognize_image", draw=True, **sent).content
    assert said.text.startswith("1. red ")
    assert (picture.type, picture.mimeType) == ("image", "image/jpeg")
    drawn = Image.open(io.BytesIO(base64.b64decode(picture.data)))
    assert drawn.size == red.size
    assert ImageChops.difference(drawn, red).getbbox() is not None
    [only] = client.call("recognize_image", **sent).content
    assert only.text == said.text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"image": "CLOSED/red.png"}, "not a file under the folders open to models"),
        ({"image": "CLOSED"}, "not a file under the folders open to models"),
        ({"image": "../closed/red.png"}, "not a file under the folders open to models"),
        ({"image": "link.png"}, "not a file under the folders open to models"),
        ({"image": "file:///etc/passwd"}, "not a file under the folders open to models"),
        ({"image": "file://elsewhere/red.png"}, "may not be read"),
        ({"image": "https://example.com/x.png"}, "RAR_ALLOW_URLS"),
        ({"image": "data:image/png;base64,AAAA"}, "as data"),
        ({"image": "A" * 5_000}, "Models cannot copy them"),
        ({}, "No image was given"),
        ({"image": "red.png", "data": "AAAA"}, "Give one of image and data"),
        ({"data": "QUJD"}, "not an image of an allowed format"),
        ({"data": "!"}, "not valid base64"),
        ({"image": "red.png", "top_k": 99}, "top_k: input should be less than or equal to 26"),
        ({"image": "red.png", "colour": "red"}, "colour: extra inputs are not permitted"),
        ({"image": "red.png", "boxes": [[0, 0, 96, 96]]}, "Divide pixels by the width"),
        ({"image": "red.png", "boxes": [[0.5, 0, 0.2, 1]]}, "has no area"),
        ({"image": "red.png", "boxes": [[0, 0, 1]]}, "boxes.0: list should have at least 4"),
        ({"image": "red.png", "boxes": [[0, 0, 1, 1]] * 21}, "boxes: value should have at most 20"),
        ({"image": "red.png", "memory": "nosuch"}, "There is: colours."),
        ({"image": "red.png", "memory": "../x"}, "There is no memory '../x'"),
    ],
)
def test_errors_are_answers_that_say_what_to_do(client, photos, arguments, says):
    given = dict(arguments)
    if "image" in given:
        given["image"] = given["image"].replace("CLOSED", str(photos / "closed"))
    result = client.call("recognize_image", **given)
    assert result.isError
    assert says in text(result)
    assert result.structuredContent is None


def test_no_tool_of_that_name(client):
    assert "There is recognize_image, list_memories" in text(client.call("nosuch"))


def test_memories_and_categories(client):
    listed = client.call("list_memories")
    assert text(listed) == "colours (default): coloured discs, 6 categories, 18 photos"
    [memory] = listed.structuredContent["memories"]
    assert (memory["name"], memory["exemplars"]) == ("colours", 18)
    result = client.call("describe_category", category="red", photos=2)
    details = CategoryDetails.model_validate(result.structuredContent)
    assert (details.parents, details.exemplars) == (("warm",), 3)
    assert [block.type for block in result.content] == ["text", "image", "image"]
    assert result.content[1].mimeType == "image/jpeg"
    assert "Did you mean red?" in text(client.call("describe_category", category="rde"))


def test_progress_is_told(client, red):
    told = []

    async def tell(done, total, message):
        told.append((done, total, message))

    client.call("recognize_image", progress=tell, data=data(draw("red", 97)))
    assert told == [
        (0, 4, "reading the image"),
        (1, 4, "loading memory colours"),
        (2, 4, "encoding and searching"),
        (3, 4, "ranking 5 candidates"),
    ]


def test_who_cancels_ends_the_call_of_the_model(client, ranker):
    ranker.script = [Reply("A", delay_s=30)]
    left = ranker.left
    call, number = client.begin("recognize_image", data=data(draw("red", 96)))
    until(lambda: ranker.open)
    client.cancel(number)
    with pytest.raises(McpError, match="cancelled"):
        call.result(timeout=10)
    until(lambda: ranker.left == left + 1)
    assert not client.call("list_memories").isError  # others go on


def test_calls_run_together(client, ranker):
    """Four wait for the model at once, and meanwhile a fifth is answered."""
    ranker.script = [Reply("A", delay_s=1.0)]
    calls = [
        client.begin("recognize_image", data=data(draw("green", seed)))[0] for seed in range(4)
    ]
    until(lambda: ranker.open == 4)
    assert not client.call("list_memories").isError
    assert ranker.open == 4
    assert [call.result(timeout=10).isError for call in calls] == [False] * 4


def test_resources(client):
    listed = client.do(client.session.list_resources).resources
    assert [str(one.uri) for one in listed] == ["rar://memories", "rar://memories/colours"]
    templates = client.do(client.session.list_resource_templates).resourceTemplates
    assert [one.uriTemplate for one in templates] == [
        "rar://memories/{name}",
        "rar://memories/{name}/categories/{page}",
    ]

    def read(uri):
        [content] = client.do(client.session.read_resource, uri).contents
        assert content.mimeType == "application/json"
        return json.loads(content.text)

    assert read("rar://memories")["memories"][0]["name"] == "colours"
    memory = read("rar://memories/colours")
    assert (memory["categories"], memory["encoder"]) == (6, "builtin")
    page = read(memory["first"])
    assert (page["pages"], page["next"], len(page["categories"])) == (1, None, 6)
    assert page["categories"][0] == {"name": "red", "parent": "warm", "exemplars": 3}
    for uri in ("rar://memories/nosuch", "rar://memories/colours/categories/2", "rar://x/y"):
        with pytest.raises(McpError) as error:
            read(uri)
        assert error.value.error.code == -32002


def generation(client):
    [content] = client.do(client.session.read_resource, "rar://memories/colours").contents
    return json.loads(content.text)["generation"]


def test_what_a_person_approves_is_taught(client, ranker):
    before = generation(client)
    arguments = {"category": "yelow", "data": [data(draw("yellow", 1))], "description": "Sunny."}
    for answer in ({"action": "decline"}, {"action": "cancel"}):
        client.answer = answer
        result = client.call("teach_category", **arguments)
        assert result.isError
        assert f"said {answer['action']}" in text(result)
    assert generation(client) == before
    client.answer = {"action": "accept", "content": {"category": "yellow", "description": "Sunny."}}
    taught = client.call("teach_category", **arguments)
    assert text(taught) == "Memory 'colours' learnt 1 of 'yellow'."
    question = client.asked[-1]
    assert "Teach memory 'colours' 1 photo of 'yelow', a new category." in question.message
    assert question.requestedSchema["properties"]["category"]["default"] == "yelow"
    assert generation(client) == before + 1
    ranker.script = [Reply("no letter")]
    result = client.call("recognize_image", data=data(draw("yellow", 1)))
    best = result.structuredContent["categories"][0]["category"]
    assert (best["name"], best["description"]) == ("yellow", "Sunny.")


def test_a_client_that_cannot_ask_a_person_teaches_nothing(variables):
    with Client(over_stdio(variables, "--teach")) as silent:
        result = silent.call("teach_category", category="pink", data=[data(draw("pink", 1))])
    assert result.isError
    assert "cannot ask a person" in text(result)


def test_what_may_not_be_read_is_not_taught(client, photos):
    asked = len(client.asked)
    path = str(photos / "closed" / "red.png")
    result = client.call("teach_category", category="red", images=[path])
    assert "not a file under the folders" in text(result)
    assert "Name 1 to 16" in text(client.call("teach_category", category="red"))
    assert len(client.asked) == asked


def test_langchain_agents_get_the_tools(client, photos, red):
    async def run():
        tools = await load_mcp_tools(client.session)
        call = {"name": "recognize_image", "args": {"image": "red.png"}, "id": "c"}
        scripted = model(AIMessage("", tool_calls=[{**call, "type": "tool_call"}]), "It is red.")
        agent = create_agent(scripted, tools=tools)
        return await agent.ainvoke({"messages": [HumanMessage("What is it?")]})

    state = client.do(run)
    [message] = tool_messages(state)
    assert "Answer: red" in message.text
    found = message.artifact["structured_content"]
    assert Recognition.model_validate(found).label == "red"
    assert state["messages"][-1].text == "It is red."


GREETING = {
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
NOISY = """
import os, pathlib, threading, time
def speak():
    while not pathlib.Path({go!r}).exists():
        time.sleep(0.01)
    print("printed", flush=True)
    os.system("echo from a child; cat")
threading.Thread(target=speak, daemon=True).start()
"""


def ask(process, **message):
    """One request, and the next line of the answer."""
    process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, **message}) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


@pytest.fixture
def raw(variables, tmp_path):
    """A server's process that was greeted, and that prints when there is a file `go`."""
    (tmp_path / "sitecustomize.py").write_text(NOISY.format(go=str(tmp_path / "go")))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    given = {**os.environ, **variables, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen([COMMAND, "mcp"], env=given, text=True, **pipes) as process:
        assert ask(process, **GREETING)["result"]["serverInfo"]["name"] == "rar-agent"
        yield process
        process.kill()


def test_what_prints_does_not_disturb_the_protocol(raw, tmp_path):
    (tmp_path / "go").touch()
    assert [raw.stderr.readline() for _ in range(2)] == ["printed\n", "from a child\n"]
    assert ask(raw, method="ping") == {"jsonrpc": "2.0", "id": 1, "result": {}}


@pytest.mark.parametrize("ending", ["end of input", signal.SIGTERM, signal.SIGINT])
def test_it_ends_without_a_word(raw, ending):
    if isinstance(ending, str):
        raw.stdin.close()
    else:
        raw.send_signal(ending)
    assert raw.wait(timeout=20) == 0
    assert (raw.stdout.read(), raw.stderr.read()) == ("", "")


def test_what_the_greeting_takes_is_light():
    heavy = "'torch', 'faiss', 'numpy', 'PIL', 'langchain_core', 'langgraph'"
    code = (
        "import sys, rar_agent.cli, rar_agent.agents.mcp.server, rar_agent.agents.mcp.stdio; "
        f"print([m for m in ({heavy}) if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells")
def test_torch_is_not_there_before_it_is_needed(raw):
    assert "libtorch" not in Path(f"/proc/{raw.pid}/maps").read_text()
