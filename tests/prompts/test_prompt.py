import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.images import to_picture
from rar_agent.prompts import Prompt, load_prompt
from tests.conftest import draw

PHOTO, RED, BLUE = (to_picture(draw(c, 1, 32)) for c in ("green", "red", "blue"))


def rendered(template, **values):
    prompt = Prompt("own@1", "", "ranking", (("user", template),), frozenset())
    return prompt.render(values)[0].parts


def test_values_are_put_in_as_they_are():
    parts = rendered(
        "Sort {{{domain}}}: {{#options}}{{{letter}}} {{{name}}};{{/options}}",
        domain="birds & <bees>",
        options=[{"letter": "A", "name": "Bachman's {{{domain}}}"}, {"letter": "B", "name": "b"}],
    )
    assert parts == ("Sort birds & <bees>: A Bachman's {{{domain}}};B b;",)


def test_pictures_stand_where_the_template_has_them():
    parts = rendered(
        "First {{{photo}}} then{{#options}} {{{name}}}:{{#exemplars}}{{{picture}}}{{/exemplars}}"
        "{{/options}} end",
        photo=PHOTO,
        options=[
            {"name": "red", "exemplars": [{"picture": RED}, {"picture": RED}]},
            {"name": "none", "exemplars": []},
            {"name": "blue", "exemplars": [{"picture": BLUE}]},
        ],
    )
    assert parts == ("First ", PHOTO, " then red:", RED, RED, " none: blue:", BLUE, " end")


@given(st.text(), st.text())
def test_no_text_passes_for_a_picture_or_moves_one(name, other):
    parts = rendered("{{{name}}}|{{{photo}}}|{{{other}}}", name=name, photo=PHOTO, other=other)
    assert [part for part in parts if not isinstance(part, str)] == [PHOTO]
    place = parts.index(PHOTO)
    assert "".join(parts[:place]) == name.replace("\0", "") + "|"
    assert "".join(parts[place + 1 :]) == "|" + other.replace("\0", "")


@pytest.mark.parametrize("reference", ["rank@1", "choice@1", "pairwise@1"])
def test_shipped_prompts_show_the_photo_once_and_each_option(tmp_path, reference):
    options = [{"letter": "A", "name": "Bachman's <Sparrow>"}, {"letter": "B", "name": "Wren"}]
    messages = load_prompt(reference, tmp_path).render(
        {"domain": "birds", "count": 2, "example": '"B", "A"', "options": options, "photo": PHOTO}
    )
    assert [message.role for message in messages] == ["system", "user"]
    assert [part for m in messages for part in m.parts if not isinstance(part, str)] == [PHOTO]
    assert "A. Bachman's <Sparrow>\nB. Wren\n" in messages[1].text
    assert "{{" not in messages[0].text + messages[1].text
