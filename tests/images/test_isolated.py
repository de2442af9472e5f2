"""Workers: what they may, what becomes of them, and of who asks them."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rar_agent.errors import ConfigurationError, ImageError
from rar_agent.images import Isolation, Limits, Policy, admit, isolated
from rar_agent.images.isolated import _Worker, _Workers
from rar_agent.settings import load_settings
from tests.conftest import draw, eventually
from tests.forks import needs_fork
from tests.images.hostile import encoded, picture
from tests.images.hostile_jpeg import many_scans, resized
from tests.images.hostile_others import gif

ISOLATED = Policy(isolation=Isolation(seconds=60))
PNG = encoded(draw("red", 1), "PNG")
LARGE = encoded(picture(3_000, 2_000), "PNG")


@pytest.fixture(autouse=True)
def none_left():
    isolated._workers.close()
    yield
    isolated._workers.close()


def running():
    return [worker._process.pid for worker in isolated._workers._all]


def gone(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().split()[2] == "Z"
    except OSError:
        pass
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    return False


def test_none_is_started_before_it_is_needed():
    admit(PNG)
    assert not running()


def test_a_worker_answers_one_after_another():
    for _ in range(3):
        assert admit(PNG, ISOLATED).rgb.tobytes() == admit(PNG).rgb.tobytes()
    assert len(running()) == 1


def test_detail_and_names_get_there():
    data = encoded(picture(800, 600), "JPEG")
    assert (
        admit(data, ISOLATED, detail=50).rgb.size == admit(data, detail=50).rgb.size == (200, 150)
    )
    with pytest.raises(ImageError, match=r"'7 bytes' is not an image"):
        admit(b"no imag", ISOLATED)


def test_the_policy_s_limits_are_the_worker_s():
    few = Policy(limits=Limits(max_pixels=99), isolation=Isolation())
    with pytest.raises(ImageError, match="the limit is 99"):
        admit(PNG, few)


def test_what_a_worker_imports():
    worker = _Worker(3_000)
    worker.start()
    if Path("/proc/self/maps").exists():
        mapped = Path(f"/proc/{worker._process.pid}/maps").read_text()
        assert "_imaging" in mapped
        assert "torch" not in mapped
        assert "faiss" not in mapped
    worker.end()


def test_a_worker_gets_no_keys(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a secret")
    worker = _Worker(3_000)
    worker.start()
    if Path("/proc/self/environ").exists():
        assert b"secret" not in Path(f"/proc/{worker._process.pid}/environ").read_bytes()
    worker.end()


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not keep to it")
def test_a_file_that_takes_too_much_memory():
    little = Policy(isolation=Isolation(60, megabytes=500))
    with pytest.raises(ImageError, match="memory"):
        admit(gif(8_944, 8_944, b",\0\0\0\0\1\0\1\0\0\2\2L\1\0"), little)
    assert admit(PNG, little).rgb.size == (96, 96)


def test_a_file_that_takes_too_long():
    hasty = Policy(isolation=Isolation(seconds=0.05))
    admit(PNG, ISOLATED)
    (before,) = running()
    with pytest.raises(ImageError, match=r"not decoded within 0\.05 seconds"):
        admit(resized(8_000, 8_000), hasty)
    assert gone(before)
    assert admit(PNG, ISOLATED).rgb.size == (96, 96)


def test_processor_time_ends_a_worker_that_nobody_waits_for(monkeypatch):
    monkeypatch.setattr(_Worker, "_wait_until", lambda self, end: self._connection.settimeout(None))
    with pytest.raises(ImageError, match=r"not decoded within 0\.1 seconds"):
        admit(many_scans(8_944, 199), Policy(isolation=Isolation(seconds=0.1)))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_costs_its_own_image_alone(number):
    admit(PNG, ISOLATED)
    (first,) = running()
    os.kill(first, number)
    assert admit(PNG, ISOLATED).rgb.size == (96, 96)
    assert running() != [first]


def test_a_file_that_kills_every_worker_is_an_error(monkeypatch):
    real = _Worker.decode

    def deadly(self, *given):
        os.kill(self._process.pid, signal.SIGSEGV)
        return real(self, *given)

    admit(PNG, ISOLATED)
    monkeypatch.setattr(_Worker, "decode", deadly)
    with pytest.raises(ImageError, match=r"ended the process that decoded it \(SIGSEGV\)"):
        admit(PNG, ISOLATED)


@pytest.mark.parametrize(
    "answer",
    [
        b"P\0\0\0\0\0\0\0\0",
        b"P\xff\xff\xff\xff\xff\xff\xff\xff",
        b"P\0\0\0\2\0\0\0\2short",
        b"E\xff\xff\xff\xff\0\0\0\0",
        b"E\0\0\0\2\0\0\0\0{}",
        b"E\0\0\0\2\0\0\0\0\xff\xff",
        b"E\0\0\0\1\0\0\0\0001",
        b'E\0\0\0\4\0\0\0\0"ab"',
        b"E\0\0\0\5\0\0\0\0[1,2]",
        pytest.param(b"E\0\0\xea\x60\0\0\0\0" + b"[" * 60_000, id="deep"),
        b"?\0\0\0\1\0\0\0\1",
        b"",
    ],
)
def test_a_worker_that_lies_is_not_believed(answer, monkeypatch):
    """As one would that a file took over."""
    program = (
        "import socket, sys; s = socket.socket(fileno=0); s.sendall(b'R'); "
        f"s.recv(1 << 20); s.sendall({answer!r})"
    )
    monkeypatch.setattr(isolated, "_PROGRAM", program)
    with pytest.raises(ImageError, match="ended the process"):
        _Workers().decode(b"data", "x", Limits(), 0, Isolation(seconds=20))


def test_a_worker_that_does_not_start(monkeypatch):
    monkeypatch.setattr(isolated, "_PROGRAM", "raise SystemExit(7)")
    with pytest.raises(ConfigurationError, match=r"could be started.*RAR_ISOLATE=0"):
        admit(PNG, ISOLATED)


def test_a_name_that_is_no_unicode_gets_there_and_back():
    with pytest.raises(ImageError, match="not an image") as refused:
        isolated.decode_under(b"no image", "a\udcff.png", ISOLATED)
    assert "a\udcff.png" in refused.value.message


@pytest.mark.parametrize("place", ["socket.socketpair", "subprocess.Popen"])
def test_a_system_that_gives_no_more(place, monkeypatch):
    def none(*_, **__):
        raise OSError(24, "Too many open files")

    made = []
    real = socket.socketpair
    monkeypatch.setattr(socket, "socketpair", lambda: made.extend(real()) or tuple(made))
    monkeypatch.setattr(f"rar_agent.images.isolated.{place}", none)
    with pytest.raises(ConfigurationError, match=r"Too many open files.*RAR_ISOLATE=0"):
        admit(PNG, ISOLATED)
    assert [one.fileno() for one in made] == [-1] * len(made)
    assert not isolated._workers._all


OPENS = """
import json, os, sys; sys.path[:] = json.loads(sys.argv.pop())
from rar_agent.errors import ImageError
from rar_agent.images import worker
def opens(*_):
    os.close(1)
    try:
        said = f"opened {os.open(os.devnull, os.O_RDONLY)}"
    except OSError as error:
        said = str(error)
    raise ImageError(said, "")
worker.decode = opens
worker.serve()
"""


def test_a_worker_opens_nothing_in_the_place_of_what_it_closes(monkeypatch):
    monkeypatch.setattr(isolated, "_PROGRAM", OPENS)
    with pytest.raises(ImageError, match="Too many open files"):
        admit(PNG, ISOLATED)


HASTY = """
import resource, sys
from rar_agent.images import Isolation, Policy, admit
resource.setrlimit(resource.RLIMIT_CPU, (25, 25))
print(admit(sys.stdin.buffer.read(), Policy(isolation=Isolation(seconds=30))).rgb.size)
"""


def test_a_limit_on_processor_time_that_is_lower_already():
    done = subprocess.run([sys.executable, "-c", HASTY], input=PNG, capture_output=True)
    assert done.stdout.split() == [b"(96,", b"96)"], done.stderr.decode()


def test_workers_are_bounded_and_shared_by_threads():
    with ThreadPoolExecutor(12) as pool:
        sizes = list(pool.map(lambda _: admit(PNG, ISOLATED).rgb.size, range(60)))
    assert set(sizes) == {(96, 96)}
    assert len(running()) <= isolated.MOST


def test_a_worker_is_replaced_after_many_images(monkeypatch):
    monkeypatch.setattr(isolated, "IMAGES", 2)
    seen = set()
    for _ in range(6):
        admit(PNG, ISOLATED)
        seen.update(running())
    assert len(running()) <= 1
    for number in seen - set(running()):
        assert gone(number)


def test_a_bomb_does_not_hurt_who_decodes_beside_it():
    hasty = Policy(isolation=Isolation(seconds=1))
    bomb = many_scans(8_944, 199)
    with ThreadPoolExecutor(4) as pool:
        bad = [pool.submit(admit, bomb, hasty) for _ in range(2)]
        good = [pool.submit(admit, PNG, ISOLATED) for _ in range(10)]
        assert {one.result().rgb.size for one in good} == {(96, 96)}
        for one in bad:
            with pytest.raises(ImageError, match="not decoded within 1 seconds"):
                one.result()


PARENT = """
import os, sys, time
from rar_agent.images import Isolation, Policy, admit, isolated
admit(sys.stdin.buffer.read(), Policy(isolation=Isolation()))
print(*[worker._process.pid for worker in isolated._workers._all], flush=True)
if sys.argv[1] == "wait":
    time.sleep(100)
"""


def parent(what):
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(PNG)
    process.stdin.close()
    return process, int(process.stdout.readline())


def test_workers_end_with_a_parent_that_ends():
    process, worker = parent("end")
    assert process.wait(30) == 0
    assert process.stderr.read() == b""
    eventually(lambda: gone(worker))


def test_workers_end_with_a_parent_that_is_killed():
    process, worker = parent("wait")
    assert not gone(worker)
    process.kill()
    process.wait()
    eventually(lambda: gone(worker))


STARTING = """
import os, threading, time
from rar_agent.images import Isolation, Policy, admit, isolated
isolated._PROGRAM = "import socket; socket.socket(fileno=0).recv(1)"
real, begun = isolated.subprocess.Popen, []
isolated.subprocess.Popen = lambda *a, **k: begun.append(real(*a, **k)) or begun[0]
threading.Thread(target=admit, args=(b"x", Policy(isolation=Isolation())), daemon=True).start()
while not begun:
    time.sleep(0.01)
time.sleep(0.1)  # until it is waited for
forked = os.fork()
if forked:
    print(begun[0].pid, forked, flush=True)
time.sleep(60)
"""


@needs_fork
def test_a_fork_keeps_no_worker_that_starts_meanwhile():
    process = subprocess.Popen([sys.executable, "-c", STARTING], stdout=subprocess.PIPE)
    worker, forked = map(int, process.stdout.readline().split())
    try:
        assert not gone(worker)
        process.kill()
        process.wait()
        eventually(lambda: gone(worker))
        assert not gone(forked)
    finally:
        os.kill(forked, signal.SIGKILL)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_starts_its_own():
    admit(PNG, ISOLATED)
    (mine,) = running()
    read, write = os.pipe()
    number = os.fork()
    if number == 0:
        try:
            admit(PNG, ISOLATED)
            told = [worker._process.pid for worker in isolated._workers._all]
            isolated._workers.close()
            os.write(write, json.dumps(told).encode())
        finally:
            os._exit(0)
    os.waitpid(number, 0)
    (theirs,) = json.loads(os.read(read, 999))
    assert theirs != mine
    assert gone(theirs)
    assert admit(PNG, ISOLATED).rgb.size == (96, 96)
    assert running() == [mine]


def test_a_fork_keeps_no_worker_of_its_parent_s():
    """Its copy of the socket would."""
    admit(PNG, ISOLATED)
    (mine,) = running()
    number = os.fork()
    if number == 0:
        time.sleep(60)
        os._exit(0)
    try:
        for worker in isolated._workers._all:
            worker._connection.close()
        eventually(lambda: gone(mine))
    finally:
        os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)


def test_who_is_interrupted_leaves_no_worker_in_the_middle_of_an_answer(monkeypatch):
    admit(LARGE, ISOLATED)
    monkeypatch.setattr(isolated, "receive", _interrupted(isolated.receive))
    with pytest.raises(KeyboardInterrupt):
        admit(LARGE, ISOLATED)
    monkeypatch.undo()
    assert not running()
    assert admit(LARGE, ISOLATED).rgb.size == (3_000, 2_000)


def _interrupted(real):
    def receive(connection, size, before):
        if size > 100:
            raise KeyboardInterrupt
        return real(connection, size, before)

    return receive


def test_settings_say_who_isolates():
    assert Policy.of(load_settings()).isolation is None
    assert Policy.of(load_settings().for_others).isolation == Isolation()
    assert Policy.of(load_settings(isolate=False).for_others).isolation is None
    asked = load_settings(isolate=True, isolate_seconds=5, isolate_mb=900)
    assert Policy.of(asked).isolation == Isolation(5, 900)


def test_the_environment_says_who_isolates(monkeypatch):
    for text, expected in (("1", True), ("false", False), ("auto", "auto")):
        monkeypatch.setenv("RAR_ISOLATE", text)
        assert load_settings().isolate == expected


def test_nobody_waits_for_a_worker_that_another_thread_starts(monkeypatch):
    monkeypatch.setattr(isolated, "MOST", 3)
    starting, real = threading.Barrier(3), _Worker.start

    def start(self):
        starting.wait(20)  # breaks where one start waits for another's end
        real(self)

    monkeypatch.setattr(_Worker, "start", start)
    workers = _Workers()
    with ThreadPoolExecutor(3) as pool:
        asked = [
            pool.submit(workers.decode, PNG, "x", Limits(), 0, Isolation(seconds=60))
            for _ in range(3)
        ]
    assert {one.result().size for one in asked} == {(96, 96)}
    workers.close()
