import asyncio
import re

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda

from rar_agent import Recognizer
from rar_agent.errors import InputError, NotFoundError
from rar_agent.graph import many
from rar_agent.graph.direct import steps_matter
from rar_agent.memory import add_to_memory, create_memory, delete_memory, read_folder
from rar_agent.types import Category
from tests.conftest import COLOURS, draw

IMAGES = [draw(colour, 70 + at) for at, colour in enumerate(COLOURS * 2)]


@pytest.fixture(scope="module")
def place(tmp_path_factory, builtin, discs):
    folder = tmp_path_factory.mktemp("direct-home")
    create_memory(folder, "discs", builtin, read_folder(discs))
    named = [Category(name=name) for name in ("cat", "dog", "disc")]
    create_memory(folder, "names", builtin, names=named)
    create_memory(folder, "mixed", builtin, read_folder(discs), named)
    return folder


def recognizer(place, memory="discs", **options):
    return Recognizer(memory, home=place, device="cpu", batch_size=4, **options)


class Heard(BaseCallbackHandler):
    def __init__(self):
        self.steps = []

    def on_chain_start(self, serialized, inputs, *, name=None, **kwargs):
        self.steps.append(name)


def by_steps(one, image, **asked):
    """By the graph, since somebody is told of its steps."""
    heard = Heard()
    asking = RunnableLambda(lambda image: one.recognize(image, **asked))
    found = asking.invoke(image, {"callbacks": [heard]})
    assert heard.steps.count("conclude") == 1
    return found


def without_times(found):
    trace = found.trace.model_copy(update={"timings_ms": {}})
    return found.model_copy(update={"trace": trace})


@pytest.mark.parametrize("memory", ["discs", "names", "mixed"])
@pytest.mark.parametrize(
    "asked", [{}, {"k": 2}, {"method": "knn"}, {"coverage": 0.8}, {"only": ["red discs", "cat"]}]
)
@pytest.mark.parametrize("rate", [None, 0.2])
def test_the_answers_are_those_of_the_graph(place, memory, asked, rate):
    one = recognizer(place, memory, error_rate=rate)
    try:
        singles = [by_steps(one, image, **asked) for image in IMAGES]
    except (InputError, NotFoundError) as error:
        said = str(error)
        with pytest.raises(type(error), match=re.escape(said)):
            one.recognize_batch(IMAGES, **asked)
        return
    together = one.recognize_batch(IMAGES, **asked)
    alone = [one.recognize(image, **asked) for image in IMAGES]
    assert list(map(without_times, alone)) == list(map(without_times, singles))
    assert list(map(without_times, together)) == list(map(without_times, singles))
    again = asyncio.run(one.arecognize_batch(IMAGES, **asked))
    assert list(map(without_times, again)) == list(map(without_times, singles))
    assert all(found.trace.timings_ms["search"] > 0 for found in together)


def test_nothing_known_is_near(place):
    one = recognizer(place)
    noise = [draw("red", 1).resize((4, 64)).resize((90, 90)).rotate(45)]
    [together], single = one.recognize_batch(noise), by_steps(one, noise[0])
    assert (
        without_times(together) == without_times(single) == without_times(one.recognize(noise[0]))
    )


def test_who_listens_is_told_of_each_images_steps(place):
    one, heard = recognizer(place), Heard()
    asking = RunnableLambda(lambda images: one.recognize_batch(images))
    listened = asking.invoke(IMAGES[:3], {"callbacks": [heard]})
    assert heard.steps.count("recognize") == 3
    assert heard.steps.count("conclude") == 3
    assert list(map(without_times, listened)) == list(
        map(without_times, one.recognize_batch(IMAGES[:3]))
    )


def test_steps_are_taken_where_a_model_is_asked(place, server):
    assert not steps_matter(recognizer(place).services)
    assert steps_matter(recognizer(place, model="m", base_url=server.url).services)


def test_the_graph_is_left_out(place, monkeypatch):
    one = recognizer(place)
    monkeypatch.setattr(many, "given", None)  # what the graph would be run with
    assert len(one.recognize_batch(IMAGES)) == len(IMAGES)


def test_a_batch_ends_with_the_memory_that_it_began_with(tmp_path, builtin):
    create_memory(tmp_path, "grows", builtin, {"red": [draw("red", 1)]})
    one = Recognizer("grows", home=tmp_path, device="cpu", batch_size=1)
    stream = one.stream([draw("blue", n) for n in range(4)])
    first = next(stream)
    add_to_memory(tmp_path, "grows", builtin, {"blue": [draw("blue", 9)]})
    assert one.refresh()
    assert {found.trace.generation for found in stream} == {first.trace.generation}
    assert one.recognize_batch([draw("blue", 3)])[0].label == "blue"
    delete_memory(tmp_path, "grows")
