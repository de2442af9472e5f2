"""Calibrating simulated models over HTTP on a real memory, and what recognition does with it.

The pictures are alike but for their shade, so that retrieval errs; a grey square in a corner tells
the simulated models the right answer.
"""

import io
import math
import threading

import numpy as np
import pytest
from PIL import Image

from rar_agent import Recognizer
from rar_agent.errors import ConfigurationError, InputError, ProviderError
from rar_agent.memory import add_to_memory, create_memory, open_memory
from tests.openai_server import Reply, options_of, pictures_of

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
    import shutil

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


def test_it_is_kept_and_belongs_to_one_way_of_asking(place, server):
    server.answer = model()
    record = recognizer(place, server).calibrate(calls=120)
    assert open_memory(place, "shades").manifest.rankers == (record,)
    unsure = next(
        image
        for i in range(50)
        if (image := picture(4, 900 + i)) and not sure(place, image, record)
    )
    same = recognizer(place, server).recognize(unsure)
    assert same.trace.calibrated
    other = recognizer(place, server, orders=2, skip_ranking_at=1.01).recognize(unsure)
    assert not other.trace.calibrated
    assert "not calibrated on memory 'shades'" in other.trace.probability_means
    again = recognizer(place, server).calibrate(calls=140)
    assert open_memory(place, "shades").manifest.rankers == (again,)


def sure(place, image, record):
    plain = Recognizer("shades", home=place, device="cpu").recognize(image)
    return plain.probability >= record.gate


def test_teaching_much_makes_it_stale(place, server, builtin):
    server.answer = model()
    recognizer(place, server).calibrate(calls=120)
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
