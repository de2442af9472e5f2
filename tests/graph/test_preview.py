"""What is shown of a question is what a model gets, to the byte."""

import json

import pytest
from langchain_core.messages import convert_to_openai_messages

from rar_agent import Recognizer
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.graph.preview import preview, way_of
from rar_agent.images import admit
from rar_agent.memory import SampleReader, create_memory
from rar_agent.memory.readers import Sample
from rar_agent.models.messages import as_langchain
from rar_agent.prompts import list_prompts, load_prompt
from rar_agent.settings import load_settings
from rar_agent.types import Category
from tests.conftest import COLOURS, draw
from tests.openai_server import Reply, pictures_of


def teach(home, builtin, each):
    samples = [
        Sample(Category(name=colour, description=f"All {colour}."), draw(colour, 100 * c + i), "")
        for c, colour in enumerate(COLOURS)
        for i in range(each)
    ]
    reader = SampleReader(samples)
    create_memory(home, "colours", builtin, reader, domain="discs", thumbnails=48)
    return home


@pytest.fixture(scope="module")
def taught(tmp_path_factory, builtin):
    """RAR_HOME with a memory that is too small to be calibrated."""
    return teach(tmp_path_factory.mktemp("small-home"), builtin, 6)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory, builtin):
    return teach(tmp_path_factory.mktemp("calibrated-home"), builtin, 18)


def settings(taught, **given):
    return load_settings(home=taught, memory="colours", device="cpu", **given)


def sent(shown):
    """Of each question, what goes over the wire."""
    return [convert_to_openai_messages(as_langchain(q.messages)) for q in shown.questions]


def written(requests):
    """In one order: several are asked at the same time."""
    return sorted(json.dumps(request, sort_keys=True) for request in requests)


@pytest.mark.parametrize(
    ("prompt", "way", "orders", "calls"),
    [
        ("rank@1", "listwise", 1, 1),
        ("describe@1", "listwise", 3, 3),
        ("rank-exemplars@1", "listwise", 1, 1),
        ("choice@1", "choice", 2, 2),
        ("pairwise@1", "pairwise", 1, 6),
    ],
)
def test_it_is_what_the_model_gets(taught, server, prompt, way, orders, calls):
    asked = {"ranker": way, "orders": orders, "seed": 5, "skip_ranking_at": 1.01}
    given = settings(taught, model="m", base_url=server.url, prompt=prompt, **asked)
    server.script = [Reply("A")]
    Recognizer(settings=given).recognize(draw("red", 99), k=4)
    got = [request["messages"] for request in server.requests]
    image = admit(draw("red", 99))
    shown = preview(settings(taught, **asked), image, load_prompt(prompt, taught), None, 4)
    assert (shown.way, len(shown.candidates), len(shown.questions)) == (way, 4, calls)
    assert written(sent(shown)) == written(got[:calls])


def test_exemplars_are_read_for_prompts_that_show_them_only(taught):
    image, given = admit(draw("red", 99)), settings(taught, exemplars=2)

    def pictures(reference):
        shown = preview(given, image, load_prompt(reference, taught), None, 3)
        [question] = shown.questions
        return [part for part in question.messages[-1].parts if not isinstance(part, str)]

    assert len(pictures("rank@1")) == 1
    assert [max(p.width, p.height) for p in pictures("rank-exemplars@1")] == [48] * 6 + [96]


def test_it_says_where_recognition_would_not_ask(calibrated):
    image, prompt = admit(draw("red", 99)), load_prompt("rank@1", calibrated)
    unsure = preview(settings(calibrated, skip_ranking_at=1.01), image, prompt, None, 3)
    assert unsure.skipped == ""
    sure = preview(settings(calibrated, skip_ranking_at=0.0), image, prompt, None, 3)
    assert "sure" in sure.skipped
    assert sure.questions == unsure.questions
    assert (len(sure.candidates), sure.retrieved) == (2, 3)


def test_what_cannot_be_asked(taught):
    image = admit(draw("red", 99))
    with pytest.raises(InputError, match="two candidates or more"):
        preview(settings(taught), image, load_prompt("rank@1", taught), None, 1)
    with pytest.raises(ConfigurationError, match="cannot read"):
        preview(settings(taught), image, load_prompt("rank@1", taught), "choice", 3)


def test_each_shipped_prompt_has_its_ranker(taught):
    prompts = [load_prompt(reference, taught) for reference in list_prompts(taught)]
    others = {"instructions", "names", "name", "rankings"}
    asking = [prompt for prompt in prompts if prompt.output not in others]
    ways = {prompt.reference: way_of(prompt, settings(taught)) for prompt in asking}
    for prompt in prompts:
        if prompt.output in others:
            with pytest.raises(InputError, match="which no ranker reads"):
                way_of(prompt, settings(taught))
    assert ways.pop("choice@1") == "choice"
    assert ways.pop("pairwise@1") == "pairwise"
    assert set(ways.values()) == {"listwise"}


def test_the_photo_is_shown_at_the_size_that_is_set(taught, builtin, server):
    server.script = [Reply("A")]
    asked = settings(taught, image_side=64, skip_ranking_at=1.01, model="m", base_url=server.url)
    photo = draw("red", 5, 200)
    shown = preview(asked, admit(photo), load_prompt("rank@1", taught), None, None)
    Recognizer(settings=asked).recognize(photo)
    assert (shown.photo.width, shown.photo.height) == (64, 64)
    assert pictures_of(server.requests[-1]) == [shown.photo.jpeg]
