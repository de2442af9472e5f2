import asyncio
import gc
import threading
import time
import weakref

import numpy as np
import pytest

from rar_agent import Failure, Recognition, Recognizer, models
from rar_agent.errors import ImageError, NotFoundError
from rar_agent.graph import build
from rar_agent.images import admit, to_picture
from rar_agent.loop import Call
from rar_agent.memory import add_to_memory, create_memory, delete_memory, read_folder
from tests.conftest import COLOURS, draw, eventually
from tests.openai_server import Reply, pictures_of


@pytest.fixture(scope="module")
def place(tmp_path_factory, builtin, discs):
    folder = tmp_path_factory.mktemp("recognizer-home")
    create_memory(folder, "discs", builtin, read_folder(discs))
    return folder


@pytest.fixture
def recognizer(place):
    return Recognizer("discs", home=place, device="cpu", batch_size=4)


def comparable(recognition):
    return [(c.category.name, round(c.probability, 5)) for c in recognition.categories]


def test_batch_single_stream_and_async_agree(recognizer):
    images = [draw(colour, 99) for colour in COLOURS]
    singles = [comparable(recognizer.recognize(image)) for image in images]
    assert [comparable(r) for r in recognizer.recognize_batch(images)] == singles
    assert [comparable(r) for r in recognizer.stream(iter(images))] == singles

    async def together():
        return await asyncio.gather(*(recognizer.arecognize(image) for image in images))

    assert [comparable(r) for r in asyncio.run(together())] == singles


def test_one_bad_image_is_one_failure_in_its_place(recognizer, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    good = draw("red", 99)
    results = recognizer.recognize_batch([good, tmp_path / "bad.png", np.zeros(3), good, b""])
    kinds = [type(result) for result in results]
    assert kinds == [Recognition, Failure, Failure, Recognition, Failure]
    assert results[1].source.endswith("bad.png")
    with pytest.raises(ImageError):
        recognizer.recognize(tmp_path / "bad.png")


def test_errors_that_concern_every_image_are_raised(place):
    with pytest.raises(NotFoundError):
        Recognizer("nosuch", home=place).recognize_batch([draw("red", 1)])
    assert Recognizer("discs", home=place).recognize_batch([]) == []


def test_choices_of_a_call(recognizer):
    assert len(recognizer.recognize(draw("red", 99), k=2).categories) == 2
    nearest = recognizer.recognize(draw("red", 99), method="knn")
    assert nearest.trace.method.startswith("knn")
    assert not nearest.trace.calibrated


def test_the_same_image_gives_the_same_answer(recognizer, place):
    again = Recognizer("discs", home=place, device="cpu")
    first, second = recognizer.recognize(draw("red", 99)), again.recognize(draw("red", 99))
    assert first.categories == second.categories
    assert first.trace.encoder == second.trace.encoder


def test_a_recognition_survives_json(recognizer):
    found = recognizer.recognize(draw("red", 99))
    assert Recognition.model_validate_json(found.model_dump_json()) == found


def test_many_threads_share_one(recognizer):
    expected = comparable(recognizer.recognize(draw("red", 99)))
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(comparable(recognizer.recognize(draw("red", 99))))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


async def test_callers_at_the_same_time_are_encoded_together(place, monkeypatch):
    one = Recognizer("discs", home=place, device="cpu", batch_size=4, encode_waiting=6)
    sizes, images = [], [draw(colour, seed) for seed in (71, 72) for colour in COLOURS]
    singles = [comparable(one.recognize(image)) for image in images]
    one.services._embeddings.clear()
    encoder = one.services.encoder
    encode = encoder.encode_prepared
    counted = lambda some: sizes.append(len(some)) or encode(some)  # noqa: E731
    monkeypatch.setattr(encoder, "encode_prepared", counted)
    found = await asyncio.gather(*(one.arecognize(image) for image in images * 2))
    assert [comparable(recognition) for recognition in found] == singles * 2
    assert sum(sizes) == len(images)  # each once
    assert max(sizes) <= 4
    assert len(sizes) < len(images)
    encoded = [one.trace.timings_ms["encode"] > 0 for one in found]
    assert sum(encoded) >= len(images)  # the others may find theirs known


async def test_coroutines_wait_for_a_place_in_no_thread(place):
    one = Recognizer("discs", home=place, device="cpu", encode_waiting=2)
    images = [draw(colour, seed) for seed in range(200, 208) for colour in COLOURS]  # many more
    asked = [*map(one.arecognize, images)]
    asked += [asyncio.to_thread(one.recognize, image) for image in images]  # all of asyncio's
    found = await asyncio.wait_for(asyncio.gather(*asked), 120)
    assert [recognition.label for recognition in found] == [f"{c} discs" for c in COLOURS] * 16


async def test_one_place_is_enough_for_all(place):
    one = Recognizer("discs", home=place, device="cpu", encode_waiting=1)
    images = [draw(colour, 73) for colour in COLOURS]
    asked = [one.arecognize(image) for image in images[:3]]
    asked += [asyncio.to_thread(one.recognize, image) for image in images[3:]]
    found = await asyncio.wait_for(asyncio.gather(*asked), 60)
    assert [recognition.label for recognition in found] == [f"{c} discs" for c in COLOURS]


async def test_who_is_cancelled_leaves_the_line_unread_and_unencoded(place, monkeypatch):
    one = Recognizer("discs", home=place, device="cpu", encode_waiting=2)
    embeddings, encode = one.services._embeddings, one.services.encoder.encode_prepared
    begun, go_on, sizes = threading.Event(), threading.Event(), []

    def held(some):
        sizes.append(len(some))
        begun.set()
        assert go_on.wait(30)
        return encode(some)

    monkeypatch.setattr(one.services.encoder, "encode_prepared", held)
    tasks = [asyncio.create_task(one.arecognize(draw("red", 80)))]
    await asyncio.to_thread(begun.wait, 30)
    tasks.append(asyncio.create_task(one.arecognize(draw("red", 81))))
    await asyncio.to_thread(eventually, lambda: embeddings._waiting)
    unread = asyncio.create_task(one.arecognize("not/there.png"))
    await asyncio.sleep(0.05)
    assert not unread.done()  # it has not been looked for yet
    tasks[1].cancel()
    with pytest.raises(ImageError):
        await asyncio.wait_for(unread, 30)  # its turn came while the encoder was still busy
    go_on.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in ended] == [Recognition, asyncio.CancelledError]
    assert sizes == [1]


async def test_large_images_of_many_callers_stay_until_they_are_done(place):
    one = Recognizer("discs", home=place, device="cpu")
    one.services.store._max_pixels = 1  # of an image, the next one takes its place
    asked = [one.arecognize(draw(colour, 74)) for colour in COLOURS[:3]]
    asked += [asyncio.to_thread(one.recognize, draw(colour, 74)) for colour in COLOURS[3:]]
    found = await asyncio.gather(*asked)
    assert [recognition.label for recognition in found] == [f"{c} discs" for c in COLOURS]


def test_models_are_asked_together_without_holding_threads(place, server):
    free = threading.Event()
    server.script = [Reply(GOOD.text, until=free)]
    recognizer = asking(place, server, model_requests=18)
    images = [draw(colour, 99) for colour in COLOURS] * 3

    async def together():
        tasks = [asyncio.create_task(recognizer.arecognize(image)) for image in images]
        await asyncio.to_thread(eventually, lambda: server.open == 18)
        free.set()
        return await asyncio.gather(*tasks)

    assert [found.trace.parse_status for found in asyncio.run(together())] == ["exact"] * 18


def test_settings_that_are_given_are_taken_as_they_are(place, monkeypatch):
    from rar_agent.settings import load_settings

    settings = load_settings(home=place)
    monkeypatch.setenv("RAR_MODEL", "openai:paid")
    assert Recognizer(settings=settings).settings.model is None


def test_settings_and_arguments(place):
    from rar_agent.settings import load_settings

    settings = load_settings(home=place, memory="discs", k=2)
    assert Recognizer(settings=settings).settings.k == 2
    assert Recognizer(settings=settings, k=3).settings.k == 3
    assert Recognizer(settings=settings, k=3).settings.memory == "discs"


GOOD = Reply("A > B > C > D > E")


def asking(place, server, **more):
    return Recognizer(
        "discs", "m", home=place, base_url=server.url, skip_ranking_at=1.01, device="cpu", **more
    )


def encoded(one):
    """Sizes of the batches that it encodes from now on."""
    sizes, embed_all = [], one.services.embed_all
    vars(one.services)["embed_all"] = lambda images, prepared: (
        sizes.append(len(images)) or embed_all(images, prepared)
    )
    return sizes


def test_calls_begin_before_a_whole_batch_is_encoded(place, server, recognizer):
    server.script = [Reply("A > B > C > D > E", delay_s=0.05)]
    images = [draw(colour, 300 + n) for colour in COLOURS for n in range(4)]
    one = asking(place, server, model_requests=2, batch_size=8)
    sizes = encoded(one)
    found = one.recognize_batch(images)
    assert [image.trace.parse_status for image in found] == ["exact"] * 24
    assert sizes[0] == 2
    assert max(sizes) <= 8
    assert sum(sizes) == 24
    sizes.clear()
    again = asyncio.run(one.arecognize_batch(images))
    assert sizes[0] == 2
    assert [comparable(one) for one in again] == [comparable(one) for one in found]
    sizes = encoded(recognizer)
    recognizer.recognize_batch(images)
    assert sizes == [4] * 6  # where nobody is asked, whole batches


@pytest.fixture
def held(server):
    """Asked about the first image of a stream, the server answers when this is set."""
    free, first = threading.Event(), to_picture(draw("red", 0)).jpeg
    late = Reply(GOOD.text, until=free)
    server.answer = lambda asked: late if first in pictures_of(asked) else GOOD
    yield free
    free.set()


def test_a_stream_reads_not_far_ahead_of_an_image_that_hangs(place, server, held, monkeypatch):
    one, read = asking(place, server, model_requests=2, batch_size=1), []
    known = [admit(draw("red", number)) for number in range(4)]
    one.services.embed_all(known)
    monkeypatch.setattr(one.services, "embed_all", lambda images, prepared: None)

    def images():
        for number in range(1_000):
            read.append(number)
            yield known[number and number % 3 + 1]

    stream = one.stream(images())
    reader = threading.Thread(target=next, args=(stream,))
    reader.start()
    eventually(lambda: len(server.requests) > 8)
    time.sleep(0.7)  # for more to be read, if it is
    count = len(read)
    held.set()
    reader.join()
    stream.close()
    assert count <= 1 + 8 + 2 + 1 + 4  # results, images on their way, a batch, those read at once


def test_what_is_done_is_given_though_the_first_image_hangs(place, server, held, tmp_path):
    one = asking(place, server, model_requests=2, batch_size=2)
    (tmp_path / "bad.png").write_bytes(b"no image")
    images = [draw("red", 0), *(draw("red", n) for n in range(1, 40)), tmp_path / "bad.png"]
    results = one.as_completed(images)
    first = [next(results) for _ in range(40)]
    held.set()
    [last] = results
    assert sorted(at for at, _ in first) == list(range(1, 41))
    assert [at for at, found in first if isinstance(found, Failure)] == [40]
    assert last[0] == 0
    single = {at: comparable(one.recognize(images[at])) for at in (0, 7, 39)}
    given = dict([*first, last])
    assert {at: comparable(given[at]) for at in single} == single


def test_a_stream_that_is_collected_on_the_loop_stops_nobody(place, server, held):
    one = asking(place, server, model_requests=2, batch_size=2, model_retries=0)
    stream = one.stream([draw("red", n) for n in (1, 0)])
    next(stream)
    left = [stream]
    del stream

    async def collected():
        left.clear()  # its last reference, as the garbage collector may find it here

    Call(collected()).done.result(20)
    assert one.recognize(draw("red", 9)).trace.parse_status == "exact"


def test_more_errors_than_one_are_not_logged(recognizer):
    logged = []

    async def ask():
        asyncio.get_running_loop().set_exception_handler(lambda _, told: logged.append(told))
        images = [draw("red", n) for n in range(12)]
        with pytest.raises(NotFoundError):
            await recognizer.arecognize_batch(images, only=["nosuch"])
        gc.collect()

    asyncio.run(ask())
    assert logged == []


@pytest.mark.parametrize("many", [True, False])
def test_langgraph_is_not_imported_on_the_callers_loop(place, server, monkeypatch, many):
    threads, made = [], build.build_recognize
    monkeypatch.setattr(
        build,
        "build_recognize",
        lambda **o: threads.append(threading.current_thread()) or made(**o),
    )
    one = asking(place, server)
    image = draw("red", 1)
    asyncio.run(one.arecognize_batch([image]) if many else one.arecognize(image))
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()


def test_a_model_is_not_loaded_on_the_callers_loop(place, server, monkeypatch):
    threads, load = [], models.load_chat_model
    monkeypatch.setattr(
        models, "load_chat_model", lambda s: threads.append(threading.current_thread()) or load(s)
    )
    asyncio.run(asking(place, server).arecognize_batch([draw("red", 1)]))
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()


def test_refresh_takes_what_was_taught_meanwhile(tmp_path, builtin):
    def taught():
        return create_memory(tmp_path, "grows", builtin, {"red": [draw("red", 1)]})

    taught()
    recognizer = Recognizer("grows", home=tmp_path, device="cpu")
    assert not recognizer.refresh()  # nothing was opened yet
    before = recognizer.recognize(draw("blue", 2))
    assert (before.label, recognizer.refresh()) == ("red", False)
    add_to_memory(tmp_path, "grows", builtin, {"blue": [draw("blue", 1)]})
    assert recognizer.recognize(draw("blue", 2)).label == "red"
    assert recognizer.refresh()
    after = recognizer.recognize(draw("blue", 2))
    assert after.label == "blue"
    assert after.trace.generation > before.trace.generation
    delete_memory(tmp_path, "grows")
    taught()  # anew: its generations count from the beginning
    assert recognizer.refresh()
    assert len(recognizer.recognize(draw("blue", 2)).categories) == 1


@pytest.mark.parametrize("asks", [False, True])
def test_a_memory_that_is_outdated_is_let_go_at_once(tmp_path, builtin, server, asks):
    """With its descriptors; the garbage collector may not come by for hours."""
    create_memory(tmp_path, "grows", builtin, {c: [draw(c, 1), draw(c, 2)] for c in COLOURS})
    more = {"model": "m", "base_url": server.url, "skip_ranking_at": 1.01} if asks else {}
    server.script = [GOOD]
    recognizer = Recognizer("grows", home=tmp_path, device="cpu", **more)
    recognizer.recognize(draw("red", 3))  # an open connection keeps what opened it
    recognizer.services = recognizer.services.anew()
    recognizer.recognize(draw("red", 3))
    old = weakref.ref(recognizer.services), weakref.ref(recognizer.memory)
    add_to_memory(tmp_path, "grows", builtin, {"blue": [draw("blue", 3)]})
    gc.collect()
    gc.disable()
    try:
        assert recognizer.refresh()
        assert [one() for one in old] == [None, None]
    finally:
        gc.enable()


async def test_who_waits_is_told_what_happens(place, server):
    told = []

    async def tell(said):
        told.append((said["step"], len(said["candidates"]) if said["step"] == "retrieved" else 0))

    server.script = [Reply("A")]
    asks = Recognizer(
        "discs", home=place, device="cpu", base_url=server.url, model="m", skip_ranking_at=1.01
    )
    found = await asks.arecognize(draw("red", 99), tell, k=3)
    assert told == [("retrieved", 3), ("ranking", 0)]
    assert comparable(found) == comparable(await asks.arecognize(draw("red", 99), k=3))
