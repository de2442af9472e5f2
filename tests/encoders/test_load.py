import logging
import subprocess
import sys
import threading
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from rar_agent.encoders import load_encoder
from rar_agent.encoders.engines.make import machine, versions
from rar_agent.encoders.load import load_plain
from rar_agent.encoders.tuning import (
    Chosen,
    Measured,
    Tuning,
    Way,
    read_tuning,
    write_tuning,
)
from rar_agent.errors import ConfigurationError, InputError
from rar_agent.settings import Settings
from tests.encoders.test_open_clip import make_folder

FAST = pytest.mark.skipif(
    not (find_spec("openvino") and find_spec("nncf")), reason="needs the extra fast"
)


def test_an_encoder_is_loaded_once_by_many_threads(builtin):
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(load_encoder("builtin", Settings(device="cpu")))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {id(encoder) for encoder in found} == {id(builtin)}


@pytest.mark.parametrize("name", ["", "clip", "builtin:x", "open_clip", "open_clip:"])
def test_unknown_names(name):
    with pytest.raises(InputError, match="names no encoder"):
        load_encoder(name, Settings())


def test_a_device_that_is_not_there():
    with pytest.raises(ConfigurationError, match="RAR_DEVICE"):
        load_encoder("builtin", Settings(device="cuda:7"))


@pytest.fixture
def tuned(tmp_path, tiny):
    """Settings of a home with a tuning that names an int8 model which is not there."""
    settings = Settings(device="cpu", home=tmp_path / "home", batch_size=4)
    plain = load_plain(tiny, settings)
    int8 = Chosen(engine="openvino", precision="int8-0123abcd", batch_size=4)
    found = Tuning(
        encoder=plain.name,
        identity=plain.fingerprint.identity,
        device="cpu",
        machine=machine("cpu"),
        threads=torch.get_num_threads(),
        versions=versions(),
        created="2026-01-01T00:00:00+00:00",
        images="3 photos",
        rounds=1,
        measured=(Measured(**int8.model_dump(), images_s=9.0),),
        chosen=Chosen(engine="torch", precision="fp32", batch_size=2),
        lower=int8,
        why="it is faster",
    )
    write_tuning(settings.home, found)
    return settings


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return f"open_clip:{make_folder(tmp_path_factory.mktemp('tiny'))}"


def test_what_was_tuned_and_is_gone_falls_back_and_is_told_once(tiny, tuned, caplog):
    known = [Way("int8-0123abcd", "openvino", "cpu")]
    with caplog.at_level(logging.WARNING, "rar_agent"):
        found = load_encoder(tiny, tuned, known)
        assert load_encoder(tiny, tuned, known) is found
    fingerprint = found.fingerprint
    assert (fingerprint.engine, fingerprint.precision) == ("torch", "fp32")
    assert fingerprint.since == "2026-01-01T00:00:00+00:00"
    assert len(caplog.records) == 1
    assert "int8-0123abcd" in caplog.text
    with pytest.raises(ConfigurationError):  # as asked, or not at all
        load_encoder(tiny, tuned.model_copy(update={"precision": "int8"}), known)


def test_where_the_tunings_fp32_is_gone_too_torch_runs(tiny, tuned, monkeypatch):
    from rar_agent.encoders.engines import make

    make_engine = make.make_engine

    def without_openvino(source, engine, precision, most):
        if engine == "openvino":
            raise ConfigurationError("It is not here.")
        return make_engine(source, engine, precision, most)

    monkeypatch.setattr(make, "make_engine", without_openvino)
    before = read_tuning(tuned.home, tiny, "cpu", load_plain(tiny, tuned).fingerprint.identity)
    exact = Chosen(engine="openvino", precision="fp32", batch_size=2)
    write_tuning(tuned.home, before.model_copy(update={"chosen": exact}))
    fingerprint = load_encoder(tiny, tuned).fingerprint
    assert (fingerprint.engine, fingerprint.since) == ("torch", "")
    with pytest.raises(ConfigurationError, match="It is not here"):
        load_encoder(tiny, tuned.model_copy(update={"engine": "openvino"}))


@FAST
def test_a_kept_model_is_that_of_the_home_and_the_newest_in_use(tiny, tmp_path):
    found = set()
    for home, seed in (("a", 0), ("b", 1), ("b", 2)):
        settings = Settings(device="cpu", home=tmp_path / home, precision="int8")
        source = load_plain(tiny, settings).source(settings.home)
        images = np.random.default_rng(seed).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
        precision = f"int8-{source.quantize(list(images)).digest}"
        source.use(precision)
        assert load_encoder(tiny, settings).fingerprint.precision == precision
        found.add(precision)
    assert len(found) == 3


@pytest.mark.parametrize("order", ["faiss, torch", "torch, faiss"])
def test_torch_and_faiss_work_in_either_order(order):
    code = (
        f"import {order}\nimport numpy as np\n"
        "x = np.random.default_rng(0).random((2000, 64), np.float32)\n"
        "i = faiss.IndexFlatIP(64); i.add(x)\n"
        "t = torch.from_numpy(x)\n"
        "assert ((t @ t.T).topk(1).indices[:, 0].numpy() == i.search(x, 1)[1][:, 0]).all()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
