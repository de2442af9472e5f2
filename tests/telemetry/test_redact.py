"""No image and no key in a text that leaves, and nothing else gone from it."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from rar_agent.telemetry import redacted, without_images
from tests.telemetry.leaks import leaked

IMAGES = st.binary(min_size=160, max_size=600)
AROUND = st.text(alphabet=st.characters(exclude_characters="+/_-", categories=["P", "Z"]))


@given(
    IMAGES,
    AROUND,
    st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]),
    st.sampled_from([None, 64, 76]),
    st.sampled_from(["\n", "\r\n", "\\n", "\\r\\n"]),
)
def test_no_image_stays(image, around, encode, width, broken):
    text = encode(image).decode()
    if width:
        text = broken.join(text[at : at + width] for at in range(0, len(text), width))
    found = without_images(f"{around}data:image/jpeg;base64,{text}{around}")
    assert leaked(found.encode(), [image]) == []
    assert found.startswith(around)
    assert "left out" in found


@given(st.text(max_size=199) | st.lists(st.text("ab \n+/", max_size=59), max_size=20).map(" ".join))
def test_other_texts_stay_as_they_are(text):
    assert without_images(text) == text


def test_words_line_by_line_are_no_image():
    names = "\n".join(f"Egyptian_cat_number_{n}" for n in range(100))
    assert without_images(names) == names


def test_keys_are_named_not_told(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-own-0123456789")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=abcdefgh")
    monkeypatch.setenv("SHORT_KEY", "cat")
    assert redacted("key sk-own-0123456789, x-key=abcdefgh, cat") == (
        "key [OPENAI_API_KEY], [OTEL_EXPORTER_OTLP_HEADERS], cat"
    )
    assert redacted("at https://me:word@host/v1") == "at https://[left out]@host/v1"
