"""Calibrating simulated models over HTTP on a real memory, and what recognition does with it.

The pictures are alike but for their shade, so that retrieval errs; a grey square in a corner tells
the simulated models the right answer.
"""

import io
import itertools
import math
import shutil
import signal
import threading
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from rar_agent import Recognizer
from rar_agent.errors import BusyError, ConfigurationError, InputError, ProviderError
from rar_agent.memory import add_to_memory, create_memory, open_memory, update_category
from rar_agent.memory.format.lock import writer_lock
from rar_agent.memory.rankers import keep_ranker
from rar_agent.ranking import choice
from tests.openai_server import OpenAIServer, Reply, options_of, pictures_of

CATEGORIES, EACH, STEP = 10, 14, 24
NAMES = [f"shade {c}" for c in range(CATEGORIES)]


def picture(category, seed):
    random = np.random.default_rng([category, seed])
    shade = 110 + 4.0 * category + random.normal(0, 4)
    pixels = np.clip(random.normal(shade, 25, (64, 64, 3)), 0, 255).astype(np.uint8)
    pixels[:16, :16] = STEP * category
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def taught(tmp_path_factory, builtin):
    home = tmp_path_factory.mktemp("shades")
    images = {name: [picture(c, i) for i in range(EACH)] for c, name in enumerate(NAMES)}
    create_memory(home, "shades", builtin, images, domain="shades", thumbnails=64)
    memory = open_memory(home, "shades")
    assert memory.calibrated
    assert memory.manifest.fit.top1 < 0.9
    return home


@pytest.fixture
def place(taught, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(taught, tmp_path / "home")
    return tmp_path / "home"


def model(accuracy=1.0, letters=None, seed=0):
    """A simulated model that sees the corner; wrong answers are any of the other options."""
    random, lock = np.random.default_rng(seed), threading.Lock()

    def answer(request):
        pixel = np.asarray(Image.open(io.BytesIO(pictures_of(request)[0])).convert("L"))[:12, :12]
        truth = NAMES[round(float(pixel.mean()) / STEP)]
        shown = options_of(request)
        with lock:
            right = [c for c, name in shown.items() if name == truth]
            others = [c for c in shown if c not in right]
            chosen = right if right and random.random() < accuracy else others
            best = letters or chosen[int(random.integers(len(chosen)))]
        logprobs = {c: math.log(0.02 / len(shown)) for c in shown}
        return Reply(
            best, logprobs={best: math.log(0.98), **{c: logprobs[c] for c in shown if c != best}}
        )

    return answer


def recognizer(place, server, **more):
    asked = {"ranker": "choice", "model_retries": 0, "home": place, "device": "cpu", **more}
    return Recognizer("shades", "openai:m", base_url=server.url, **asked)


@pytest.fixture(scope="module")
def known(taught, tmp_path_factory):
    """What is found of a model that knows."""
    copy = tmp_path_factory.mktemp("known") / "home"
    shutil.copytree(taught, copy)
    with OpenAIServer() as server:
        server.answer = model()
        return recognizer(copy, server, cache_mb=0).calibrate(calls=120)


@pytest.fixture
def record(known, place, server):
    """The same, kept in the copy as if it had been found at this test's server."""
    server.answer = model()
    services = recognizer(place, server).services
    assert services.ranker.asks
    found = known.model_copy(update={"server": services.server})
    keep_ranker(place, "shades", found)
    return found


def answers(one, count=4, first=500):
    """Recognitions of new images, and their right names."""
    asked = [(name, picture(c, first + i)) for c, name in enumerate(NAMES) for i in range(count)]
    return [(one.recognize(image), name) for name, image in asked]


def right(found):
    return float(np.mean([r.categories[0].category.name == name for r, name in found]))


def test_a_model_that_knows_is_believed_and_asked_where_it_helps(place, server):
    server.answer = model()
    one = recognizer(place, server)
    record = one.calibrate(calls=120)
    assert record.calls == len(server.requests) <= 120
    assert record.weight > 0.5
    assert record.ranked_top1 > record.retrieval_top1 + 0.2
    assert record.bias < 0.2
    assert 0 < record.asked_share < 1
    assert (record.input_tokens, record.output_tokens) == (300 * record.calls, 12 * record.calls)
    server.requests.clear()
    found = answers(one)
    ranked = [r for r, _ in found if r.trace.ranker == "choice"]
    assert 0 < len(ranked) == len(server.requests) < len(found)
    plain = answers(Recognizer("shades", home=place, device="cpu"))
    assert right(found) > right(plain) + 0.1
    assert all(r.trace.calibrated for r in ranked)
    assert "calibrated on" in ranked[0].trace.probability_means
    skipped = next(r for r, _ in found if r.trace.ranker == "none")
    assert f"{record.gate:.2f} sure" in skipped.trace.reason


@pytest.mark.parametrize("accuracy", [0.0, 0.2])
def test_a_model_that_does_not_help_is_not_asked(place, server, accuracy):
    server.answer = model(accuracy)
    one = recognizer(place, server)
    assert one.calibrate(calls=120).weight < 0.1
    if accuracy == 0.0:
        server.requests.clear()
        found, plain = answers(one, 1), answers(Recognizer("shades", home=place, device="cpu"), 1)
        assert [r.categories for r, _ in found] == [r.categories for r, _ in plain]
        assert server.requests == []
        assert "no help" in found[0][0].trace.reason


def test_a_model_that_always_answers_a_leaves_the_retrieval_order(place, server):
    server.answer = model(letters="A")
    one = recognizer(place, server)
    record = one.calibrate(calls=120)
    assert record.bias == pytest.approx(1.0)
    assert record.weight == 0.0
    found, plain = answers(one, 1), answers(Recognizer("shades", home=place, device="cpu"), 1)
    assert [r.categories for r, _ in found] == [r.categories for r, _ in plain]


@pytest.mark.parametrize("way", ["listwise", "pairwise"])
def test_every_way_to_rank_is_calibrated(place, server, way):
    server.answer = model()
    one = recognizer(place, server, ranker=way)
    record = one.calibrate(calls=240)
    assert record.calls == len(server.requests) <= 240
    assert record.weight > 0.3
    assert (record.bias is None) == (way == "pairwise")
    assert right(answers(one, 2)) > record.retrieval_top1


def test_it_is_kept_and_belongs_to_one_way_of_asking(place, server, record):
    assert open_memory(place, "shades").manifest.rankers == (record,)
    unsure = next(
        image
        for i in range(50)
        if (image := picture(4, 900 + i)) and not sure(place, image, record)
    )
    same = recognizer(place, server).recognize(unsure)
    assert same.trace.calibrated
    assert recognizer(place, server, exemplars=5).recognize(unsure).trace.calibrated  # not shown
    smaller = recognizer(place, server, image_side=256, skip_ranking_at=1.01).recognize(unsure)
    assert "with photos of this size" in smaller.trace.probability_means
    other = recognizer(place, server, orders=2, skip_ranking_at=1.01).recognize(unsure)
    assert not other.trace.calibrated
    assert "not calibrated on memory 'shades'" in other.trace.probability_means
    again = recognizer(place, server).calibrate(calls=140)
    assert open_memory(place, "shades").manifest.rankers == (again,)


def sure(place, image, record):
    plain = Recognizer("shades", home=place, device="cpu").recognize(image)
    return plain.probability >= record.gate


def test_teaching_much_makes_it_stale(place, server, builtin, record):
    new = {name: [picture(c, 700 + i) for i in range(2)] for c, name in enumerate(NAMES)}
    add_to_memory(place, "shades", builtin, {NAMES[0]: new[NAMES[0]]})
    found = [r for r, _ in answers(recognizer(place, server), 1) if r.trace.ranker == "choice"]
    assert found[0].trace.calibrated
    add_to_memory(place, "shades", builtin, new)
    found = [r for r, _ in answers(recognizer(place, server), 1) if r.trace.ranker == "choice"]
    assert not found[0].trace.calibrated
    assert "changed much" in found[0].trace.probability_means


def test_an_error_rate_can_be_promised_of_ranked_answers(place, server):
    server.answer = model()
    recognizer(place, server).calibrate(calls=150)
    found = answers(recognizer(place, server, error_rate=0.2))
    accepted = [(r, name) for r, name in found if r.decision == "accepted"]
    assert any(r.trace.ranker == "choice" for r, _ in accepted)
    assert right(accepted) > 0.8
    assert all(r.probability >= r.trace.accepted_from for r, _ in accepted)
    ranked = {r.trace.accepted_from for r, _ in accepted if r.trace.ranker == "choice"}
    assert len(ranked) == 1
    assert recognizer(place, server).recognize(picture(0, 1)).trace.accepted_from is None


def wordy(ability):
    """The same model behind a server that tells no log-probabilities and cuts what it says."""

    def answer(request):
        reply = ability(request)
        if request.get("logprobs"):
            return Reply("The", finish="length")
        return Reply(f"{reply.text}")

    return answer


def unsure_images(place, record, count=4):
    """New images about which the model is asked."""
    found = (picture(c, 900 + i) for i in range(50) for c in (4, 5))
    return list(itertools.islice((one for one in found if not sure(place, one, record)), count))


def why(recognition):
    assert recognition.trace.ranker == "choice"
    assert not recognition.trace.calibrated
    return recognition.trace.probability_means


@pytest.mark.parametrize("calls", [60, 97])
def test_questions_that_are_asked_again_are_counted(place, server, calls, monkeypatch):
    monkeypatch.setattr(choice, "CUT_OFTEN", 1_000)  # a server that does it now and then
    server.answer = wordy(model())
    record = recognizer(place, server).calibrate(calls=calls)
    assert len(server.requests) <= calls
    assert record.calls == len(server.requests) > calls - 2 * 16
    assert record.worded == 1.0


def test_what_was_fitted_on_log_probabilities_is_not_used_on_words(place, server, record):
    assert record.worded == 0.0
    server.answer = wordy(model())
    one = recognizer(place, server, skip_ranking_at=1.01)
    found = [one.recognize(image) for image in unsure_images(place, record, 2)]
    assert all("calibrated on log-probabilities" in why(one) for one in found)
    server.answer = model()
    assert recognizer(place, server).recognize(unsure_images(place, record)[0]).trace.calibrated


def test_another_server_of_the_same_model_is_another_model(place, server, record):
    with OpenAIServer() as other:
        other.answer = model(0.0)
        one = recognizer(place, other, skip_ranking_at=1.01)
        found = one.recognize(unsure_images(place, record)[0])
        assert "at this server" in why(found)


def test_more_candidates_than_it_was_calibrated_on(place, server, record):
    image = unsure_images(place, record)[0]
    one = recognizer(place, server, skip_ranking_at=1.01)
    assert "on 5 candidates at most, not on 8" in why(one.recognize(image, k=8))
    assert one.recognize(image, k=4).trace.calibrated


def test_the_nearest_neighbour_is_not_believed_by_what_was_fitted(place, server, record):
    image, one = picture(4, 901), recognizer(place, server, orders=2, skip_ranking_at=1.01)
    before = one.recognize(image, method="knn")
    liking = record.model_copy(update={"prior": (0.6, 0.1, 0.1, 0.1, 0.1), "orders": 2})
    keep_ranker(place, "shades", liking)
    one = recognizer(place, server, orders=2, skip_ranking_at=1.01)
    after = one.recognize(image, method="knn")
    assert "not on knn's" in why(after)
    assert [c.probability for c in after.categories] == [c.probability for c in before.categories]
    fitted = one.recognize(image).categories
    keep_ranker(place, "shades", liking.model_copy(update={"prior": ()}))
    plain = recognizer(place, server, orders=2, skip_ranking_at=1.01).recognize(image).categories
    assert [c.probability for c in fitted] != [c.probability for c in plain]


def test_edited_texts_are_told(place, server, record):
    for name in NAMES[:2]:
        update_category(place, "shades", name, lambda: None, description="not as it was")
    one = recognizer(place, server, skip_ranking_at=1.01)
    found = one.recognize(unsure_images(place, record)[0])
    assert "descriptions changed" in why(found)


def test_nothing_is_asked_while_somebody_writes(place, server):
    server.answer = model()
    one = recognizer(place, server)
    with writer_lock(one.memory.folder), pytest.raises(BusyError):
        one.calibrate(calls=120)
    assert server.requests == []


def test_an_interrupt_sends_nothing_more(place, server):
    server.script = [Reply("A", delay_s=30)]

    def interrupt():
        while server.open < 3:
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    one = recognizer(place, server, model_requests=3)
    threading.Thread(target=interrupt, daemon=True).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        one.calibrate(calls=120)
    assert time.monotonic() - start < 20  # no answer was waited for
    time.sleep(0.3)
    assert (len(server.requests), server.open, server.left) == (3, 0, 3)
    assert open_memory(place, "shades").manifest.rankers == ()


def test_a_second_run_pays_for_nothing(place, server):
    server.answer = model()
    first = recognizer(place, server, cache_mb=10).calibrate(calls=100)
    again = recognizer(place, server, cache_mb=10).calibrate(calls=100)
    assert first.cached == 0
    assert again.cached == again.calls == first.calls == len(server.requests)
    assert again.weight == first.weight
    assert again.input_tokens == 0


def test_a_budget_of_questions(place, server):
    server.answer = model()
    one = recognizer(place, server)
    record = one.calibrate(calls=120, asked=0.3)
    assert record.budget == 0.3
    assert 0.2 < record.asked_share <= 0.3
    assert record.loss > 0.05  # which a model that knows everything would have gained
    found = answers(one)
    assert 0.1 < np.mean([r.trace.ranker == "choice" for r, _ in found]) < 0.5


@pytest.mark.parametrize(("way", "needed"), [("listwise", 35), ("choice", 40)])
def test_the_calls_that_it_says_it_needs_are_enough(place, server, way, needed):
    server.answer = model()
    with pytest.raises(InputError, match=f"Give --calls {needed} or more; nothing was asked yet"):
        recognizer(place, server, ranker=way).calibrate(calls=needed - 1)
    assert recognizer(place, server, ranker=way).calibrate(calls=needed).images >= 30


def test_a_few_images_are_asked_about_in_all_rotations(place, server):
    server.answer = model()
    record = recognizer(place, server, k=3).calibrate(calls=100)
    by_photo = Counter(pictures_of(request)[0] for request in server.requests)
    assert record.images == len(by_photo)  # what recognition asks is one of the rotations
    assert sum(count == 3 for count in by_photo.values()) == 5
    assert sum(count == 1 for count in by_photo.values()) == record.images - 5


def test_a_server_that_fails_keeps_nothing(place, server):
    server.script = [Reply(status=500)]
    with pytest.raises(ProviderError, match="scripted 500"):
        recognizer(place, server).calibrate(calls=120)
    assert len(server.requests) <= 32
    assert open_memory(place, "shades").manifest.rankers == ()


def test_some_failures_are_left_out(place, server):
    good, failing = model(), iter([True, False, False] * 100)
    server.answer = lambda request: Reply(status=500) if next(failing) else good(request)
    record = recognizer(place, server).calibrate(calls=150)
    assert 30 <= record.images < 120
    assert record.weight > 0.5


def test_what_cannot_be_calibrated_says_why(place, server, builtin, tmp_path):
    server.answer = model()
    with pytest.raises(InputError, match="20 calls are too few: at least 30 answers"):
        recognizer(place, server).calibrate(calls=20)
    with pytest.raises(InputError, match="0 are such that a model's answer could matter"):
        recognizer(place, server).calibrate(calls=120, loss=0.99)
    assert server.requests == []
    with pytest.raises(ConfigurationError, match="No model is set"):
        Recognizer("shades", home=place).calibrate()
    with pytest.raises(InputError, match="not calibrated"):
        Recognizer(
            "imagenet-1k", "openai:m", base_url=server.url, home=place, device="cpu"
        ).calibrate()
    files = {}
    for c, name in enumerate(NAMES):
        (tmp_path / name).mkdir()
        files[name] = [tmp_path / name / f"{i}.png" for i in range(EACH)]
        for i, file in enumerate(files[name]):
            picture(c, i).save(file)
    create_memory(place, "files", builtin, files)
    for name in NAMES:
        for file in files[name]:
            file.unlink()
    gone = Recognizer("files", "openai:m", base_url=server.url, home=place, device="cpu")
    with pytest.raises(InputError, match="have no picture any more"):
        gone.calibrate(calls=120)
