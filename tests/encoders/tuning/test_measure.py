"""What is measured, and what is dropped with its reason."""

import numpy as np
import pytest

from rar_agent.encoders.load import load_plain
from rar_agent.encoders.tuning.measure import Measuring, Trial
from rar_agent.errors import ConfigurationError
from rar_agent.settings import Settings
from tests.encoders.test_open_clip import make_folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    name = f"open_clip:{make_folder(tmp_path_factory.mktemp('tiny'))}"
    return load_plain(name, Settings(device="cpu"))


@pytest.fixture
def measuring(encoder, tmp_path):
    random = np.random.default_rng(0)
    images = list(random.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8))
    return Measuring(encoder, Trial(images, "images"), tmp_path, ("bf16",), most=2, rounds=1)


class Failing:
    """Torch's engine, but that it fails in a way, in bf16."""

    def __init__(self, engine, fails):
        self.engine, self.fails = engine, fails
        self.name, self.precision, self.load_s = engine.name, engine.precision, 0.0

    def run(self, pixels):
        if self.fails == "raises":
            raise RuntimeError("out of memory\nand more")
        return self.engine.run(pixels) * np.float32(np.nan)


@pytest.mark.parametrize(
    ("fails", "says"),
    [("raises", "torch does not run bf16 here: out of memory"), ("nan", "not finite")],
)
def test_what_fails_is_dropped_with_its_reason(measuring, monkeypatch, fails, says):
    from rar_agent.encoders.tuning import measure

    make = measure.make_engine

    def make_failing(source, engine, precision, most):
        made = make(source, engine, precision, most)
        return Failing(made, fails) if precision == "bf16" else made

    monkeypatch.setattr(measure, "make_engine", make_failing)
    tuning = measuring.run()
    [one] = [one for one in tuning.measured if one.precision == "bf16" and one.engine == "torch"]
    assert says in one.refused
    assert not one.images_s
    assert tuning.chosen.precision == "fp32"
    assert type(tuning).model_validate_json(tuning.model_dump_json()) == tuning


def test_torch_in_fp32_has_to_run(measuring, monkeypatch):
    from rar_agent.encoders.tuning import measure

    make = measure.make_engine
    monkeypatch.setattr(measure, "make_engine", lambda *a: Failing(make(*a), "raises"))
    with pytest.raises(ConfigurationError, match="out of memory"):
        measuring.run()
