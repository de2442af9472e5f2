"""What a client elsewhere is told of errors: no folder of this machine, no key, no traceback."""

import json
import re
import shutil
import sys

import httpx
import pytest
from mcp.shared.exceptions import McpError
from mcp.types import ListResourcesRequest, ListToolsRequest, ReadResourceRequest

from rar_agent.agents import knowledge
from rar_agent.agents.mcp import tools
from rar_agent.agents.mcp.server import build_server
from rar_agent.agents.mcp.tools import Tools
from rar_agent.errors import ConfigurationError
from rar_agent.memory import create_memory, read_folder
from rar_agent.settings import Settings
from rar_agent.types import Candidate, Exemplar
from tests.agents.mcp.conftest import BEARER, Client, data, http_server, over_http, text
from tests.agents.mcp.test_http import ACCEPT, GREETING
from tests.conftest import draw
from tests.openai_server import Reply

KEY = "sk-planted-0123456789"


@pytest.fixture(scope="module")
def damaged(home):
    """A memory beside the sound one, whose files are no longer what they were."""
    folder = next(home.rglob("colours"))
    shutil.copytree(folder, folder.with_name("damaged"))
    for file in folder.with_name("damaged").rglob("*.json"):
        file.write_text("{")
    return "damaged"


@pytest.fixture(scope="module")
def url(variables, damaged):
    given = {"OPENAI_API_KEY": KEY, "RAR_ROOTS": str(variables["RAR_HOME"])}
    with http_server({**variables, **given}) as (_, url):
        yield url


@pytest.fixture(scope="module")
def client(url):
    with Client(over_http(url)) as client:
        yield client


def shows_nothing(said, home):
    for secret in (str(home), sys.prefix, "site-packages", "Traceback", '.py"', KEY):
        assert secret not in said


def test_tools(client, ranker, home, damaged, tmp_path):
    picture = data(draw("red", 99))
    asked = [
        ("recognize_image", {"data": picture, "memory": damaged}),
        ("recognize_image", {"image": str(home / "none.png")}),
        ("recognize_image", {"image": str(tmp_path / "none.png")}),
        ("recognize_image", {"image": f"file://{next(home.rglob('*.json'))}"}),
        ("recognize_image", {"data": "no image"}),
        ("describe_category", {"category": "x", "memory": damaged}),
        ("recognise", {}),
    ]
    for tool, arguments in asked:
        result = client.call(tool, **arguments)
        assert result.isError, (tool, arguments)
        shows_nothing(text(result), home)
    listed = client.call("list_memories")
    [problem] = [m["problem"] for m in listed.structuredContent["memories"] if m["problem"]]
    assert "…/" in problem  # it does name a file
    shows_nothing(listed.model_dump_json(), home)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=401, body=json.dumps({"error": {"message": f"wrong key {KEY}"}}).encode()),
        Reply(status=500, body=f"Traceback: {KEY}".encode()),
        Reply(body=f"no JSON {KEY}".encode()),
        Reply(fault="reset"),
    ],
)
def test_a_model_that_fails(client, ranker, reply):
    ranker.script = [reply]
    result = client.call("recognize_image", data=data(draw("red", 99)))
    assert result.structuredContent["trace"]["degraded"]
    assert KEY not in result.model_dump_json()


def test_sources_of_exemplars(client, home, builtin, discs, ranker):
    create_memory(home, "folder", builtin, read_folder(discs))
    ranker.script = [Reply("A > B > C > D > E")] * 2
    for more in ({}, {"boxes": [[0, 0, 1, 1]]}):
        picture = data(draw("red", 99))
        result = client.call("recognize_image", data=picture, memory="folder", **more)
        sources = re.findall(r'"source":"([^"]*)","similarity"', result.model_dump_json())
        assert sources
        assert not any("/" in one for one in sources)
        assert str(discs) not in result.model_dump_json()


def test_who_shares_the_machine_is_told_where_exemplars_lie():
    exemplar = Exemplar(entry=1, source="/photos/of mine/wren.jpg", similarity=1)
    found = Candidate(
        category={"name": "wren"}, score=0, probability=1, evidence=(), exemplars=(exemplar,)
    )
    for remote, source in ((False, "/photos/of mine/wren.jpg"), (True, "wren.jpg")):
        [told] = Tools(Settings(), remote)._told(found)["exemplars"]
        assert told["source"] == source


def test_resources(client, home, damaged):
    shows_nothing(client.do(client.session.list_resources).model_dump_json(), home)
    for uri in (f"rar://memories/{damaged}", "rar://memories/none", f"file://{home}/x", "rar://x"):
        with pytest.raises(McpError) as refused:
            client.do(client.session.read_resource, uri)
        if not uri.startswith("file:"):  # its own words are said back
            shows_nothing(str(refused.value), home)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", BEARER),
        (b"[]", BEARER),
        (json.dumps({**GREETING, "method": "tools/none"}).encode(), BEARER),
        (json.dumps({**GREETING, "params": {"protocolVersion": 7}}).encode(), BEARER),
        (json.dumps(GREETING).encode(), {}),
        (json.dumps(GREETING).encode(), {**BEARER, "Mcp-Session-Id": "none"}),
        (json.dumps(GREETING).encode(), {**BEARER, "Host": "rebound.example"}),
    ],
)
def test_requests_that_are_none(url, home, body, headers):
    kind = {"Content-Type": "application/json"}
    answer = httpx.post(url, content=body, headers={**ACCEPT, **kind, **headers})
    assert answer.status_code >= 400 or "error" in answer.text
    shows_nothing(answer.text + str(answer.headers), home)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(13, "Permission denied", "/home/me/secret.json"), "A bug in rar-agent"),
        (ConfigurationError("'/home/me/secret.json' is broken."), "'…/secret.json' is broken"),
    ],
)
@pytest.mark.parametrize("over", [ListToolsRequest, ListResourcesRequest, ReadResourceRequest])
async def test_what_nobody_foresaw(settings, monkeypatch, caplog, error, says, over):
    def fail(*_):
        raise error

    monkeypatch.setattr(knowledge, "memories", fail)
    monkeypatch.setattr(tools, "_described", fail)
    server = build_server(settings, remote=True)
    given = {"params": {"uri": "rar://memories"}} if over is ReadResourceRequest else {}
    request = over(method=over.model_fields["method"].default, **given)
    with pytest.raises(McpError) as told:
        await server.request_handlers[over](request)
    assert says in str(told.value)
    assert "/home/me" not in str(told.value)
    assert ("/home/me" in caplog.text) == says.startswith("A bug")  # for who runs the server


@pytest.mark.parametrize("name", ["Jane Doe", "pictures, mine", "a: b;c", "plain"])
def test_folders_of_any_name_stay_here(tmp_path, monkeypatch, name):
    here = tmp_path / name
    (here / "rar").mkdir(parents=True)
    (tmp_path / "link, too").symlink_to(here)
    monkeypatch.setenv("HOME", str(here))
    roots = (tmp_path / "link, too" / "in put",)
    shown = Tools(Settings(home=here / "rar", roots=roots), remote=True).shown
    for said, told in {
        f"{here}/rar/memories/m/CURRENT is damaged.": "…/CURRENT is damaged.",
        f"'{here}/rar/memories/m/CURRENT' is damaged.": "'…/CURRENT' is damaged.",
        f"Restore {here}/rar/memories/m from a copy.": "Restore …/m from a copy.",
        f"See {roots[0]}/a b.png: none.": "See …/a b.png: none.",
        f"See {here}/in put/a.png: none.": "See …/a.png: none.",
        f"It is {here}.": "It is /….",
        "https://example.org/a/b.png is none": "https://example.org/a/b.png is none",
    }.items():
        assert shown(said) == told
    assert Tools(Settings(home="/")).shown("/a/b is none") == "/a/b is none"
    monkeypatch.setenv("HOME", "/")
    assert Tools(Settings(home="/"), remote=True).shown("/a/b is none") == "…/b is none"


async def test_on_the_same_machine_folders_are_told(settings, monkeypatch):
    def fail(*_):
        raise ConfigurationError(f"'/home/me/x.json' is broken, {KEY}.")

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(knowledge, "memories", fail)
    server = build_server(settings)
    with pytest.raises(McpError, match=r"/home/me/x\.json.*\[OPENAI_API_KEY\]"):
        await server.request_handlers[ListResourcesRequest](ListResourcesRequest())
