"""No image and no key in a text that leaves, and nothing else gone from it."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.telemetry import (
    hide_secrets,
    redact,
    redacted,
    without_folders,
    without_images,
)
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


@pytest.fixture
def none_given(monkeypatch):
    monkeypatch.setattr(redact, "_given", {})


@pytest.mark.parametrize(
    "options",
    [
        {"api_keys": ["short", "sk-own-0123456789"]},
        {"api_keys": [["sk-own-0123456789"], {"first": ("sk-own-0123456789",)}]},
        {"default_headers": [{"Authorization": "sk-own-0123456789"}]},
        {"extra": [{"api_key": "sk-own-0123456789"}]},
        {"extra": ({"more": [{"accessToken": "sk-own-0123456789"}]},)},
        {"extra": {"tokens": ["sk-own-0123456789"]}},
    ],
)
def test_keys_are_found_in_options_however_deep(none_given, options):
    hide_secrets(options)
    assert "sk-own" not in redacted("key sk-own-0123456789.")


def test_options_that_are_no_secrets_stay(none_given):
    hide_secrets({"tokenizer": "Qwen2-VL-7B", "extra": [{"tokenizer_mode": "mistral-common"}]})
    assert redacted("Qwen2-VL-7B, mistral-common") == "Qwen2-VL-7B, mistral-common"


@pytest.mark.parametrize("shorter_first", [True, False])
def test_nothing_is_left_of_a_key_that_begins_as_another(none_given, monkeypatch, shorter_first):
    keys = {"first_key": "sk-own-0123", "second_key": "sk-own-0123456789"}
    hide_secrets(keys if shorter_first else dict(reversed(keys.items())))
    assert redacted("sk-own-0123456789, sk-own-0123") == "[second_key], [first_key]"
    monkeypatch.setenv("OWN_API_KEY", "sk-own-0123456789-more")
    assert redacted("sk-own-0123456789-more") == "[OWN_API_KEY]"
    monkeypatch.setenv("OWN_API_KEY", "sk-own-0")
    assert redacted("sk-own-0123456789") == "[second_key]"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("/home/jo smith/birds/wren's/1.jpg", "1.jpg"),
        ("/data/shard.tar/key.jpg", "key.jpg"),
        ("/data/birds.csv:12", "birds.csv:12"),
        (r"C:\Users\jo\birds\1.jpg", "1.jpg"),
        (r"\\host\share\1.jpg", "1.jpg"),
        ("birds/wren/1.jpg", "birds/wren/1.jpg"),
        ("https://example.com/birds/1.jpg", "https://example.com/birds/1.jpg"),
        ("taught by an agent: image_1", "taught by an agent: image_1"),
        ("birds[12]", "birds[12]"),
        ("", ""),
    ],
)
def test_sources_of_exemplars_name_no_folder(source, told):
    def found(source):
        shown = {"exemplars": [{"entry": 1, "source": source}]}
        other = {"exemplars": 3, "metadata": {"exemplars": ["/a/b", {"source": 5}]}}
        return {"categories": [shown, other], "source": "/as/the/caller/named/it.jpg"}

    assert without_folders(found(source)) == found(told)
