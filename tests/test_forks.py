"""What a forked process begins anew, while another thread of its parent's is inside."""

import threading
import time

from rar_agent.forks import Lock, Once
from tests.forks import Stuck, in_fork, needs_fork


def test_a_lock_lets_one_in_and_its_holder_again():
    lock, inside, most = Lock(), [], []

    def enter():
        with lock, lock:
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.005)
            inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1


def test_a_thing_of_the_process_is_made_once():
    @Once
    def thing(name):
        time.sleep(0.05)
        return [name]

    found = []
    threads = [threading.Thread(target=lambda: found.append(thing("x"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one is found[0] for one in found)


@needs_fork
def test_a_fork_waits_for_no_thread_of_its_parent():
    lock, stuck = Lock(), Stuck()

    @Once
    def thing():
        stuck()
        return 1

    def hold():
        with lock:
            thing()

    def take():
        with lock:
            return thing() == 1

    with stuck.held(hold):
        assert in_fork(take)
    assert take()


@needs_fork
def test_who_forks_may_hold_the_lock():
    lock = Lock()

    def leave():
        lock.__exit__()
        with lock:
            return True

    with lock:
        assert in_fork(leave)
