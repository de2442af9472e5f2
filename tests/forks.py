"""A process forked while another thread is in the middle of something."""

import os
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")


def in_fork(work: Callable[[], object], limit_s: float = 20) -> bool:
    """Whether work comes to something true in a forked process, within a limit."""
    child = os.fork()
    if not child:
        try:
            os._exit(0 if work() else 1)
        except BaseException:  # nothing of the parent's may run here
            traceback.print_exc()
            os._exit(2)
    end = time.monotonic() + limit_s
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return False
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(ended[1]) == 0


class Stuck:
    """What a thread of this process waits in, and what a forked one passes through."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._inside, self._free = threading.Event(), threading.Event()

    def __call__(self) -> None:
        """Wait, in the process that this was made in."""
        if os.getpid() == self._process:
            self._inside.set()
            assert self._free.wait(30)

    @contextmanager
    def held(self, work: Callable[[], object]):
        """While another thread waits here, in the middle of its work."""
        thread = threading.Thread(target=work)
        thread.start()
        try:
            assert self._inside.wait(10)
            yield
        finally:
            self._free.set()
            thread.join()
