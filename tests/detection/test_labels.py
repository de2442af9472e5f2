"""Labels say a name and a score in letters that there are, and keep clear of each other."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from rar_agent.detection.labels import label_of, place
from rar_agent.types import Branch
from tests.detection.test_draw import failed, found


def test_what_labels_say():
    def said(one):
        return label_of(one, (640, 480), 14).text

    box = (0, 0, 50, 50)
    assert said(found(box)) == "dog 83 %"
    assert said(failed(box)) == "failed"
    unsure = found(box, decision="abstained")
    assert said(unsure) == "?"
    branch = Branch(name="animal", probability=0.9, categories=3)
    recognition = unsure.recognition.model_copy(update={"branch": branch})
    assert said(unsure.model_copy(update={"recognition": recognition})) == "animal ?"
    assert said(found(box, "a\nb\t\x00c")) == "a b c 83 %"
    long = said(found(box, "x" * 200))
    assert long.startswith("xxx")
    assert long.endswith("… 83 %")
    assert len(long) < 60


def test_letters_that_no_font_has_lose_their_accents(monkeypatch):
    monkeypatch.setattr("rar_agent.detection.labels._FALLBACKS", ())
    assert label_of(found((0, 0, 9, 9), "Bökönyérő"), (640, 480), 14).text == "Bokonyero 83 %"
    assert label_of(found((0, 0, 9, 9), "鳥"), (640, 480), 14).text == "鳥 83 %"


def test_a_font_of_the_system_keeps_accents():
    try:
        ImageFont.truetype("DejaVuSans.ttf", 14)
    except OSError:
        pytest.skip("the system has no DejaVu Sans")
    label = label_of(found((0, 0, 9, 9), "Bökönyérő Ж"), (640, 480), 14)
    assert label.text == "Bökönyérő Ж 83 %"
    assert label.font.getname()[0] == "DejaVu Sans"


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 590), st.integers(0, 430), st.integers(1, 50), st.integers(1, 50)),
        max_size=30,
    )
)
def test_labels_are_in_the_image_and_at_their_boxes(boxes):
    frames = [(x, y, x + w, y + h) for x, y, w, h in sorted(boxes, key=lambda b: -b[2] * b[3])]
    labels = [label_of(found((0, 0, 9, 9), f"name {at}"), (640, 480), 14) for at in range(30)]
    labels = labels[: len(frames)]
    plates, hidden = place(frames, labels, (640, 480))
    assert hidden >= 0
    for frame, label, (left, top, right, bottom) in zip(frames, labels, plates, strict=True):
        assert (right - left, bottom - top) == label.size
        assert left >= 0
        assert top >= 0
        assert right <= 640
        assert bottom <= 480
        # Beside it, or over it: no further away than the picture's edge pushes it.
        assert left <= frame[2] + label.size[0]
        assert right >= frame[0] - label.size[0]
        assert top <= frame[3] + label.size[1]
        assert bottom >= frame[1] - label.size[1]


def test_labels_keep_clear_of_each_other_where_there_is_room():
    frames = [(100 + 60 * at, 200, 150 + 60 * at, 230) for at in range(6)]
    labels = [label_of(found((0, 0, 9, 9), "a long name"), (640, 480), 14)] * 6
    plates, hidden = place(frames, labels, (640, 480))
    assert hidden == 0
    for one, other in itertools.combinations(plates, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
