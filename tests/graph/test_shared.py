"""The services of a graph server: what its clients choose, and what is taught meanwhile."""

import base64
import runpy
import shutil
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from rar_agent.errors import InputError, NotFoundError
from rar_agent.graph import Context, build_recognize, shared
from rar_agent.graph.context import RefusedError, services_of
from rar_agent.graph.detect import build_detect
from rar_agent.graph.services import Services
from rar_agent.graph.shared import Wanted, shared_services
from rar_agent.images import isolated
from rar_agent.memory import SampleReader, add_to_memory, create_memory, read_folder
from rar_agent.memory.readers import Sample
from rar_agent.settings import load_settings
from rar_agent.types import Category
from tests.conftest import draw
from tests.forks import Stuck, in_fork, needs_fork
from tests.images.hostile import encoded
from tests.openai_server import Reply

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def taught(tmp_path_factory, builtin, discs):
    home = tmp_path_factory.mktemp("shared-home")
    create_memory(home, "discs", builtin, read_folder(discs), domain="discs")
    return home


@pytest.fixture
def own(taught, tmp_path, monkeypatch):
    shutil.copytree(taught, tmp_path / "home")
    monkeypatch.setenv("RAR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAR_MEMORY", "discs")
    monkeypatch.setenv("RAR_ROOTS", str(tmp_path))
    monkeypatch.setenv("RAR_DEVICE", "cpu")
    shared._known.clear()
    shared._newest.clear()
    return tmp_path / "home"


def teach(home, builtin, name):
    pictures = [Sample(Category(name=name), draw("yellow", seed), "") for seed in range(6)]
    add_to_memory(home, "discs", builtin, SampleReader(pictures))


def test_what_is_taught_meanwhile_is_known_from_the_next_run_on(own, builtin, tmp_path):
    draw("yellow", 99).save(tmp_path / "new.png")
    graph = build_recognize()
    steps = graph.stream({"image": "new.png"}, context=Context(k=6), stream_mode="updates")
    began = next(steps)["admit"]["generation"]
    teach(own, builtin, "yellow discs")
    during = list(steps)[-1]["conclude"]["recognition"]
    after = graph.invoke({"image": "new.png"}, context=Context(k=6))["recognition"]
    names = [[c["category"]["name"] for c in found["categories"]] for found in (during, after)]
    assert "yellow discs" not in names[0]
    assert names[1][0] == "yellow discs"
    assert during["trace"]["generation"] == began < after["trace"]["generation"]


def test_a_run_chooses_ranker_and_prompt(own, tmp_path, server, monkeypatch):
    monkeypatch.setenv("RAR_BASE_URL", server.url)
    monkeypatch.setenv("RAR_MODEL", "m")
    monkeypatch.setenv("RAR_SKIP_RANKING_AT", "1.01")
    draw("red", 99).save(tmp_path / "red.png")
    server.script = [Reply("A", logprobs={"A": -0.1, "B": -3.0})]
    graph = build_recognize()
    for context, prompt in (
        (Context(), "rank@1"),
        (Context(ranker="choice"), "choice@1"),
        (Context(prompt="describe@1"), "describe@1"),
    ):
        found = graph.invoke({"image": "red.png"}, context=context)["recognition"]
        assert found["trace"]["prompt"] == prompt


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (Wanted(memory="nosuch"), NotFoundError),
        (Wanted(memory="../discs"), InputError),
        (Wanted(ranker="dice"), InputError),
    ],
)
def test_what_cannot_be_used_is_not_kept(own, wanted, error):
    with pytest.raises(error):
        shared_services(wanted)
    assert not shared._known


@pytest.mark.parametrize(
    ("image", "context", "says"),
    [
        ("red.png", {"memory": ["discs"]}, "'memory' = "),
        ("red.png", {"only": "red discs"}, "'only' = 'red discs'"),
        ("red.png", {"only": [5]}, "'only' = 5"),
        ("red.png", {"coverage": "high"}, "'coverage' = 'high'"),
        ("red.png", {"k": "many"}, "'k' = 'many'"),
        ({"path": "red.png"}, {}, "The image is a dict"),
    ],
)
def test_what_a_client_gives_of_another_type(own, tmp_path, image, context, says):
    draw("red", 99).save(tmp_path / "red.png")
    with pytest.raises(RefusedError, match=says):
        build_recognize().invoke({"image": image}, context=context)


def test_no_client_brings_services(own, tmp_path):
    draw("red", 99).save(tmp_path / "red.png")
    found = build_recognize().invoke({"image": "red.png"}, context={"services": "x", "k": "2"})
    assert len(found["recognition"]["categories"]) == 2


def test_clients_images_are_decoded_in_processes_of_their_own(own, tmp_path, monkeypatch):
    draw("red", 99).save(tmp_path / "red.png")
    for isolate, expected in (("auto", 1), ("0", 0)):
        monkeypatch.setenv("RAR_ISOLATE", isolate)
        shared._known.clear()
        shared._newest.clear()
        isolated._workers.close()
        build_recognize().invoke({"image": "red.png"})
        assert len(isolated._workers._all) == expected


def test_so_are_those_of_the_agent_that_is_served(own, monkeypatch):
    agent = runpy.run_path(str(ROOT / "graphs" / "agent.py"))["graph"]
    data = base64.b64encode(encoded(draw("red", 99), "PNG")).decode()
    image = {"type": "image", "base64": data, "mime_type": "image/png"}
    isolated._workers.close()
    monkeypatch.setattr("rar_agent.models.load_chat_model", _none)
    with pytest.raises(ConnectionError, match="asked"):
        agent.invoke({"messages": [{"role": "user", "content": [image]}]})
    assert len(isolated._workers._all) == 1


def _none(_):
    raise ConnectionError("asked")


@pytest.mark.parametrize("build", [build_recognize, build_detect])
def test_clients_are_told_no_folder_of_the_memory_s_photos(own, discs, tmp_path, build):
    draw("red", 99).save(tmp_path / "red.png")
    given = {"image": "red.png", "boxes": [[0, 0, 64, 64]]}
    graph, thread = build(InMemorySaver()), {"configurable": {"thread_id": "1"}}
    told = list(graph.stream(given, thread, stream_mode=["updates", "values", "custom"]))
    states = [state.values for state in graph.get_state_history(thread)]
    assert "'source': '" in str(told)
    assert str(discs) not in str(told) + str(states)
    parts = Services(load_settings(roots=(tmp_path,)), "caller")
    given["image"] = str(tmp_path / "red.png")
    assert str(discs) in str(build().invoke(given, context=Context(services=parts)))


def test_few_are_kept(own, monkeypatch):
    monkeypatch.setattr(shared, "_MOST", 2)
    chosen = [Wanted(ranker=way) for way in ("listwise", "choice", "pairwise")]
    first, *_ = [shared_services(one) for one in chosen]
    assert [one for one, _ in shared._known] == chosen[1:]
    assert set(shared._newest) == set(chosen[1:])
    assert shared_services(chosen[0]) is not first


def test_a_generation_that_is_no_longer_kept_is_answered_by_the_newest(own):
    assert services_of(Context(), generation=17) is services_of(Context())


@needs_fork
def test_a_fork_while_they_are_made(own, monkeypatch):
    stuck = Stuck()

    class Slow(Services):
        def __init__(self, *given, **named):
            stuck()
            super().__init__(*given, **named)

    monkeypatch.setattr(shared, "Services", Slow)
    with stuck.held(lambda: shared_services(Wanted())):
        assert in_fork(lambda: shared_services(Wanted()).memory)
