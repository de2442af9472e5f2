"""HTML of what is shown: whatever a name is, it is text."""

import asyncio
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rar_agent.errors import InputError
from rar_agent.images import Policy
from rar_agent.types import Branch, Category, Exemplar, RankedCategory, Recognition, Trace
from rar_agent.ui import recognise, render
from rar_agent.ui.desk import Answer
from rar_agent.ui.pictures import Pictures
from tests.conftest import draw
from tests.ui.conftest import HOSTILE, named_first

ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
MARKUP = ANY | st.sampled_from(
    [
        HOSTILE,
        "</li><script>x</script>",
        '" onload="x',
        "' autofocus onfocus='x",
        "&lt;b&gt;",
        "{{x}}",
    ]
)


class Read(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.said = set(), [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.said.append(data)

    @property
    def text(self):
        return "".join(self.said)


def recognition(name, description, source, reason):
    ranked = RankedCategory(
        category=Category(name=name, description=description),
        probability=0.75,
        retrieval_probability=0.25,
        evidence=("image",),
        exemplars=(Exemplar(entry=1, source=source, similarity=0.5),),
    )
    trace = Trace(
        memory="m",
        generation=1,
        encoder="e",
        device="cpu",
        precision="fp32",
        method="gda",
        calibrated=True,
        probability_means="calibrated",
        ranker="listwise",
        reason=reason,
        timings_ms={"encode": 33.31, "rank": 1204.0},
    )
    return Recognition(
        image="0" * 64,
        source=source,
        decision="accepted",
        categories=(ranked,),
        branches=(Branch(name=name, probability=0.9, categories=2),),
        trace=trace,
    )


@given(MARKUP, MARKUP, MARKUP, MARKUP)
def test_names_are_text(name, description, source, reason):
    found = recognition(name, description, source, reason)
    for picture in ("", "data:image/jpeg;base64,AA=="):
        evidence = [render.shown(found.categories[0].exemplars, [picture], asked=True)]
        plain = Read(render.answer(Answer(recognition("a", "b", "c", "d"), "", None), evidence))
        read = Read(render.answer(Answer(found, "<p>sent</p>", None), evidence))
        assert read.tags <= plain.tags | {"p", "img", "span"}
        assert not {key for key, _ in read.attributes if key.startswith("on")}
        assert [value for key, value in read.attributes if key == "src"] == [picture] * bool(
            picture
        )
        assert name in read.text
        assert reason in read.text


@given(MARKUP, MARKUP)
def test_errors_are_sentences_and_text(message, fix):
    read = Read(render.sentence(InputError(message, fix)))
    assert read.tags == {"p", "strong"}
    assert ("role", "alert") in read.attributes
    assert message in read.text
    assert fix in read.text
    bug = Read(render.sentence(ValueError(message)))
    assert bug.tags == {"p", "strong"}
    assert "Traceback" not in bug.text
    assert "This is a bug: ValueError." in bug.text
    assert len(bug.text) == len(Read(render.sentence(ValueError())).text)  # it may hold a path


def test_probabilities_before_and_after_and_what_they_mean():
    text = Read(render.answer(Answer(recognition("a", "b", "c", "d"), "", None), [[]])).text
    assert text.index("25.0 %") < text.index("75.0 %", text.index("25.0 %"))
    assert "probability: calibrated" in text
    assert "encode 33 ms, rank 1.2 s" in text


@pytest.mark.parametrize("decision", ["accepted", "abstained"])
def test_an_answer_without_candidates_is_one_too(decision):
    found = recognition("a", "b", "c", "d").model_copy(
        update={"categories": (), "branches": (), "decision": "abstained"}
    )
    assert "No sure answer" in render.answer(Answer(found, "", None), [])
    assert render.brief(found.categories) == "nothing"


def test_an_answer_shows_what_it_is_of(desk_of, server, upload):
    desk = desk_of(model="test-model", base_url=server.url)
    server.answer = named_first("blue")
    pictures = Pictures(Policy.of(desk.settings))
    photo = upload(draw("green", 77))
    asked = (desk, pictures, photo, "colours", 6, "test-model", "rank@1")
    html, last = asyncio.run(recognise.ask(*asked))
    assert last.memory == "colours"
    assert "blue" in {c.category.name for c in last.categories}
    read = Read(html)
    sources = [value for key, value in read.attributes if key == "src"]
    assert len(sources) == 6 * 3 + 1  # exemplars, and the photo that was sent
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert len([value for key, value in read.attributes if key == "alt" and value]) == 19
    assert "321+45 tokens" in read.text
    assert "ranked by test-model, rank@1" in read.text
    assert '{"ranking":' in read.text
    alone, _ = asyncio.run(recognise.ask(*asked[:5], recognise.RETRIEVAL, "rank@1"))
    assert "no model was asked" in alone


def test_pictures_are_kept_by_content_and_missing_ones_said(desk):
    memory = desk.memory("colours")
    pictures = Pictures(Policy.of(desk.settings))
    [info] = memory.entries_of(0)[:1]
    exemplar = Exemplar(entry=info.id, source=info.source, similarity=0.5)
    gone = Exemplar(entry=10**6, source="x/y/gone.png", similarity=0.5)
    first = pictures.of(memory, [exemplar, gone])
    assert first == pictures.of(memory, [exemplar, gone])
    assert first[0].startswith("data:image/jpeg;base64,")
    assert first[1] == ""
    assert render.shown([gone], [""], asked=False)[0].name == "y/gone.png"
