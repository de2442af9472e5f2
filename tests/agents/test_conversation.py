"""What counts as an image of a conversation, and how models name it."""

from dataclasses import make_dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from rar_agent import attach
from rar_agent.agents.conversation import find_image, handle_in, image_block, images_of
from rar_agent.errors import ImageError
from tests.agents.conftest import block
from tests.conftest import draw

URL = "https://example.com/x.png"
BASE64 = {"type": "image", "base64": "QUJD"}
LINK = {"type": "image", "url": URL}
FILE = {"type": "image", "file_id": "file-1"}
MIME = "image/png"
NONE = {"type": "image"}


@pytest.mark.parametrize(
    ("item", "found"),
    [
        ({"type": "image", "base64": "QUJD", "mime_type": MIME, "id": "x"}, BASE64),
        ({"type": "image", "source_type": "base64", "data": "QUJD", "mime_type": MIME}, BASE64),
        ({"type": "image", "data": "QUJD", "mimeType": MIME}, BASE64),
        ({"type": "image", "source": {"type": "base64", "data": "QUJD"}}, BASE64),
        ({"type": "file", "base64": "QUJD", "mime_type": MIME}, BASE64),
        ({"type": "media", "data": "QUJD", "mime_type": MIME}, BASE64),
        ({"type": "image", "source_type": "url", "url": URL}, LINK),
        ({"type": "image", "source": {"type": "url", "url": URL}}, LINK),
        ({"type": "image_url", "image_url": {"url": URL, "detail": "high"}}, LINK),
        ({"type": "image_url", "image_url": URL}, LINK),
        ({"type": "input_image", "image_url": URL}, LINK),
        ({"type": "media", "file_uri": URL, "mime_type": MIME}, LINK),
        ({"type": "image", "source_type": "id", "id": "file-1"}, FILE),
        ({"type": "image", "source": {"type": "file", "file_id": "file-1"}}, FILE),
        ({"type": "input_image", "file_id": "file-1"}, FILE),
        ({"type": "image", "source_type": "base64"}, NONE),
        ({"type": "image", "base64": None, "url": 5}, NONE),
        ({"type": "file", "base64": "QUJD", "mime_type": "application/pdf"}, None),
        ({"type": "text", "text": "x", "url": URL}, None),
        ({}, None),
        ("x", None),
    ],
)
def test_what_is_an_image(item, found):
    assert image_block(item) == found


WORDS = st.sampled_from(["type", "image", "url", "image_url", "source", "base64", "media", "data"])
JSON = st.recursive(
    st.none() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=4),
)


@given(st.dictionaries(WORDS, JSON))
def test_no_item_of_a_message_is_an_error(item):
    found = image_block(item)
    assert found is None or found["type"] == "image"


@pytest.mark.parametrize(
    "text", ["image_2", " Image 2", "IMAGE_2", "image2", "image_02", "[attached image: image_2]"]
)
def test_what_is_meant_by_a_handle(text):
    assert handle_in(text) == "image_2"


@pytest.mark.parametrize(
    "text", ["2", "the second", "image_2.png", "image_", "my image 2", "https://image_2"]
)
def test_what_is_no_handle(recognizer, text):
    runtime = make_dataclass("Runtime", ["state"])([HumanMessage([block(draw("red", 1))])])
    assert handle_in(text) is None
    with pytest.raises(ImageError, match=r"Attached: image_1\."):
        find_image(text, runtime, recognizer.settings)


def test_a_conversation_may_be_of_plain_messages(recognizer):
    first = [{"role": "user", "content": [block(draw("red", 1))]}, ("ai", "hello")]
    second = attach(draw("blue", 1), to={"messages": first}, settings=recognizer.settings)
    assert second.text == "[attached image: image_2]"
    assert set(images_of([*first, second])) == {"image_1", "image_2"}


def test_a_state_of_another_kind_may_use_the_key():
    assert images_of({"messages": [], "attached_images": ["a.png"]}) == {}
    state = make_dataclass("State", ["messages"], slots=True)([HumanMessage([FILE])])
    assert images_of(state) == {"image_1": FILE}
