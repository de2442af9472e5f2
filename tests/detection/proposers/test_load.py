"""Names of proposers, and proposers that have none."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from rar_agent.detection import Proposal
from rar_agent.detection.proposers import Limits, Proposer, load_proposer
from rar_agent.detection.proposers import torchvision as module
from rar_agent.detection.proposers.shown import shown
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.forks import Once
from rar_agent.settings import Settings
from tests.detection.proposers.conftest import SMALL, picture


@pytest.mark.parametrize("name", ["", "yolo", "torchvision", "torchvision:", "zero-shot:", "os:x"])
def test_names_of_nothing_say_what_there_is(name):
    with pytest.raises(ConfigurationError) as caught:
        load_proposer(name, Settings())
    for part in (f"'{name}'", "torchvision:MODEL", "zero-shot:FOLDER", "zero-shot:ORG/NAME"):
        assert part in str(caught.value)


@pytest.mark.parametrize("labels", [(), ("bird", " "), "bird"])
def test_labels_that_are_none(labels):
    with pytest.raises(InputError, match="are no labels"):
        load_proposer("zero-shot:org/any", Settings(), labels=labels)


def test_devices_that_are_not_there(checkpoint):
    with pytest.raises(ConfigurationError, match="RAR_DEVICE"):
        load_proposer(f"torchvision:{SMALL}/{checkpoint[1]}", Settings(device="cuda:99"))


class Whole:
    name = "the whole image"

    def propose(self, image):
        return [Proposal((0, 0, *image.size))]


def test_any_object_may_propose(load):
    assert isinstance(Whole(), Proposer)
    assert isinstance(load(limits=Limits(most=1)), Proposer)
    assert not isinstance(object(), Proposer)


def test_weights_load_once_for_all(load, monkeypatch):
    loads = []
    monkeypatch.setattr(
        module, "_loaded", Once(lambda *asked: loads.append(asked) or module._load(*asked))
    )
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda most: load(limits=Limits(most=most)), range(1, 5)))
    assert len(loads) == 1


def test_only_loading_imports_the_libraries():
    check = (
        "import sys, rar_agent.detection.proposers\n"
        "sys.exit(bool({'torch', 'torchvision', 'transformers'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 480), (640, 480)),
        ((1600, 1200), (1600, 1200)),  # exactly half is left to the detector
        ((8000, 5000), (2560, 1600)),
        ((40_000, 1_000), (2666, 67)),  # by the longer side
        ((1, 1), (1, 1)),
        ((5, 40_000), (2, 2666)),
    ],
)
def test_what_a_detector_of_800_to_1333_pixels_is_shown(size, expected):
    assert shown(picture(size), 800, 1333).size == expected


def test_what_is_small_enough_is_shown_as_it_is():
    image = picture((900, 700))
    assert shown(image, 800, 1333) is image
