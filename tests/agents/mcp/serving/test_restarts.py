"""Servers are restarted, one after the other, under load: every request is answered."""

import signal

from tests.agents.mcp.serving.conftest import Load

FAST = {"rate=5r/s": "rate=10000r/s"}  # one address asks here for many


def test_a_rolling_restart_loses_no_request(servers_of, nginx_of, alone):
    servers = servers_of(2, alone)
    nginx = nginx_of(servers, **FAST)
    with Load(nginx) as load:
        for _ in range(2):
            for server in servers:
                load.more(20)
                assert server.stop() == 0
                load.more(20)  # the other one answers alone
                server.start().wait()
    assert load.wrong == [], nginx.errors
    assert load.sent == load.right >= 160
    assert all(line.startswith("200 ") for line in nginx.logged)
    for server in servers:
        assert any(f":{server.port} 200" in line for line in nginx.logged)
