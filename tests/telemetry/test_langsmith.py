"""LangSmith's tracing by its own variables: what arrives, and that no image does unless asked."""

import asyncio
import base64
import json

import langsmith
import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.tracers.langchain import wait_for_all_tracers
from langchain_openai import ChatOpenAI
from langsmith.utils import get_env_var

from rar_agent import make_recognize_image, trace_without_images
from rar_agent.agents import build_agent
from rar_agent.graph import Context, build_recognize
from rar_agent.settings import load_settings
from rar_agent.telemetry import start
from rar_agent.telemetry.tracing import _without
from tests.collector import runs_of
from tests.conftest import draw
from tests.openai_server import Reply, pictures_of, tool_call
from tests.telemetry.leaks import leaked

RANKED = Reply('{"ranking": ["B", "A", "C", "D", "E"]}')


@pytest.fixture
def traced(collector, monkeypatch):
    """What LangSmith was sent, asked for by its variables."""
    langsmith.configure(client=None)
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", collector.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", "lsv2_pt_0123456789")
    monkeypatch.setenv("LANGSMITH_PROJECT", "birds")
    get_env_var.cache_clear()

    def runs():
        wait_for_all_tracers()
        return runs_of(collector)

    yield runs
    wait_for_all_tracers()
    langsmith.configure(client=None)
    monkeypatch.undo()
    get_env_var.cache_clear()


def sent_of(collector):
    return b"\n".join(body for _, _, body in collector.posts)


def parents(runs):
    names = {run["id"]: run["name"] for run in runs}
    return [(run["name"], names.get(run.get("parent_run_id"))) for run in runs]


def descendants(runs, name):
    [top] = [run for run in runs if run["name"] == name]
    return [run for run in runs if run["dotted_order"].startswith(top["dotted_order"])]


NESTED = [
    ("recognize", None),
    ("admit", "recognize"),
    ("retrieve", "recognize"),
    ("rank", "recognize"),
    ("openai:m", "rank"),
    ("conclude", "recognize"),
]


@pytest.mark.parametrize("way", ["recognize", "arecognize", "recognize_batch"])
def test_a_recognition_is_a_run_with_its_parts_and_what_they_are_found_by(
    asking, server, collector, traced, photo, way
):
    server.script = [RANKED]
    recognizer = asking()
    if way == "arecognize":
        asyncio.run(recognizer.arecognize(photo))
    else:
        getattr(recognizer, way)([photo] if way == "recognize_batch" else photo)
    runs = traced()
    assert parents(runs) == NESTED
    for run in runs:
        assert run["session_name"] == "birds"
        assert "rar-agent" in run["tags"]
        metadata = run["extra"]["metadata"]
        assert metadata["rar_memory"] == "imagenet-1k"
        assert metadata["rar_generation"] == 1
        assert metadata["rar_encoder"].startswith("builtin ")
        assert metadata["rar_model"] == "openai:m"
        assert metadata["rar_prompt"] == "rank@1"
        assert len(metadata["rar_prompt_hash"]) == 12
    asked = runs[4]
    assert asked["run_type"] == "llm"
    usage = asked["outputs"]["generations"][0][0]["message"]["kwargs"]["usage_metadata"]
    assert usage["input_tokens"] == 300
    concluded = runs[5]["extra"]["metadata"]
    assert (concluded["rar_decision"], concluded["rar_degraded"]) == ("accepted", False)
    assert leaked(sent_of(collector), pictures_of(server.requests[0])) == []
    assert "sha256" in json.dumps(asked["inputs"])


def test_a_graph_of_ones_own_says_what_answered(asking, server, traced, photo):
    server.script = [RANKED]
    recognizer = asking()
    image = recognizer._admit(photo)
    context = Context(services=recognizer.services)
    build_recognize().invoke({"image": image.sha256}, context=context)
    conclude = traced()[-1]
    assert conclude["extra"]["metadata"]["rar_prompt"] == "rank@1"
    assert conclude["extra"]["metadata"]["rar_memory"] == "imagenet-1k"


def test_images_are_traced_where_that_is_asked(asking, server, collector, traced, photo):
    server.script = [RANKED]
    asking(trace_images=True).recognize(photo)
    traced()
    [picture] = pictures_of(server.requests[0])
    assert leaked(sent_of(collector), [picture])
    assert base64.b64encode(picture) in sent_of(collector)


def test_a_refusal_that_says_the_image_back(asking, server, collector, traced, photo):
    def echo(request):
        return Reply(status=400, body=json.dumps({"error": {"message": str(request)}}).encode())

    server.answer = echo
    found = asking().recognize(photo)
    assert found.trace.degraded
    runs = traced()
    assert "characters left out" in json.dumps(runs)
    assert leaked(sent_of(collector), pictures_of(server.requests[0])) == []


def test_options_that_may_hold_keys_are_not_traced(
    asking, server, collector, traced, photo, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-own-0123456789")
    server.script = [RANKED]
    url = server.url.replace("://", "://me:password@")
    options = {"default_headers": {"x-key": "sesame"}, "temperature": 0.5}
    asking(base_url=url, model_options=options).recognize(photo)
    assert b"sesame" in server.received[0]
    asked = traced()[4]
    assert asked["serialized"]["name"] == "ChatOpenAI"
    assert asked["extra"]["invocation_params"]["temperature"] == 0.5
    for secret in (b"sk-own-0123456789", b"sesame", b"password"):
        assert secret not in sent_of(collector)


def test_langchains_cache_takes_no_picture_or_model_for_another(asking, server, photo):
    server.script = [RANKED]
    set_llm_cache(InMemoryCache())
    try:
        asking().recognize(photo)
        asking().recognize(photo)
        assert len(server.requests) == 1
        asking().recognize(draw("red", 1))  # the same candidates or not: another picture
        asking(model_options={"top_p": 0.5}).recognize(photo)
        assert len(server.requests) == 3
    finally:
        set_llm_cache(None)


def conversation(photo):
    block = {
        "type": "image",
        "base64": base64.b64encode(photo.read_bytes()).decode(),
        "mime_type": "image/png",
    }
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, block]}]}


def agent_of(asking, server):
    server.script = [tool_call("recognize_image", image="image_1"), RANKED, Reply("A cat.")]
    model = ChatOpenAI(model="m", base_url=server.url, api_key="x", max_retries=0)
    return create_agent(model, tools=[make_recognize_image(asking())])


def test_in_an_agent_our_part_has_no_images_and_the_rest_is_the_users(
    asking, server, collector, traced, photo
):
    answer = agent_of(asking, server).invoke(conversation(photo))
    assert answer["messages"][-1].text == "A cat."
    runs = traced()
    ours = descendants(runs, "recognize_image")
    assert [run["name"] for run in ours[:2]] == ["recognize_image", "recognize"]
    assert "openai:m" in [run["name"] for run in ours]
    pictures = [photo.read_bytes(), *pictures_of(server.requests[1])]
    assert leaked(json.dumps(ours).encode(), pictures) == []
    assert leaked(sent_of(collector), pictures)  # the conversation that the user attached it to


def test_in_an_agent_nothing_has_images_where_they_are_left_out(
    asking, server, collector, traced, photo
):
    trace_without_images()
    agent_of(asking, server).invoke(conversation(photo))
    runs = traced()
    assert {"ChatOpenAI", "recognize_image", "recognize", "openai:m"} <= {r["name"] for r in runs}
    pictures = [photo.read_bytes(), *pictures_of(server.requests[1])]
    assert leaked(sent_of(collector), pictures) == []
    assert runs[0]["session_name"] == "birds"


def ours(asking, server):
    given = [tool_call("ask_field_guide", image="image_1")]
    given += [tool_call("recognize_image", image="image_1"), RANKED, Reply("The guide: a cat.")]
    server.script = [*given, Reply("A cat.")]
    model = ChatOpenAI(model="m", base_url=server.url, api_key="x", max_retries=0)
    return lambda **options: build_agent(model, asking(**options))


@pytest.mark.parametrize("images", [False, True])
def test_our_own_agent_leaves_images_out_unless_asked(
    asking, server, collector, traced, photo, images
):
    answer = ours(asking, server)(trace_images=images).invoke(conversation(photo))
    assert answer["messages"][-1].text == "A cat."
    runs = traced()
    assert {"agent", "field_guide", "recognize"} <= {run["name"] for run in runs}
    pictures = [photo.read_bytes()]
    assert bool(leaked(sent_of(collector), pictures)) == images


def test_a_client_of_the_programs_own_stays(asking, server, collector, traced, photo):
    client = langsmith.Client(hide_inputs=True)
    langsmith.configure(client=client)
    ours(asking, server)()
    assert langsmith.run_trees.get_cached_client() is client


def test_images_are_left_out_however_deep():
    deep = data = {"text": "a" * 300}
    for _ in range(50):
        data = [{"in": data}]
    found = json.dumps(_without(data))
    assert "300 characters left out" in found
    assert deep["text"] == "a" * 300  # what is traced is not what is used


def test_without_its_variables_nothing_is_traced(asking, server, collector, photo, monkeypatch):
    monkeypatch.setenv("LANGSMITH_ENDPOINT", collector.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", "lsv2_pt_0123456789")
    get_env_var.cache_clear()
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    trace_without_images()  # LangSmith's client would ask its server what it can do
    start(load_settings())
    build_agent("openai:m", asking())
    server.script = [RANKED]
    asking().recognize(photo)
    wait_for_all_tracers()
    assert langsmith.run_trees._CLIENT is None
    assert (collector.posts, collector.gets) == ([], [])
    get_env_var.cache_clear()
