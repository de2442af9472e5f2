import json

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from rar_agent.errors import ImageError, InputError
from rar_agent.graph import Context, Services, build_recognize
from rar_agent.graph.context import RefusedError
from rar_agent.graph.detect import build_detect
from rar_agent.images import ImageStore, admit
from rar_agent.memory import create_memory, read_folder
from rar_agent.settings import load_settings
from rar_agent.types import Recognition
from tests.conftest import draw
from tests.openai_server import Reply


@pytest.fixture(scope="module")
def taught(tmp_path_factory, builtin, discs):
    place = tmp_path_factory.mktemp("graph-home")
    create_memory(place, "discs", builtin, read_folder(discs), domain="discs")
    return place


def services(taught, **options):
    given = {"home": taught, "memory": "discs", "device": "cpu", **options}
    return Services(load_settings(**given), authority="caller")


def run(parts, image, graph=None, config=None, **context):
    sha256 = parts.store.put(admit(image))
    answer = (graph or build_recognize()).invoke(
        {"image": sha256, "source": "query"}, config, context=Context(services=parts, **context)
    )
    return Recognition.model_validate(answer["recognition"])


def test_admit_retrieve_rank_conclude(taught):
    found = run(services(taught), draw("red", 99), k=3)
    assert found.label == "red discs"
    assert len(found.categories) == 3
    assert found.source == "query"
    assert found.trace.ranker == "retrieval"
    assert found.trace.parse_status == "not_asked"
    assert set(found.trace.timings_ms) == {"admit", "encode", "search", "rank"}
    assert found.trace.versions["rar-agent"]
    assert not found.trace.degraded


def test_the_model_reorders_and_the_trace_says_by_what(taught, server):
    parts = services(taught, model="m", base_url=server.url, skip_ranking_at=1.01)
    server.script = [Reply('{"ranking": ["A", "B", "C"]}')]
    found = run(parts, draw("red", 98), k=3)
    trace = found.trace
    assert (trace.ranker, trace.parse_status, trace.model) == ("listwise", "exact", "m")
    assert (trace.prompt, len(trace.prompt_hash)) == ("rank@1", 12)
    assert not trace.calibrated
    assert "uncalibrated" in trace.probability_means
    assert trace.usage.input_tokens == 300
    assert sum(c.probability for c in found.categories) == pytest.approx(
        sum(c.retrieval_probability for c in found.categories)
    )
    assert "discs" in server.requests[0]["messages"][0]["content"]


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(status=500), "scripted 500"),
        (Reply("I would rather not."), "names none of the options"),
        (Reply("no", refusal="no"), "names none of the options"),
    ],
)
def test_where_ranking_fails_the_retrieval_order_stays_degraded(taught, server, reply, says):
    server.script = [reply]
    asked = services(taught, model="m", base_url=server.url, model_retries=0, skip_ranking_at=1.01)
    found, plain = run(asked, draw("blue", 97)), run(services(taught), draw("blue", 97))
    assert found.trace.degraded
    assert says in found.trace.reason
    assert [c.category for c in found.categories] == [c.category for c in plain.categories]
    assert [c.probability for c in found.categories] == pytest.approx(
        [c.probability for c in plain.categories]
    )


def test_no_error_rate_is_promised_of_a_models_order(taught, server):
    server.script = [Reply("A")]
    asked = services(taught, model="m", base_url=server.url, error_rate=0.05, skip_ranking_at=1.01)
    found = run(asked, draw("blue", 97))
    assert found.decision == "abstained"
    assert "cannot be promised" in found.trace.abstained
    assert found.trace.parse_status in ("exact", "repaired")


def test_nothing_similar_abstains_without_asking(taught, server, photo):
    parts = services(taught, model="m", base_url=server.url)
    found = run(parts, photo)
    assert found.decision == "abstained"
    assert found.label is None
    assert "nothing similar enough" in found.trace.abstained
    assert found.categories  # best guesses
    assert server.requests == []


def test_sure_and_calibrated_retrieval_is_not_ranked(taught, server, tmp_path, builtin):
    folder = tmp_path / "many"
    for colour in ("red", "green", "blue"):
        (folder / colour).mkdir(parents=True)
        for i in range(40):
            draw(colour, i, 48).save(folder / colour / f"{i}.png")
    create_memory(tmp_path, "many", builtin, read_folder(folder))
    parts = services(tmp_path, memory="many", model="m", base_url=server.url, skip_ranking_at=0.6)
    found = run(parts, draw("red", 1_000, 48))
    assert found.trace.calibrated
    assert found.label == "red"
    assert "not ranked" in found.trace.reason
    assert server.requests == []

    trace = run(parts, draw("red", 1_001, 48), only=("red", "blue")).trace
    assert not trace.calibrated
    assert trace.probability_means.startswith("within a filter, where nothing was measured")


def test_unsure_calibrated_answers_are_abstained(taught, tmp_path, builtin):
    folder = tmp_path / "same"
    for name in "abcdef":  # six categories that look alike
        (folder / name).mkdir(parents=True)
        for i in range(20):
            draw("red", 1_000 * ord(name) + i, 48).save(folder / name / f"{i}.png")
    create_memory(tmp_path, "same", builtin, read_folder(folder))
    parts = services(tmp_path, memory="same", abstain_below=0.9)
    found = run(parts, draw("red", 5, 48))
    assert found.decision == "abstained"
    assert "not sure enough" in found.trace.abstained


def test_checkpoints_hold_handles_and_stay_small(taught):
    saver = InMemorySaver()
    graph = build_recognize(saver)
    config = {"configurable": {"thread_id": "1"}}
    run(services(taught), draw("red", 96, side=2_000), graph, config)
    states = list(saver.list(config))
    assert len(states) >= 4
    for state in states:
        text = json.dumps(state.checkpoint["channel_values"], default=repr)
        assert len(text) < 10_000
        assert "object at" not in text  # plain data only


async def test_async_gives_the_same(taught, server):
    server.script = [Reply("B > A > C > D > E")]
    parts = services(taught, model="m", base_url=server.url, skip_ranking_at=1.01)
    sha256 = parts.store.put(admit(draw("red", 99)))
    answer = await build_recognize().ainvoke({"image": sha256}, context=Context(services=parts))
    found = Recognition.model_validate(answer["recognition"])
    again = run(parts, draw("red", 99))
    assert found.categories == again.categories
    assert found.trace.parse_status == "exact"


def test_strings_in_a_run_without_services_are_a_models(home, tmp_path, monkeypatch):
    from rar_agent.graph import shared

    draw("red", 1).save(tmp_path / "in.png")
    graph = build_recognize()
    shared._newest.clear()
    with pytest.raises(RefusedError, match="RAR_ROOTS"):
        graph.invoke({"image": str(tmp_path / "in.png")})
    monkeypatch.setenv("RAR_ROOTS", str(tmp_path))
    shared._newest.clear()
    answer = graph.invoke({"image": "in.png"}, context=Context(k=2))
    assert len(answer["recognition"]["categories"]) == 2
    assert answer["recognition"]["trace"]["memory"] == "imagenet-1k"
    with pytest.raises(RefusedError, match="no memory 'nosuch'"):
        graph.invoke({"image": "in.png"}, context=Context(memory="nosuch"))
    shared._newest.clear()


@pytest.fixture
def others(home, tmp_path, monkeypatch):
    """The hash of an image that one client of a graph server named; others may name `own.png`."""
    from rar_agent.graph import shared

    draw("red", 2).save(tmp_path / "theirs.png")
    draw("blue", 2).save(tmp_path / "own.png")
    monkeypatch.setenv("RAR_ROOTS", str(tmp_path))
    shared._newest.clear()
    first = build_recognize().invoke({"image": "theirs.png"})
    (tmp_path / "theirs.png").unlink()  # so that who is answered has it from the store
    yield first["recognition"]["image"]
    shared._newest.clear()


@pytest.mark.parametrize("build", [build_recognize, build_detect])
def test_a_hash_is_no_image_s_name_where_clients_ask(others, build):
    with pytest.raises(RefusedError, match="open to models"):
        build().invoke({"image": others, "boxes": [[0, 0, 9, 9]]})


@pytest.mark.parametrize("named", ["hash", "own.png"])
def test_a_hash_that_a_client_writes_into_a_state_is_not_looked_up(others, named):
    graph, config = build_recognize(InMemorySaver()), {"configurable": {"thread_id": "2"}}
    graph.invoke({"image": "own.png"}, config)
    written = {"image": others if named == "hash" else named, "sha256": others}
    graph.update_state(config, written, as_node="admit")
    with pytest.raises(RefusedError, match=r"open to models|has changed since"):
        graph.invoke(None, config)


def test_services_sent_as_data_are_ignored():
    from rar_agent.graph.context import services_of

    assert isinstance(services_of(Context(services={"memory": "x"})), Services)


def test_a_hash_that_is_not_in_the_store_reads_nothing(taught):
    parts = Services(load_settings(home=taught, memory="discs"), store=ImageStore())
    with pytest.raises(ImageError):
        build_recognize().invoke({"image": "0" * 64}, context=Context(services=parts))


def test_the_drawing_in_the_docs_is_the_graph(request):
    text = (request.config.rootpath / "docs" / "architecture.md").read_text()
    drawn = build_recognize().get_graph().draw_mermaid().strip()
    assert drawn in text, f"put this into docs/architecture.md:\n{drawn}"


def test_a_threads_second_run_is_not_answered_by_its_first(taught, server, tmp_path):
    graph, config = build_recognize(InMemorySaver()), {"configurable": {"thread_id": "1"}}
    asked = services(taught, model="m", base_url=server.url, model_retries=0, skip_ranking_at=1.01)
    server.script = [Reply(status=500)]
    first = run(asked, draw("red", 99), graph, config)
    assert first.trace.degraded
    server.script = [Reply("A > B > C > D > E")]
    draw("blue", 99).save(tmp_path / "second.png")
    context = Context(services=asked)
    answer = graph.invoke({"image": str(tmp_path / "second.png")}, config, context=context)
    second = Recognition.model_validate(answer["recognition"])
    assert not second.trace.degraded
    assert second.trace.reason == ""
    assert second.source.endswith("second.png")
    plain = run(services(taught), draw("green", 99), graph, config)
    assert plain.trace.model == ""
    assert plain.categories == run(services(taught), draw("green", 99)).categories


def test_an_image_that_the_store_dropped_is_read_again(taught, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    for i in range(6):
        draw("red", i, 200).save(tmp_path / f"{i}.png")
    settings = load_settings(home=taught, memory="discs", roots=(tmp_path,))
    parts = Services(settings, store=ImageStore(max_pixels=1))
    graph = build_recognize()
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(
                lambda i: graph.invoke({"image": f"{i}.png"}, context=Context(services=parts)),
                range(6),
            )
        )
    assert len({answer["recognition"]["image"] for answer in answers}) == 6


@pytest.mark.parametrize("context", [{"k": 0}, {"k": -1}, {"k": 27}, {"k": "5"}, {"method": "x"}])
def test_what_a_run_chooses_is_checked(taught, context):
    with pytest.raises(InputError):
        run(services(taught), draw("red", 99), **context)


def test_one_candidate_is_not_ranked(taught, server):
    found = run(
        services(taught, model="m", base_url=server.url, skip_ranking_at=1.01), draw("red", 99), k=1
    )
    assert len(found.categories) == 1
    assert server.requests == []


def test_progress_is_streamed(taught, server):
    parts = services(taught, model="m", base_url=server.url, skip_ranking_at=1.01)
    server.script = [Reply('{"ranking": ["A", "B"]}')]
    given = {"image": parts.store.put(admit(draw("red", 98))), "source": "query"}
    stream = build_recognize().stream(
        given, context=Context(services=parts, k=2), stream_mode=["custom", "updates"]
    )
    told = [(mode, part) for mode, part in stream]
    steps = [part["step"] if mode == "custom" else next(iter(part)) for mode, part in told]
    assert steps == ["admit", "retrieved", "retrieve", "ranking", "rank", "conclude"]
    retrieved, ranking = (part for mode, part in told if mode == "custom")
    assert retrieved["candidates"][0]["name"] == "red discs"
    assert ranking == {"step": "ranking", "ranker": "listwise", "candidates": 2}
