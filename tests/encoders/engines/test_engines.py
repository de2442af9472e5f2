"""Engines give torch's numbers; what they keep is parsed only as this machine wrote it."""

import os
import threading
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rar_agent.encoders import load_encoder
from rar_agent.encoders.engines.kept import KeptModel, KeptModels, clear_drafts
from rar_agent.encoders.engines.make import make_engine
from rar_agent.encoders.engines.openvino_engine import OpenVinoEngine
from rar_agent.encoders.load import load_plain
from rar_agent.errors import ConfigurationError
from rar_agent.settings import Settings
from tests.conftest import draw
from tests.encoders.test_open_clip import make_folder

FAST = pytest.mark.skipif(
    not (find_spec("openvino") and find_spec("nncf")), reason="needs the extra fast"
)


@pytest.fixture(scope="module")
def name(tmp_path_factory):
    return f"open_clip:{make_folder(tmp_path_factory.mktemp('tiny'))}"


@pytest.fixture
def source(name, tmp_path):
    return load_plain(name, Settings(device="cpu")).source(tmp_path / "home")


def pixels(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_torch_in_bf16_is_near_and_not_equal(source):
    exact = make_engine(source, "torch", "fp32", 8).run(pixels(3))
    lower = make_engine(source, "torch", "bf16", 8).run(pixels(3))
    assert exact.dtype == lower.dtype == np.float32
    assert 0 < np.abs(exact - lower).max() < 0.1


@pytest.mark.long
def test_compiled_equals_torch_for_any_number(source):
    engine, plain = (
        make_engine(source, "compile", "fp32", 4),
        make_engine(source, "torch", "fp32", 4),
    )
    assert engine.load_s > 0
    for count in (1, 2, 3, 4, 7):
        assert np.allclose(engine.run(pixels(count)), plain.run(pixels(count)), atol=1e-5)


@pytest.mark.parametrize(
    ("engine", "precision", "device", "says"),
    [
        ("torch", "int8", "cpu", r"rar-agent\[fast\]"),
        ("compile", "int8", "cpu", r"rar-agent\[fast\]"),
        ("openvino", "fp16", "cpu", "no fp16"),
        ("openvino", "fp32", "cuda", "RAR_DEVICE=cpu"),
    ],
)
def test_what_does_not_run_says_what_to_do(source, engine, precision, device, says):
    source = type(source)(source.network, device, source.identity, source.shape, source.home)
    with pytest.raises(ConfigurationError, match=says):
        make_engine(source, engine, precision, 8)


@pytest.mark.skipif(bool(find_spec("openvino")), reason="OpenVINO is installed")
@pytest.mark.parametrize("asked", [{"engine": "openvino"}, {"precision": "int8"}])
def test_without_the_extra_it_says_how_to_get_it(name, asked):
    with pytest.raises(ConfigurationError, match=r"pip install 'rar-agent\[fast\]'"):
        load_encoder(name, Settings(device="cpu", **asked))


@FAST
def test_openvino_equals_torch_and_is_kept(source):
    plain, engine = (
        make_engine(source, "torch", "fp32", 8),
        make_engine(source, "openvino", "fp32", 8),
    )
    for count in (1, 3, 8):
        assert np.allclose(engine.run(pixels(count)), plain.run(pixels(count)), atol=1e-5)
    kept = sorted((source.home / "engines").iterdir())
    assert [path.suffix for path in kept] == [".bin", ".xml"]
    before = [path.stat().st_mtime_ns for path in kept]
    make_engine(source, "openvino", "fp32", 8)
    assert [path.stat().st_mtime_ns for path in kept] == before


@FAST
@hypothesis_settings(max_examples=10)
@given(count=st.integers(1, 9), seed=st.integers(0, 99))
def test_rows_do_not_depend_on_what_else_is_in_the_batch(engines, count, seed):
    plain, engine = engines
    batch = pixels(count, seed)
    rows = engine.run(batch)
    assert np.allclose(rows, plain.run(batch), atol=1e-5)
    assert np.allclose(rows[-1:], engine.run(batch[-1:]), atol=1e-5)


@pytest.fixture(scope="module")
def engines(name, tmp_path_factory):
    source = load_plain(name, Settings(device="cpu")).source(tmp_path_factory.mktemp("home"))
    return make_engine(source, "torch", "fp32", 8), make_engine(source, "openvino", "fp32", 8)


@FAST
@pytest.mark.parametrize("part", [".xml", ".bin"])
def test_a_model_that_was_changed_is_made_anew_and_never_parsed(source, part):
    source.converted()
    [path] = (source.home / "engines").glob(f"*{part}")
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert KeptModels(source.home).read(source._key("fp32")) is None
    plain = make_engine(source, "torch", "fp32", 8)
    found = make_engine(source, "openvino", "fp32", 8)
    assert np.allclose(found.run(pixels(2)), plain.run(pixels(2)), atol=1e-5)
    assert KeptModels(source.home).read(source._key("fp32")) is not None


@FAST
def test_a_model_from_elsewhere_is_not_parsed(source, monkeypatch, tmp_path):
    source.converted()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    assert KeptModels(source.home).read(source._key("fp32")) is None


@FAST
def test_threads_at_the_same_time_get_their_own_rows(source):
    engine = make_engine(source, "openvino", "fp32", 8)
    expected = {seed: engine.run(pixels(2, seed)) for seed in range(6)}
    wrong = []

    def ask(seed):
        for _ in range(20):
            if not np.allclose(engine.run(pixels(2, seed)), expected[seed], atol=1e-6):
                wrong.append(seed)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@FAST
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_is_answered_by_torch_and_int8_is_refused(source):
    exact = make_engine(source, "openvino", "fp32", 8)
    source.quantize(list(pixels(16)))
    lower = make_engine(source, "openvino", "int8", 8)
    expected = exact.run(pixels(2))
    lower.run(pixels(2))
    if (child := os.fork()) == 0:
        good = np.allclose(exact.run(pixels(2)), expected, atol=1e-5)
        try:
            lower.run(pixels(2))
        except ConfigurationError as error:
            os._exit(0 if good and "spawn" in error.fix else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


@FAST
def test_int8_says_which_model_it_is(source):
    with pytest.raises(ConfigurationError, match="--allow int8"):
        make_engine(source, "openvino", "int8", 8)
    made = source.quantize(list(pixels(16)))
    engine = make_engine(source, "openvino", "int8", 8)
    assert engine.precision == f"int8-{made.digest}"
    assert make_engine(source, "openvino", engine.precision, 8).precision == engine.precision
    with pytest.raises(ConfigurationError, match="no such int8 model"):
        make_engine(source, "openvino", "int8-00000000", 8)


@FAST
def test_an_int8_model_that_is_made_anew_leaves_the_one_in_use(source):
    first = source.quantize(list(pixels(16)))
    second = source.quantize(list(pixels(16, 1)))
    assert first.digest != second.digest
    assert make_engine(source, "openvino", "int8", 8).precision == f"int8-{first.digest}"
    for made in (first, second):
        precision = f"int8-{made.digest}"
        assert make_engine(source, "openvino", precision, 8).precision == precision
    source.use(f"int8-{second.digest}")
    assert source.named("int8") == f"int8-{second.digest}"
    assert source.quantized() == second


@FAST
def test_what_a_library_fails_at_is_a_typed_error(source):
    with pytest.raises(ConfigurationError, match="cannot quantise"):
        source.quantize([np.zeros((7, 7, 3), np.uint8)])
    with pytest.raises(ConfigurationError, match="cannot load"):
        OpenVinoEngine(KeptModel(b"<net/>", b""), "fp32")


def test_nothing_is_quantised_for_another_device(source):
    with pytest.raises(ConfigurationError, match="RAR_DEVICE=cpu"):
        replace(source, device="cuda").quantize(list(pixels(2)))


def test_only_what_a_killed_process_left_is_cleared(tmp_path):
    for name in ("draft-old", "draft-new", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x")
    for name in ("draft-old", "other"):
        os.utime(tmp_path / name, (0, 0))
    clear_drafts(tmp_path, "draft-")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["draft-new", "other"]


@FAST
def test_nothing_is_sent_to_anybody(source):
    source.converted()
    import sys

    assert not any(module.startswith("openvino_telemetry.") for module in sys.modules)
    from openvino.tools.ovc import telemetry_utils

    assert telemetry_utils.tm.__name__.endswith("telemetry_stub")


def test_another_engine_leaves_the_identity_as_it_is(name):
    plain = load_plain(name, Settings(device="cpu"))
    lower = load_encoder(name, Settings(device="cpu", precision="bf16"))
    assert lower.fingerprint.identity == plain.fingerprint.identity
    assert (lower.fingerprint.precision, plain.fingerprint.precision) == ("bf16", "fp32")
    assert lower.encode_images([draw("red", 1)]).shape == (1, 32)


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ["torch", "compile"])
def test_on_a_gpu_numbers_are_the_cpus(name, tmp_path, engine):
    cpu = load_plain(name, Settings(device="cpu")).source(tmp_path)
    gpu = load_plain(name, Settings(device="cuda")).source(tmp_path)
    expected = make_engine(cpu, "torch", "fp32", 8).run(pixels(5))
    assert np.allclose(make_engine(gpu, engine, "fp32", 8).run(pixels(5)), expected, atol=1e-3)
