"""Boxes on the page: what may be written, and what is shown of each."""

import asyncio
import base64
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rar_agent.detection import CropStyle, crop
from rar_agent.errors import ImageError, InputError
from rar_agent.images import Policy, admit
from rar_agent.types import Detection, Detections, Failure
from rar_agent.ui import boxes
from rar_agent.ui.desk import Found
from rar_agent.ui.pictures import Pictures
from tests.conftest import draw
from tests.openai_server import Reply
from tests.ui.conftest import HOSTILE
from tests.ui.test_render import MARKUP, Read, recognition

SIZE = (640, 480)
HOW = "Write left, top, width and height in pixels of the photo, a box a line."
LENGTH = st.integers(2, 5_000) | st.floats(2, 5_000)
BOXES = st.lists(st.tuples(LENGTH, LENGTH, LENGTH, LENGTH), max_size=boxes.MOST)


@given(
    BOXES, st.sampled_from([", ", " ", ",", "\t", "; "]), st.sampled_from(["\n", "\n\n", "\r\n"])
)
def test_boxes_are_read_however_they_are_written(written, between, after):
    lines = after.join(between.join(map(repr, box)) for box in written)
    forms = [
        lines,
        f"\n{lines}{after}",
        json.dumps(written),
        json.dumps([{"bbox": box, "category_id": 3} for box in written], indent=2),
    ]
    for form in forms:
        assert [one.box for one in boxes.read(form, SIZE)] == written


@given(st.text() | st.sampled_from(["[[", "{}", "[1]", '{"a": 1}', "1e999 1 1 1", "nan 1 2 3"]))
def test_whatever_is_written_is_boxes_or_a_sentence(text):
    try:
        found = boxes.read(text, SIZE)
    except InputError as error:
        found, fix = [], error.fix
    else:
        fix = HOW
    assert len(found) <= len(text)
    assert fix == HOW


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("the cat", "'the cat' is no box"),
        ("1, 2, 3", "has 3 numbers"),
        ("10 10 0 10", "has no area"),
        ("0.1 0.1 0.5 0.5", "look relative"),
        ("[[1, 2, 3, 4]", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("inf 1 1 1", "not finite"),
        ("1 2 3 4\n" * 101, "101 boxes are written, and a page takes 100"),
    ],
)
def test_what_is_no_box_is_a_sentence(text, says):
    with pytest.raises(InputError, match=says):
        boxes.read(text, SIZE)


@pytest.mark.parametrize("text", [None, "", " \n ", "[]"])
def test_nothing_is_no_boxes(text):
    assert boxes.read(text, SIZE) == []


def both():
    """Green discs beside red ones, whose name is markup."""
    image = Image.new("RGB", (192, 96))
    image.paste(draw("green", 77), (0, 0))
    image.paste(draw("red", 77), (96, 0))
    return image


def asked(desk, photo, text, model=None, k=4):
    pictures = Pictures(Policy.of(desk.settings))
    return asyncio.run(boxes.ask(desk, pictures, photo, text, "colours", k, model, None))


HALVES = "0, 0, 96, 96\n96, 0, 96, 96"


def test_each_box_has_a_row_with_its_crop_and_evidence(desk, upload):
    html = asked(desk, upload(both()), f"{HALVES}\n500 500 10 10")
    read = Read(html)
    assert "3 boxes" in read.text
    assert "2 recognised" in read.text
    assert read.text.index("green") < read.text.index(HOSTILE) < read.text.index("failed")
    assert "Box [500.0, 500.0, 10.0, 10.0] is not in an image of 192x96 pixels" in read.text
    assert "retrieval alone, no model was asked" in read.text
    sources = [value for key, value in read.attributes if key == "src"]
    assert len(sources) == 1 + 2 * (1 + 3)  # the photo; of each box its crop and three exemplars
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    alts = [value for key, value in read.attributes if key == "alt"]
    assert len([alt for alt in alts if alt]) == len(sources)
    drawn = Image.open(io.BytesIO(base64.b64decode(sources[0].partition(",")[2])))
    assert drawn.size == (192, 96)
    assert ("data-say", "2 of 3 boxes recognised") in read.attributes


@pytest.mark.parametrize("scale", [1, 3])
def test_the_crop_that_is_shown_is_the_one_that_was_recognised(desk_of, upload, scale):
    desk = desk_of(crop_scales=(scale, scale, scale), crop_blur=0.0)
    read = Read(asked(desk, upload(both()), "0 0 96 96"))
    [_, source, *_] = [value for key, value in read.attributes if key == "src"]
    shown = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    style = CropStyle((scale, scale, scale), blur=0.0)
    expected = crop(both(), (0, 0, 96, 96), style, 160)
    assert shown.size == expected.size
    difference = np.abs(np.asarray(shown, float) - np.asarray(expected, float))
    assert difference.mean() < 4  # of JPEG


def test_a_box_that_holds_nothing_known_abstains(desk, upload, photo):
    image = Image.new("RGB", (400, 200))
    image.paste(draw("green", 77).resize((200, 200)), (0, 0))
    image.paste(admit(photo).rgb.resize((200, 200)), (200, 0))
    text = Read(asked(desk, upload(image), "0 0 200 200\n200 0 200 200")).text
    assert "1 recognised" in text
    assert "best guess: " in text
    assert "abstained: nothing similar enough" in text


def test_a_model_is_asked_about_boxes_where_one_is_chosen(desk_of, server, upload):
    desk = desk_of(model="test-model", base_url=server.url)
    server.script = [Reply("no letter", usage=(321, 45))]
    photo = upload(both())
    text = Read(asked(desk, photo, HALVES, "test-model")).text
    assert server.requests
    assert "test-model was asked about 2 boxes: rank-crop" in text
    assert "to openai:test-model" in text
    assert "degraded to the retrieval order" in text
    count = len(server.requests)
    assert "Nothing was sent anywhere" in asked(desk, photo, HALVES)
    assert len(server.requests) == count


def test_what_is_not_offered_or_no_photo_is_a_sentence(desk, upload):
    with pytest.raises(InputError, match="no photo yet"):
        asked(desk, None, HALVES)
    with pytest.raises(InputError, match="not offered"):
        asked(desk, upload(both()), HALVES, "openai:gpt-5")
    with pytest.raises(InputError, match="27 is no number"):
        asked(desk, upload(both()), HALVES, k=27)
    with pytest.raises(ImageError):
        asked(desk, upload(b"no image", "x.png"), HALVES)
    assert "0 boxes" in asked(desk, upload(both()), "[]")


@pytest.fixture(scope="module")
def shown(tmp_path_factory, taught_home):
    """HTML of detections of a drawing."""
    from rar_agent.settings import load_settings
    from rar_agent.ui.desk import Desk

    settings = load_settings(home=taught_home, memory="colours", device="cpu")
    desk = Desk(settings, tmp_path_factory.mktemp("uploads"))
    pictures, image = Pictures(Policy()), admit(draw("green", 1))

    def show(source, *found):
        whole = Detections(image="0", source=source, width=96, height=96, detections=found)
        return Read(boxes.show(desk, pictures, image, Found(whole, "<p>sent</p>", None), "colours"))

    return show


@given(MARKUP, MARKUP, MARKUP, MARKUP)
def test_names_are_text(shown, name, description, source, reason):
    def found(*given):
        failure = Failure(source=given[2], error=given[3], kind="InputError")
        return shown(
            given[2],
            Detection(box=(0, 0, 9, 9), recognition=recognition(*given)),
            Detection(box=(0, 0, 9, 9), failure=failure),
        )

    plain, read = found("a", "b", "c", "d"), found(name, description, source, reason)
    assert read.tags == plain.tags
    assert not {key for key, _ in read.attributes if key.startswith("on")}
    assert len([value for key, value in read.attributes if key == "src"]) == 3
    assert name in read.text
    assert reason in read.text
