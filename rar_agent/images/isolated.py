"""Decoding in processes of their own, so that no file can hurt more than one of them.

A worker imports Pillow, NumPy and this package's decode path, has a limit on memory and time, and
can open nothing. What it answers is believed as far as its length is right.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

from PIL import Image

from rar_agent.errors import ConfigurationError, ImageError
from rar_agent.forks import Lock, OfProcess
from rar_agent.images.decode import decode
from rar_agent.images.policy import Isolation, Limits, Policy
from rar_agent.images.worker import ANSWER, ERROR, PIXELS, READY, REQUEST, receive

MOST = min(4, os.cpu_count() or 1)
"""Workers at the same time; who wants more waits."""
IMAGES = 500
"""That a worker decodes, before another takes its place."""

_START_S = 60  # a worker imports for half a second, where the machine is not busy
_LONGEST_ERROR = 65_536
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from rar_agent.images.worker import serve; serve()"
)
_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "SYSTEMROOT")


def decode_under(data: bytes, name: str, policy: Policy, detail: int = 0) -> Image.Image:
    """Like `decode`, in a process of its own where the policy isolates.

    Args:
        data: The whole file.
        name: For messages.
        policy: Limits, and whether to isolate.
        detail: See `decode`.

    Raises:
        ImageError: As `decode`; or it took too long, too much memory, or the worker's life.
        ConfigurationError: No worker can be started.
    """
    wanted = 0 if policy.whole else detail
    if policy.isolation is None:
        return decode(data, name, policy.limits, wanted)
    return _workers.decode(data, name, policy.limits, wanted, policy.isolation)


class _Worker:
    """One process, that answers one thread at a time, once it is started."""

    def __init__(self, megabytes: int) -> None:
        self.megabytes = megabytes
        self.answered = 0
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._connection, self._theirs = socket.socketpair()
        except OSError as error:
            raise _not_started(str(error)) from error

    def start(self) -> None:
        """Begin the process, and wait until it is ready.

        Raises:
            ConfigurationError: It cannot be started.
        """
        given = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        path = json.dumps([os.path.abspath(place) for place in sys.path])  # noqa: PTH100 - "" too
        try:
            with self._theirs:
                self._process = subprocess.Popen(  # noqa: S603 - this interpreter
                    [sys.executable, "-P", "-s", "-c", _PROGRAM, str(self.megabytes), path],
                    stdin=self._theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={**given, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                    start_new_session=True,  # Ctrl-C is for who started it
                )
        except OSError as error:
            raise _not_started(str(error)) from error
        try:
            ready = self._receive(len(READY), time.monotonic() + _START_S) == READY
        except (OSError, EOFError):
            ready = False
        if not ready:
            raise _not_started(f"status {self.end()}")

    def decode(
        self, data: bytes, name: str, limits: Limits, detail: int, seconds: float
    ) -> Image.Image:
        """Let it decode.

        Raises:
            ImageError: As it says.
            OSError, EOFError: It is gone, took too long, or does not say what it should.
        """
        about = {
            "name": name,
            "limits": [limits.max_bytes, limits.max_pixels, limits.max_frames],
            "detail": detail,
            "seconds": seconds,
        }
        text = json.dumps(about).encode()
        end = time.monotonic() + seconds
        self._wait_until(end)
        self._connection.sendall(REQUEST.pack(len(text), len(data)) + text)
        self._connection.sendall(data)
        kind, first, second = ANSWER.unpack(self._receive(ANSWER.size, end))
        self.answered += 1
        if kind == ERROR and first <= _LONGEST_ERROR:
            raise _told(self._receive(first, end))
        if kind != PIXELS or not 0 < first * second <= limits.max_pixels:
            raise EOFError
        pixels = self._receive(first * second * 3, end)
        return Image.frombytes("RGB", (first, second), pixels)

    def _receive(self, size: int, end: float) -> bytearray:
        return receive(self._connection, size, lambda: self._wait_until(end))

    def _wait_until(self, end: float) -> None:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)

    @property
    def alive(self) -> bool:
        """Whether it may be asked again."""
        begun = self._process is not None and self._process.poll() is None
        return begun and self.answered < IMAGES

    def leave(self) -> None:
        """Close its socket, all that a forked process, whose it is not, has to do."""
        self._connection.close()
        self._theirs.close()

    def end(self, wait_s: float = 0) -> int:
        """End it; its exit status, where it ended by itself in time; 0 if it was never begun."""
        self.leave()
        if self._process is None:
            return 0
        with suppress(subprocess.TimeoutExpired):
            return int(self._process.wait(wait_s))
        self._process.kill()
        return int(self._process.wait())


def _told(text: bytearray) -> ImageError:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EOFError from error
    match told:
        case [str(message), str(fix)]:
            return ImageError(message, fix)
    raise EOFError


class _Workers(OfProcess):
    """Those of this process. Thread-safe; a forked process starts its own."""

    def __init__(self) -> None:
        self._all = set[_Worker]()
        self._lock = Lock()
        super().__init__()
        atexit.register(self.close)

    def _begin(self) -> None:
        for worker in self._all:
            worker.leave()  # else they would wait for this process too
        self._all.clear()
        self._idle: list[_Worker] = []
        self._room = threading.BoundedSemaphore(MOST)

    def decode(
        self, data: bytes, name: str, limits: Limits, detail: int, isolation: Isolation
    ) -> Image.Image:
        """See `decode_under`."""
        with self._room:
            while True:
                worker = self._taken(isolation.megabytes)
                before, kept = worker.answered, False
                try:
                    image = worker.decode(data, name, limits, detail, isolation.seconds)
                    kept = True
                    return image
                except ImageError:
                    kept = True
                    raise
                except TimeoutError:
                    raise _too_slow(name, isolation.seconds) from None
                except (OSError, EOFError):
                    status = worker.end(wait_s=1)
                    if status == -signal.SIGXCPU:
                        raise _too_slow(name, isolation.seconds) from None
                    if not before:  # else it may have suffered from others before this one
                        raise _deadly(name, status) from None
                finally:
                    self._returned(worker, kept)

    def _taken(self, megabytes: int) -> _Worker:
        """A worker with this limit; the others that wait make room for it."""
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return self._started(megabytes)
            if worker.alive and worker.megabytes == megabytes:
                return worker
            self._returned(worker, kept=False)

    def _started(self, megabytes: int) -> _Worker:
        worker = _Worker(megabytes)
        with self._lock:
            self._all.add(worker)  # before it starts: a fork meanwhile lets go of it too
        try:
            worker.start()
        except BaseException:
            self._returned(worker, kept=False)
            raise
        return worker

    def _returned(self, worker: _Worker, kept: bool) -> None:
        kept = kept and worker.alive
        with self._lock:
            if kept:
                self._idle.append(worker)
            else:
                self._all.discard(worker)
        if not kept:
            worker.end()

    def close(self) -> None:
        """End all."""
        with self._lock:
            left = list(self._all)
            self._all.clear()
            self._idle.clear()
        for worker in left:
            worker.end()


def _not_started(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"No process to decode images in could be started ({why}).",
        "Look for limits on memory, processes or open files, raise RAR_ISOLATE_MB, or decode in "
        "this process with RAR_ISOLATE=0.",
    )


def _too_slow(name: str, seconds: float) -> ImageError:
    return ImageError(
        f"'{name}' was not decoded within {seconds:g} seconds.",
        "Save it anew or scale it down, or raise RAR_ISOLATE_SECONDS.",
    )


def _deadly(name: str, status: int) -> ImageError:
    how = signal.Signals(-status).name if -status in set(signal.Signals) else f"status {status}"
    return ImageError(
        f"'{name}' ended the process that decoded it ({how}).",
        "The file is damaged, or takes more memory than RAR_ISOLATE_MB. Save it anew.",
    )


_workers = _Workers()
