"""Two servers behind nginx over one memory, under load: restarts, a crash, lessons.

Every request is counted, and what it was answered is checked.
"""

import signal
import time

import httpx
import pytest

from rar_agent import Category
from rar_agent.memory import add_to_memory, open_memory
from tests.agents.mcp.conftest import BEARER, data
from tests.agents.mcp.serving.conftest import ACCEPT, Load, answer, called
from tests.conftest import draw

pytestmark = pytest.mark.slow

FAST = {"rate=5r/s": "rate=10000r/s", "rar_open 20": "rar_open 100"}
"""One address asks here for many."""


@pytest.fixture(scope="module")
def servers(servers_of, alone):
    return servers_of(2, alone)


@pytest.fixture(scope="module")
def nginx(nginx_of, servers):
    return nginx_of([server.port for server in servers], changes=FAST)


def test_a_rolling_restart_loses_no_request(servers, nginx):
    with Load(nginx) as load:
        for server in servers:
            load.more(20)
            assert server.stop() == 0
            load.more(20)  # the other one answers alone
            server.start().wait()
        load.more(20)
    assert load.wrong == [], nginx.errors
    assert load.sent == load.right >= 100
    for server in servers:
        assert any(f":{server.port} 200" in line for line in nginx.logged)


def test_who_crashes_loses_what_it_was_at_and_no_more(servers, nginx):
    with Load(nginx, clients=4) as load:
        load.more(20)
        servers[0].process.send_signal(signal.SIGKILL)
        servers[0].process.wait()
        load.more(40)
        lost = len(load.wrong)
        load.more(20)
    assert lost <= 4
    assert len(load.wrong) == lost
    assert load.sent == load.right + lost
    servers[0].start().wait()


def test_a_lesson_is_known_to_all_and_each_answer_is_of_one_generation(
    home, builtin, servers, nginx
):
    """Who asks after a lesson is answered by it, or a later one, whichever process answers."""
    known, taught, answered = {}, [], []

    def note():
        memory = open_memory(home, "colours")
        known[memory.manifest.generation] = {one.name for one in memory.categories}
        taught.append((time.monotonic(), memory.manifest.generation))

    def check(found, began):
        generation = found["trace"]["generation"]
        names = {one["category"]["name"] for one in found["categories"]}
        answered.append((began, generation, names))

    note()
    with Load(nginx, check=check, top_k=26) as load:
        for number in range(4):
            lesson = [draw("yellow", 700 + 10 * number + i) for i in range(2)]
            category = Category(name=f"lesson {number}")
            add_to_memory(home, "colours", builtin, [(category, lesson)])
            note()
            for server in servers:  # each by itself, at once
                request = called("recognize_image", data=data(draw("red", number)), top_k=26)
                given = {**BEARER, **ACCEPT}
                found = answer(httpx.post(f"{server.url}/mcp", json=request, headers=given))
                assert category.name in {one["category"]["name"] for one in found["categories"]}
            load.more(20)
    assert load.wrong == [], nginx.errors
    assert load.sent == load.right == len(answered)
    for began, generation, names in answered:
        assert names == known[generation]
        assert generation >= max(number for at, number in taught if at < began)
    assert len({generation for _, generation, _ in answered}) >= 5
