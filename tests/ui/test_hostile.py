"""Images that were made to hurt, dropped on the page."""

import pytest

from rar_agent.errors import ImageError
from rar_agent.images import isolated
from rar_agent.ui.teach import lesson, taught, teach
from tests.conftest import draw
from tests.images.hostile_jpeg import many_scans
from tests.images.hostile_others import FRAME, gif
from tests.ui.test_teaching import form


def test_a_photo_that_takes_too_long_is_a_sentence(desk_of, upload):
    desk = desk_of(isolate_seconds=1)
    with pytest.raises(ImageError, match=r"'bomb\.jpg' was not decoded within 1 seconds"):
        desk.photo(upload(many_scans(8_944, 199), "bomb.jpg"))
    assert desk.photo(upload(draw("red", 1), "red.png")).rgb.size == (96, 96)


def test_a_photo_that_takes_too_much_memory_is_a_sentence(desk_of, upload):
    desk = desk_of(isolate_mb=500)
    with pytest.raises(ImageError, match="memory"):
        desk.photo(upload(gif(8_944, 8_944, FRAME), "bomb.gif"))
    assert desk.photo(upload(draw("red", 1), "red.png")).rgb.size == (96, 96)


def test_photos_are_decoded_elsewhere_unless_it_is_said_otherwise(desk_of, upload):
    isolated._workers.close()
    desk_of(isolate=False).photo(upload(draw("red", 1), "red.png"))
    assert not isolated._workers._all
    desk_of().photo(upload(draw("red", 1), "red.png"))
    assert isolated._workers._all


def test_a_bomb_among_photos_to_learn_is_one_failure(desk_of, upload):
    desk = desk_of(isolate_mb=500)
    good = [upload(draw("orange", n), f"{n}.png") for n in range(3)]
    bomb = upload(gif(8_944, 8_944, FRAME), "bomb.gif")
    wanted = lesson(desk, *form([*good, bomb]))
    html = taught(desk, wanted, teach(desk, wanted), None, None)
    assert "3 photos learnt" in html
    assert "memory" in html
