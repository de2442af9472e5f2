"""Comparing prompts: both texts, both answers, and one that cannot be is no end of the other."""

import asyncio

import pytest

from rar_agent.errors import NotFoundError
from rar_agent.images import Policy
from rar_agent.prompts import write_next
from rar_agent.ui.pictures import Pictures
from rar_agent.ui.prompts import compare
from tests.conftest import draw
from tests.openai_server import Reply
from tests.ui.conftest import HOSTILE, named_first


def compared(desk, photo, one, other, asks=False):
    pictures = Pictures(Policy.of(desk.settings))
    return asyncio.run(compare(desk, pictures, photo, "colours", 4, one, other, asks))


def test_two_texts_side_by_side_and_how_the_files_differ(desk, upload):
    html = compared(desk, upload(draw("red", 7)), "rank@1", "choice@1")
    assert html.index("1: rank@1") < html.index("2: choice@1")
    assert html.count("Which of these 4 options") == 2
    assert "+++ choice@1" in html
    assert "<img src=x" not in html
    assert "&lt;img src=x onerror" in html
    same = compared(desk, upload(draw("red", 7)), "rank@1", "rank@1")
    assert "How the files differ" not in same


def test_answers_where_a_model_is_set(desk_of, server, upload):
    desk = desk_of(model="test-model", base_url=server.url)
    server.answer = named_first(HOSTILE)
    photo = upload(draw("green", 7))
    html = compared(desk, photo, "rank@1", "describe@1", asks=True)
    assert len(server.requests) == 2
    assert html.count("ranked by test-model") == 2
    server.answer = lambda request: Reply(status=500)
    html = compared(desk, photo, "rank@1", "describe@1", asks=True)
    assert html.count("degraded to the retrieval order") == 2
    count = len(server.requests)
    compared(desk, photo, "rank@1", "describe@1")
    assert len(server.requests) == count


def test_a_prompt_that_is_not_valid_says_so_in_its_column(desk, own_home, upload):
    write_next("mine", "rank@1", own_home).path.write_text("name: mine\n")
    photo = upload(draw("red", 7))
    html = compared(desk, photo, "mine@1", "rank@1")
    assert html.count('role="alert"') == 1
    assert html.count("Which of these 4 options") == 1
    with pytest.raises(NotFoundError):
        compared(desk, photo, "rank@1", "rank@99")
