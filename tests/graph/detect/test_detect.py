import asyncio
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from PIL import Image

from rar_agent.detection import CropStyle, Proposal, crop
from rar_agent.errors import ImageError, InputError
from rar_agent.graph import Context, Services
from rar_agent.graph.asked import given
from rar_agent.graph.context import RefusedError
from rar_agent.graph.detect import build_detect
from rar_agent.graph.detect.crops import Crops
from rar_agent.images import admit
from rar_agent.memory import create_memory, read_folder
from rar_agent.recognizer import Recognizer
from rar_agent.settings import Settings, load_settings
from rar_agent.types import Detections
from tests.conftest import COLOURS, draw
from tests.openai_server import Reply

MEMORY = "detected-discs"  # a server's shared services are found by name
SIDE = 96
BOXES = [[column * SIDE, row * SIDE, SIDE, SIDE] for row in range(2) for column in range(3)]


@pytest.fixture(scope="module")
def place(tmp_path_factory, builtin, discs):
    place = tmp_path_factory.mktemp("detect-home")
    create_memory(place, MEMORY, builtin, read_folder(discs), domain="discs")
    return place


@pytest.fixture(scope="module")
def picture():
    """Six drawings beside each other, one of each category."""
    picture = Image.new("RGB", (3 * SIDE, 2 * SIDE), "white")
    for colour, (left, top, _, _) in zip(COLOURS, BOXES, strict=True):
        picture.paste(draw(colour, 7_011), (left, top))
    return picture


def recognizer(place, **options):
    given = {"home": place, "device": "cpu", "crop_scales": (1.0, 1.0, 1.0), **options}
    return Recognizer(MEMORY, **given)


def asking(place, server, **options):
    return recognizer(
        place, model="m", base_url=server.url, skip_ranking_at=1.01, model_retries=0, **options
    )


def question(request):
    """All text that a model was asked, and how many pictures."""
    parts = request["messages"][-1]["content"]
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    return text, sum(part["type"] == "image_url" for part in parts)


def worst_first(request):
    """An answer that puts the last letter of each crop first."""
    text, _ = question(request)
    numbers = re.findall(r"Options of crop (\d+):", text)
    said = re.split(r"Options of crop \d+:", text)[1:] if numbers else [text]
    orders = [sorted(re.findall(r"^([A-Z])\. ", one, re.M), reverse=True) for one in said]
    if not numbers:
        return Reply(json.dumps({"ranking": orders[0]}))
    return Reply(json.dumps(dict(zip(numbers, orders, strict=True))))


def test_each_box_has_its_own_answer_in_order(place, picture):
    found = recognizer(place).detect(picture, BOXES)
    assert [one.label for one in found.detections] == [f"{colour} discs" for colour in COLOURS]
    assert [list(one.box) for one in found.detections] == BOXES
    assert (found.width, found.height, found.proposer, found.asked) == (288, 192, "", 0)
    for one in found.detections:
        assert one.score == one.recognition.probability
        assert one.recognition.trace.ranker == "retrieval"
        assert one.recognition.source == f"{found.source}#{found.detections.index(one) + 1}"
    assert set(found.timings_ms) >= {"admit", "encode", "search"}


def test_a_box_is_recognised_as_its_crop_alone_would_be(place, picture):
    style = {"crop_blur": 0.05, "crop_square": True, "crop_scales": (1.5, 1.5, 1.5)}
    ours = recognizer(place, **style)
    box = (40.0, 20.0, 70.0, 50.0)
    (one,) = ours.detect(picture, [box]).detections
    alone = ours.recognize(crop(picture, box, CropStyle((1.5, 1.5, 1.5), True, 0.05)))
    assert one.recognition.image == alone.image
    assert one.recognition.categories == alone.categories
    assert one.recognition.familiarity == alone.familiarity


@pytest.mark.parametrize(
    ("boxes", "form"),
    [
        ([[0, 0, 96, 96]], "xyxy"),
        (np.array([[0.0, 0.0, 1 / 3, 0.5]]), "xywh-relative"),
        ([{"bbox": [0, 0, 96, 96], "score": None, "id": 5}], "xywh"),
    ],
)
def test_boxes_come_in_any_form(place, picture, boxes, form):
    (one,) = recognizer(place).detect(picture, boxes, form).detections
    assert one.box == pytest.approx((0, 0, 96, 96))
    assert one.label == "red discs"


def test_the_settings_style_is_the_usual_one():
    usual, settings = CropStyle(), Settings()
    assert settings.crop_scales == usual.scales
    assert (settings.crop_square, settings.crop_blur) == (usual.square, usual.blur)
    assert settings.crop_outline == usual.outline


def test_no_boxes_are_no_detections(place, picture, server):
    found = asking(place, server).detect(picture, [])
    assert found.detections == ()
    assert server.requests == []


def test_a_box_outside_fails_alone(place, picture):
    boxes = [[-50, -50, 20, 20], BOXES[1], [10_000, 0, 5, 5]]
    found = recognizer(place).detect(picture, boxes).detections
    assert [one.label for one in found] == [None, "green discs", None]
    assert "not in an image of 288x192" in found[0].failure.error
    assert found[0].score == 0
    (alone,) = recognizer(place).detect(picture, boxes[:1]).detections
    assert alone.failure.error == found[0].failure.error


def test_boxes_over_the_edge_tiny_and_twice(place, picture):
    boxes = [[-30, -30, 126, 126], BOXES[0], BOXES[0], [100.2, 100.3, 0.5, 0.5]]
    found = recognizer(place).detect(picture, boxes).detections
    assert found[0].box == (-30, -30, 126, 126)
    assert found[0].recognition.image == found[1].recognition.image  # what of it is in the image
    assert found[1].recognition.categories == found[2].recognition.categories
    assert found[3].recognition is not None


def test_a_box_that_is_none_and_too_many_are_refused(place, picture):
    with pytest.raises(InputError, match="Box 2"):
        recognizer(place).detect(picture, [BOXES[0], [1, 2, 3, float("nan")]])
    with pytest.raises(InputError, match="3 boxes were given, more than 2"):
        recognizer(place, max_boxes=2).detect(picture, BOXES[:3])
    with pytest.raises(InputError, match="k = 99"):
        recognizer(place).detect(picture, BOXES, k=99)


def test_thousands_of_boxes(place, picture, monkeypatch):
    ours = recognizer(place)
    encoder, known = ours.services.encoder, {}
    encode = encoder.encode_images_with_norms

    def once(images):  # six crops, again and again
        for image in images:
            if image.tobytes() not in known:
                known[image.tobytes()] = [row[0] for row in encode([image])]
        vectors, norms = zip(*(known[image.tobytes()] for image in images), strict=True)
        return np.stack(vectors), np.array(norms)

    monkeypatch.setattr(encoder, "encode_images_with_norms", once)
    numbers = np.random.default_rng(3).integers(0, 6, 3_000)
    found = ours.detect(picture, [BOXES[number] for number in numbers])
    assert [one.label for one in found.detections] == [f"{COLOURS[n]} discs" for n in numbers]
    assert len(known) == 6


class Halves:
    name = "halves"

    def propose(self, image):
        half = image.width / 2
        return [
            Proposal((0.0, 0.0, half, float(image.height)), 0.5, "left"),
            Proposal((half, 0.0, half, float(image.height)), 0.25, "right"),
        ]


def test_a_proposer_proposes_where_no_boxes_are_given(place, picture):
    ours = recognizer(place, proposer=Halves())
    found = ours.detect(picture)
    assert found.proposer == "halves"
    assert [one.box_score for one in found.detections] == [0.5, 0.25]
    for one in found.detections:
        assert one.score == pytest.approx(one.recognition.probability * one.box_score)
    assert "propose" in found.timings_ms
    assert ours.detect(picture, []).detections == ()  # none are some that were given
    with pytest.raises(InputError, match="no detector to propose"):
        recognizer(place).detect(picture)


def test_scores_weigh_the_boxes_own(place, picture):
    boxes = [{"box": BOXES[0], "score": 0.25}]
    (one,) = recognizer(place, box_weight=0.5).detect(picture, boxes).detections
    assert one.score == pytest.approx(one.recognition.probability * 0.5)


def test_a_model_is_asked_about_several_boxes_at_once(place, picture, server):
    server.answer = worst_first
    found = asking(place, server, crops_together=4, k=3).detect(picture, BOXES)
    assert found.asked == 6
    assert sorted(question(request)[1] for request in server.requests) == [2, 4]
    assert found.usage.input_tokens == 2 * 300
    plain = recognizer(place, k=3).detect(picture, BOXES)
    for one, before in zip(found.detections, plain.detections, strict=True):
        trace = one.recognition.trace
        assert (trace.ranker, trace.parse_status) == ("listwise", "exact")
        assert trace.prompt == "rank-crops@1"
        names = {c.category.name for c in one.recognition.categories}
        assert names == {c.category.name for c in before.recognition.categories}
        assert one.recognition.categories != before.recognition.categories


def test_only_what_can_gain_most_is_asked_about(place, picture, server):
    server.answer = worst_first
    found = asking(place, server, crops_together=2, crops_asked=3).detect(picture, BOXES)
    assert found.asked == 3
    assert len(server.requests) == 2
    assert found.reason == "3 of 6 boxes were not asked about: 3 at most"
    asked = [one for one in found.detections if one.recognition.trace.ranker == "listwise"]
    rest = [one for one in found.detections if one not in asked]
    assert (len(asked), len(rest)) == (3, 3)
    least = max(c.retrieval_probability for one in asked for c in one.recognition.categories)
    assert all(one.recognition.probability >= least for one in rest)
    assert all("not asked about" in one.recognition.trace.reason for one in rest)
    spared = asking(place, server, crops_asked=0).detect(picture, BOXES)
    assert spared.asked == 0
    assert len(server.requests) == 2


def test_a_call_that_fails_degrades_its_boxes_alone(place, picture, server):
    def answer(request):
        _, pictures = question(request)
        return Reply(status=500) if pictures == 4 else worst_first(request)

    server.answer = answer
    found = asking(place, server, crops_together=4, k=3).detect(picture, BOXES).detections
    assert [one.recognition.trace.degraded for one in found] == [True] * 4 + [False] * 2
    assert all("scripted 500" in one.recognition.trace.reason for one in found[:4])
    assert [one.label for one in found[:4]] == [f"{colour} discs" for colour in COLOURS[:4]]


@pytest.mark.parametrize("options", [{"crops_together": 1}, {"ranker": "choice"}])
def test_one_box_at_a_time(place, picture, server, options):
    server.answer = lambda request: (
        Reply("A", logprobs={"A": -0.1, "B": -3.0, "C": -4.0})
        if "ranker" in options
        else worst_first(request)
    )
    found = asking(place, server, k=3, **options).detect(picture, BOXES[:2])
    assert [question(request)[1] for request in server.requests] == [1, 1]
    prompts = {one.recognition.trace.prompt for one in found.detections}
    assert prompts == {"choice@1" if "ranker" in options else "rank-crop@1"}


async def test_without_blocking_the_loop(place, picture):
    said = []

    async def tell(step):
        said.append(step)

    ours = recognizer(place, batch_size=4)
    found = await ours.adetect(picture, BOXES, tell=tell)
    assert [one.label for one in found.detections] == [f"{colour} discs" for colour in COLOURS]
    assert [one["boxes"] for one in said if one["step"] == "encoded"] == [4, 6]


def services(place, **options):
    return Services(
        load_settings(home=place, memory=MEMORY, device="cpu", **options), authority="caller"
    )


def test_checkpoints_hold_plain_data_and_a_thread_begins_anew(place, picture):
    parts, graph = services(place), build_detect(InMemorySaver())
    sha256 = parts.store.put(admit(picture))
    config = {"configurable": {"thread_id": "1"}}

    def run(**given):
        given = {"image": sha256, **given}
        answer = graph.invoke(given, config, context=Context(services=parts))
        return Detections.model_validate(answer["detections"])

    assert len(run(boxes=BOXES).detections) == 6
    assert [one.label for one in run(boxes=BOXES[:1]).detections] == ["red discs"]
    run(boxes=[[100, 100, 150, 150]], form="xyxy")
    (later,) = run(boxes=[[100, 100, 150, 150]]).detections
    assert later.box == (100, 100, 150, 150)
    with pytest.raises(InputError, match="No boxes were given"):
        run()
    state = graph.get_state(config).values
    assert (state["found"], state["ranked"]) == ([], [])
    json.dumps(state)


def test_what_another_process_began_goes_on(place, picture, tmp_path):
    picture.save(tmp_path / "six.png")
    graph, config = build_detect(InMemorySaver()), {"configurable": {"thread_id": "1"}}
    given = {"image": str(tmp_path / "six.png"), "boxes": BOXES}

    def run(given, **options):
        context = Context(services=services(place, batch_size=4))
        return graph.invoke(given, config, context=context, **options)

    run(given, interrupt_before=["retrieve"])
    found = Detections.model_validate(run(None)["detections"])
    assert [one.label for one in found.detections] == [f"{colour} discs" for colour in COLOURS]
    run(given, interrupt_before=["retrieve"])
    picture.rotate(180).save(tmp_path / "six.png")
    with pytest.raises(ImageError, match="has changed since"):
        run(None)


async def test_many_at_once_encode_each_box_once_and_wait_for_none(place, picture, monkeypatch):
    ours = recognizer(place, batch_size=8)
    encoder, sizes = ours.services.encoder, []
    encode = encoder.encode_images_with_norms

    def counted(images):
        sizes.append(len(images))
        return encode(images)

    monkeypatch.setattr(encoder, "encode_images_with_norms", counted)
    random = np.random.default_rng(1)
    boxes = [[x, y, 40, 40] for x, y in random.integers(0, 100, (120, 2)).tolist()]
    other = picture.transpose(Image.Transpose.ROTATE_180)
    ended = []

    async def run(image, boxes, name):
        found = await ours.adetect(image, boxes)
        ended.append(name)
        return found

    many = asyncio.create_task(run(picture, boxes, "many"))
    await asyncio.sleep(0.05)
    few = await run(other, BOXES[:3], "few")
    assert len((await many).detections) == 120
    assert ended == ["few", "many"]
    assert [one.label for one in few.detections] == [f"{c} discs" for c in reversed(COLOURS[3:])]
    assert sorted(sizes) == [3] + [8] * 15


def test_crops_wait_for_room_and_not_in_memory(place, picture, server, monkeypatch):
    held, most = [], []
    made = Crops.of

    def counted(self, box):
        held.append(server.open)
        return made(self, box)

    monkeypatch.setattr(Crops, "of", counted)

    def answer(request):
        most.append(len(held))
        time.sleep(0.05)
        return worst_first(request)

    server.answer = answer
    ours = asking(place, server, crops_together=1, model_requests=2, k=2)
    assert ours.detect(picture, BOXES * 3).asked == 18
    encoded = len(BOXES) * 3
    assert most[0] - encoded <= 2  # of two requests, and not of all that are to come


class Odd:
    name = "odd"

    def propose(self, image):
        return [
            Proposal((0, 0, 96, 96), 1.0 + 1e-7, id=3),
            {"box": [96, 0, 96, 96], "score": 0.5},
            [192, 0, 96, 96],
        ]


def test_whatever_a_proposer_gives_is_checked(place, picture):
    class Plain(Odd):
        def propose(self, image):
            return super().propose(image)[2:]

    class Own(Odd):
        def propose(self, image):
            return super().propose(image)[:1]

    (one,) = recognizer(place, proposer=Own()).detect(picture).detections
    assert (one.id, one.box_score) == ("3", 1.0)
    (one,) = recognizer(place, proposer=Plain()).detect(picture).detections
    assert one.label == "blue discs"
    with pytest.raises(InputError, match="Box"):
        recognizer(place, proposer=Odd()).detect(picture)


def test_small_relative_boxes_are_what_they_are_said_to_be(place, picture):
    (one,) = recognizer(place).detect(picture, [[0, 0, 0.003, 0.004]], "xyxy-relative").detections
    assert one.box == pytest.approx((0, 0, 0.864, 0.768))


def test_the_prompt_for_images_is_none_of_its_business(place, picture, server):
    server.answer = worst_first
    ours = asking(place, server, prompt="nosuch@1", k=3)
    (one,) = ours.detect(picture, BOXES[:1]).detections
    assert one.recognition.trace.prompt == "rank-crop@1"
    assert one.recognition.trace.ranker == "listwise"


def test_names_and_traces_of_detect(place, picture, server):
    parts = Services(load_settings(home=place, memory=MEMORY, device="cpu"), "caller")
    sha256 = parts.store.put(admit(picture))
    answer = build_detect().invoke(
        {"image": sha256, "boxes": BOXES[:1], "source": "x" * 10_000},
        context=Context(services=parts),
    )
    assert len(Detections.model_validate(answer["detections"]).source) == 300
    asked = given(asking(place, server).services, admit(picture), {}, boxes=True)
    assert asked["config"]["metadata"]["rar_prompt"] == "rank-crop@1"


def test_a_servers_client_is_told_what_is_wrong(place, picture, tmp_path, monkeypatch):
    monkeypatch.setenv("RAR_HOME", str(place))
    monkeypatch.setenv("RAR_ROOTS", str(tmp_path))
    monkeypatch.setenv("RAR_MEMORY", MEMORY)
    picture.save(tmp_path / "six.png")
    graph = build_detect()
    for wrong, said in (
        ({"boxes": [[1, 2]]}, "Box 1"),
        ({"boxes": [[1, 2, 3, 4]], "form": "yolo"}, "yolo"),
        ({"boxes": "all"}, "all"),
        ({}, "no detector"),
    ):
        with pytest.raises(RefusedError, match=said):
            graph.invoke({"image": "six.png", **wrong}, context=Context(memory=MEMORY))
    answer = graph.invoke({"image": "six.png", "boxes": BOXES[:1]}, context=Context(memory=MEMORY))
    assert Detections.model_validate(answer["detections"]).detections[0].recognition


def test_the_document_shows_the_graph():
    text = (Path(__file__).parents[3] / "docs" / "architecture.md").read_text()
    drawn = build_detect().get_graph().draw_mermaid().strip()
    assert drawn in text, f"put this into docs/architecture.md:\n{drawn}"
