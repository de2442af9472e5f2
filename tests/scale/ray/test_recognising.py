import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rar_agent import Failure, Recognition, Recognizer
from rar_agent.encoders import load_encoder
from rar_agent.errors import InputError
from rar_agent.memory import create_memory, open_memory
from rar_agent.memory.readers import FolderReader
from rar_agent.scale.ray import RayEngine, engine
from rar_agent.settings import load_settings
from tests.conftest import COLOURS, draw
from tests.openai_server import Reply, pictures_of
from tests.scale.ray.test_teaching import known, vectors

pytestmark = pytest.mark.slow

CALL = 300 * 100e-6
"""Dollars for the server's usual answer."""


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(engine, "_ASKED", 3)  # so that there are some shards
    monkeypatch.setattr(engine, "_TAUGHT", 9)


@pytest.fixture(scope="module")
def place(tmp_path_factory, builtin, discs):
    folder = tmp_path_factory.mktemp("ray-home")
    create_memory(folder, "discs", builtin, FolderReader(discs), domain="discs")
    return folder


@pytest.fixture
def settings(place):
    return load_settings(home=place, memory="discs", device="cpu", ray_workers=2)


def photos(folder, count):
    for i in range(count):
        draw(COLOURS[i % len(COLOURS)], 300 + i).save(folder / f"{i}.png")
    return [folder / f"{i}.png" for i in range(count)]


def assert_same(ours, local):
    assert [type(one) for one in ours] == [type(one) for one in local]
    for one, other in zip(ours, local, strict=True):
        assert (getattr(one, "source", "")) == getattr(other, "source", "")
        if isinstance(one, Recognition):
            assert [c.category for c in one.categories] == [c.category for c in other.categories]
            for mine, its in zip(one.categories, other.categories, strict=True):
                assert mine.probability == pytest.approx(its.probability, abs=1e-5)
            assert (one.decision, one.trace.method) == (other.decision, other.trace.method)


def test_results_are_the_local_ones_and_so_is_a_memory(
    ray, place, settings, tmp_path, discs, builtin
):
    (tmp_path / "bad.png").write_bytes(b"no image")
    paths = photos(tmp_path, 4)
    images = [*paths, tmp_path / "bad.png", draw("red", 9), np.asarray(draw("blue", 9))]
    images += [paths[0].read_bytes(), str(paths[1])]
    recognizer = Recognizer(settings=settings)
    local = recognizer.recognize_batch(images, k=3)
    assert_same(recognizer.recognize_batch(images, engine=RayEngine(settings), k=3), local)
    assert [type(one) for one in local] == [*4 * [Recognition], Failure, *4 * [Recognition]]
    assert not list((place / "ray").iterdir())

    create_memory(place, "rayed", builtin, FolderReader(discs), engine=RayEngine(settings))
    ours, one = open_memory(place, "rayed"), open_memory(place, "discs")
    assert known(ours) == known(one)
    np.testing.assert_allclose(vectors(ours), vectors(one), atol=1e-5)


def test_what_is_wrong_is_said_before_anything_begins(settings, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'rar-agent[ray]'")
    recognizer = Recognizer("nosuch", settings=settings)
    with pytest.raises(InputError, match="no memory 'nosuch'"):
        recognizer.recognize_batch([draw("red", 1)], engine=RayEngine(settings))
    assert not list(settings.home.glob("ray/*"))


def ranking(server, settings, **more):
    asked = settings.model_copy(
        update={
            "model": "m",
            "base_url": server.url,
            "skip_ranking_at": 1.01,
            "model_retries": 0,
            "prices": load_settings(prices={"m": {"input": 100, "output": 0}}).prices,
            "cache_mb": 0,
            **more,
        }
    )
    return Recognizer(settings=asked)


class Caught(Exception):  # noqa: N818 - it is no error
    pass


@pytest.mark.parametrize(("workers", "requests", "each"), [(3, 8, 2), (4, 2, 1), (1, 5, 5)])
def test_requests_at_once_are_shared_out(
    ray, settings, tmp_path, server, monkeypatch, workers, requests, each
):
    def caught(job, shards, actors, gpus):
        raise Caught(actors, job.begin.__self__.settings.model_requests)

    monkeypatch.setattr(engine, "finished", caught)
    recognizer = ranking(server, settings, model_requests=requests)
    elsewhere = RayEngine(settings.model_copy(update={"ray_workers": workers}))
    with pytest.raises(Caught) as seen:
        recognizer.recognize_batch(photos(tmp_path, 12), engine=elsewhere)
    assert seen.value.args == (min(workers, requests), each)


def test_money_is_a_limit_of_the_whole_run(ray, settings, tmp_path, server):
    server.script = [Reply("A > B > C > D > E")]
    recognizer = ranking(server, settings, max_cost=5.5 * CALL)
    results = recognizer.recognize_batch(photos(tmp_path, 12), engine=RayEngine(settings))
    asked = [result for result in results if not result.trace.degraded]
    assert len(asked) == len(server.requests) == 5
    rest = [result.trace.reason for result in results if result.trace.degraded]
    assert all("limit of $0.165 is reached" in reason for reason in rest)


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def workers():
    """Our actors: a daemon of Ray, which this process started, is the parent of each."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            name = (place / "cmdline").read_bytes()
            if name.startswith(b"ray::MapWorker") and parent(parent(place.name)) == os.getpid():
                found.append(int(place.name))
        except (OSError, ValueError, IndexError):  # it ended
            continue
    return found


def test_of_killed_workers_no_answer_is_lost_and_requests_stay_within_the_limit(
    ray, settings, tmp_path, server
):
    images, most, killed, over = photos(tmp_path, 12), [], [], threading.Event()

    def answer(request):
        most.append(server.open + 1)
        number = len(server.requests)
        if number == 5:
            time.sleep(2)  # so that what was answered is written down
            killed.extend(workers())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            over.set()
        elif number > 5:
            over.wait(10)
        return Reply("A > B > C > D > E", delay_s=0.3)

    server.answer = answer
    limits = {"model_requests": 2, "max_cost": 100 * CALL}
    recognizer = ranking(server, settings, cache_mb=10, **limits)
    results = recognizer.recognize_batch(images, engine=RayEngine(settings))
    assert killed
    asked = Counter(pictures_of(request)[0] for request in server.requests)
    assert len(asked) == 12
    assert sum(asked.values()) <= 12 + len(killed)  # those that were on their way are asked again
    assert max(most) == 2  # one of each worker
    assert not any(result.trace.degraded for result in results)
    server.answer = None
    server.script = [Reply("A > B > C > D > E")]
    assert_same(results, ranking(server, settings).recognize_batch(images))


@pytest.mark.gpu
def test_workers_with_a_gpu_each(ray, settings, tmp_path, discs):
    on_gpu = settings.model_copy(
        update={"device": "cuda", "ray_gpus": 0.5, "home": tmp_path, "precision": "fp32"}
    )
    encoder = load_encoder("builtin", on_gpu)
    for name, where in (("here", "local"), ("there", RayEngine(on_gpu))):
        create_memory(tmp_path, name, encoder, FolderReader(discs), engine=where)
    ours, one = open_memory(tmp_path, "there"), open_memory(tmp_path, "here")
    assert known(ours) == known(one)
    np.testing.assert_allclose(vectors(ours), vectors(one), atol=1e-5)
