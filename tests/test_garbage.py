import gc
import os
import platform
import subprocess
import sys

import pytest

from rar_agent.garbage import uncollected


def test_no_garbage_is_collected_meanwhile_and_then_as_before():
    assert gc.isenabled()
    with uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="x"), uncollected():
        raise ValueError("x")
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_is_left_at_the_end_of_a_command_is_not_looked_through():
    code = """
import atexit, gc, sys
atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 10_000))  # runs last
from rar_agent.cli import main
sys.argv = ["rar-agent", "--version"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[1:] == ["False True"], done


def test_a_command_that_has_imported_all_of_torch_ends_quietly():
    code = """
import sys
import open_clip
from rar_agent.cli import main
sys.argv = ["rar-agent", "--version"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("rar-agent"), done
    assert "leaked" not in done.stderr, done


def run_as_glibc_is(code, said):
    """Run a program; malloc works as glibc has it, but for what the environment is to say."""
    free = {n: v for n, v in os.environ.items() if not n.startswith(("MALLOC_", "GLIBC_"))}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**free, **said}
    )


@pytest.mark.parametrize(
    ("shared", "said"),
    [(True, {}), (False, {}), (True, {"MALLOC_ARENA_MAX": "12"}),
     (True, {"MALLOC_TRIM_THRESHOLD_": "65536"})],
)  # fmt: skip
def test_threads_share_the_arenas_of_a_server(shared, said):
    code = f"""
import ctypes, threading
from rar_agent.garbage import share_arenas
if {shared}:
    share_arenas(4)
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
begun = threading.Barrier(12)
def work():
    begun.wait()
    libc.malloc(50_000)
    begun.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""
    done = run_as_glibc_is(code, said)
    arenas = done.stdout.count("<heap nr=")
    if not arenas:
        pytest.skip("malloc is not glibc's")
    assert (arenas <= 4) == (shared and "MALLOC_ARENA_MAX" not in said), done


@pytest.mark.parametrize(
    ("kept", "said"),
    [(True, {}), (False, {}), (True, {"MALLOC_TOP_PAD_": "0"}),
     (True, {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=7"})],
)  # fmt: skip
def test_what_is_freed_is_kept_and_not_got_anew(kept, said):
    """A block of 100 MB, taken again and freed again in a thread, costs no more pages."""
    code = f"""
import ctypes, resource, threading
from rar_agent.garbage import keep_freed, keeps_freed
if {kept}:
    keep_freed()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
def work():
    block = libc.malloc(100 << 20)
    ctypes.memset(block, 1, 100 << 20)
    libc.free(ctypes.c_void_p(block))
def faults():
    thread = threading.Thread(target=work)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread.start()
    thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), faults(), int(keeps_freed()))
"""
    done = run_as_glibc_is(code, said)
    first, second, keeps = map(int, done.stdout.split())
    if first < 10_000 or platform.libc_ver()[0] != "glibc":
        pytest.skip("pages are larger, or malloc is not glibc's")
    assert (second < 1_000) == bool(keeps) == (kept and not said), done
