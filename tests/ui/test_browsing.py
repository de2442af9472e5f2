"""Browsing: every category is on one page, and search finds it."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rar_agent.images import Policy
from rar_agent.memory import create_memory
from rar_agent.types import Category
from rar_agent.ui.browse import PAGE, listing, show
from rar_agent.ui.pictures import Pictures
from tests.ui.conftest import HOSTILE


@pytest.fixture(scope="module")
def many(tmp_path_factory, builtin):
    """A memory of 60 names, some umlauts among them."""
    home = tmp_path_factory.mktemp("many-home")
    names = [
        Category(
            name=f"{'Äpfel' if i % 7 == 0 else 'birds'} {i}",
            aliases=(f"alias {i}",) if i % 2 else (),
            description="rare" if i % 10 == 0 else "",
            parent="fruit" if i % 7 == 0 else "",
        )
        for i in range(60)
    ]
    return create_memory(home, "many", builtin, names=names).memory


@given(st.sampled_from(["", " ", "birds", "ÄPFEL", "alias 3", "rare", "fruit", "nothing", "\n"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_category_that_was_found_is_on_one_page(many, wanted):
    pages = listing(many, wanted, 1).pages
    lists = [listing(many, wanted, page) for page in range(1, pages + 1)]
    seen = [column for one in lists for column in one.columns]
    text = wanted.strip().casefold()
    said = [
        "\n".join((c.name, *c.aliases, c.description, c.parent)).casefold() for c in many.categories
    ]
    assert sorted(seen) == [
        column for column, one in enumerate(said) if text in one and (many.entries.known[column])
    ]
    assert all(len(one.columns) <= PAGE for one in lists)
    assert {one.found for one in lists} == {len(seen)}
    names = [many.categories[column].name.casefold() for column in seen]
    assert names == sorted(names)


@pytest.mark.parametrize(("asked", "got"), [(-5, 1), (0, 1), (1, 1), (3, 3), (4, 3), (10**9, 3)])
def test_a_page_that_is_not_there_is_the_nearest(many, asked, got):
    assert listing(many, "", asked).page == got


def test_a_page_shows_pictures_counts_and_names_as_text(desk):
    html, listed = show(desk.memory("colours"), Pictures(Policy.of(desk.settings)), "", 1)
    assert listed.found == 6
    assert html.count("data:image/jpeg") == 6 * 4
    assert html.count("5 exemplars") == 6
    assert "All red &amp; round." in html
    assert html.count("in dots") == 6
    assert HOSTILE not in html
    assert "<img src=x" not in html
    nothing, _ = show(desk.memory("colours"), Pictures(Policy.of(desk.settings)), "zzz", 1)
    assert "No category is like that." in nothing


def test_names_alone_are_said_to_be(many):
    html, _ = show(many, Pictures(Policy()), "birds 1", 1)
    assert "0 exemplars; known by text" in html
