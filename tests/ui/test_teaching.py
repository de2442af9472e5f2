"""Teaching from the form: what it says, what is learnt, what that changed."""

import asyncio

import pytest

from rar_agent.errors import InputError
from rar_agent.images import Policy
from rar_agent.memory import open_memory
from rar_agent.ui import recognise
from rar_agent.ui.pictures import Pictures
from rar_agent.ui.teach import MOST_PHOTOS, NEW, lesson, taught, teach
from tests.conftest import draw
from tests.ui.conftest import HOSTILE


@pytest.fixture
def photos(upload):
    return [upload(draw("yellow", i), f"yellow {i}.png") for i in range(4)]


def form(taken, **given):
    whole = {
        "memory": "colours",
        "new_name": "",
        "domain": "",
        "name": "yellow",
        "description": "",
        "parent": "",
        "photos": taken,
        **given,
    }
    return whole.values()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": " "}, "no name"),
        ({"name": None}, "no name"),
        ({"name": "x" * 201}, "cannot name a category"),
        ({"parent": "x" * 201}, "cannot name a category"),
        ({"photos": None}, "There are 0 photos"),
        ({"photos": []}, "There are 0 photos"),
        ({"photos": [{}] * (MOST_PHOTOS + 1)}, "There are 101 photos"),
        ({"photos": [{"path": "/etc/passwd"}]}, "no such photo"),
        ({"memory": None}, "No memory"),
        ({"memory": "nowhere"}, "cannot be taught"),
        ({"memory": "imagenet-1k"}, "cannot be taught"),
        ({"memory": "../colours"}, "cannot be taught"),
        ({"memory": NEW}, "new memory has no name"),
        ({"memory": NEW, "new_name": "../x"}, "cannot name a memory"),
        ({"memory": NEW, "new_name": "colours"}, "exists already"),
    ],
)
def test_a_form_that_cannot_be_used_is_a_sentence(desk, photos, given, says):
    with pytest.raises(InputError, match=says):
        lesson(desk, *form(photos, **given))


def test_a_category_is_taught_and_the_last_photo_is_answered_anew(desk, upload, photos):
    pictures = Pictures(Policy.of(desk.settings))
    asked = desk, pictures, upload(draw("yellow", 77)), "colours", 3, recognise.RETRIEVAL, None
    _, before = asyncio.run(recognise.ask(*asked))
    wanted = lesson(desk, *form(photos, name=f" {HOSTILE} 2 ", description="Gelb.", parent="dots"))
    report = teach(desk, wanted)
    _, now = asyncio.run(recognise.ask(*asked))
    html = taught(desk, wanted, report, before, now)
    assert "4 photos learnt" in html
    assert "before <strong>" in html
    assert "&lt;img src=x onerror" in html
    assert "<img" not in html
    memory = open_memory(desk.settings.home, "colours")
    column = memory.categories.find(f"{HOSTILE} 2")
    assert memory.categories[column].parent == "dots"
    assert [entry.source for entry in memory.entries_of(column) if entry.modality == "image"] == [
        f"yellow {i}.png" for i in range(4)
    ]
    assert now.categories[0].category.name == f"{HOSTILE} 2" != before.categories[0].category.name
    again = teach(desk, lesson(desk, *form(photos, name=f"{HOSTILE} 2", description="Anders.")))
    html = taught(
        desk,
        lesson(desk, *form(photos, name=f"{HOSTILE} 2", description="Anders.")),
        again,
        before,
        None,
    )
    assert "0 photos learnt, 4 known already" in html
    assert "which stays" in html
    assert "before" not in html


def test_a_new_memory_keeps_pictures_since_uploads_go(desk, photos, uploads):
    wanted = lesson(desk, *form(photos, memory=NEW, new_name="Gelb-1", domain="colours"))
    report = teach(desk, wanted)
    for file in uploads.iterdir():
        file.unlink()
    assert "Gelb-1 has 1 category" in taught(desk, wanted, report, None, None)
    assert desk.teachable() == ["Gelb-1", "colours"]
    memory = desk.memory("Gelb-1")
    assert memory.manifest.domain == "colours"
    assert all(memory.thumbnail(entry.id) for entry in memory.entries_of(0))


def test_photos_that_cannot_be_used_are_said(desk, upload, photos):
    bad = upload(b"no image", "brief.png")
    wanted = lesson(desk, *form([*photos, bad]))
    html = taught(desk, wanted, teach(desk, wanted), None, None)
    assert "4 photos learnt" in html
    assert "brief.png" in html
    with pytest.raises(InputError, match="Nothing could be learnt"):
        teach(desk, lesson(desk, *form([bad], memory=NEW, new_name="none")))
    assert "none" not in desk.memories()
