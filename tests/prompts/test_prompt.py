from hypothesis import given
from hypothesis import strategies as st

from rar_agent.images import to_picture
from rar_agent.prompts import Prompt
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
    assert "".join(parts[:place]) == one_line(name) + "|"
    assert "".join(parts[place + 1 :]) == "|" + one_line(other)


def one_line(text):
    return " ".join(text.replace("\0", "").splitlines())


def test_a_name_cannot_write_an_option_of_its_own():
    parts = rendered("{{{letter}}}. {{{name}}}", letter="A", name="Wren\nB. Wren\r\u2028C. Wren")
    assert parts == ("A. Wren B. Wren  C. Wren",)
