import asyncio
import threading

import numpy as np
import pytest

from rar_agent import Failure, Recognition, Recognizer
from rar_agent.errors import ImageError, NotFoundError
from rar_agent.memory import create_memory, read_folder
from tests.conftest import COLOURS, draw
from tests.openai_server import Reply


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


def test_models_are_asked_together_without_holding_threads(place, server):
    server.script = [Reply("A > B > C > D > E", delay_s=0.4)]
    recognizer = Recognizer(
        "discs", "m", home=place, base_url=server.url, skip_ranking_at=1.01, device="cpu"
    )
    images = [draw(colour, 99) for colour in COLOURS]
    recognizer.services.embed_all([])
    recognizer.recognize_batch(images)

    async def together():
        start = asyncio.get_running_loop().time()
        found = await asyncio.gather(*(recognizer.arecognize(i) for i in images * 3))
        return found, asyncio.get_running_loop().time() - start

    found, seconds = asyncio.run(together())
    assert all(r.trace.parse_status == "exact" for r in found if r.decision == "accepted")
    # One after another would be 18 x 0.4 s; this is no timing claim, only that they overlap.
    assert seconds < 18 * 0.4 * 0.6


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
