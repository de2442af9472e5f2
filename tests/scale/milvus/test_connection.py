"""TLS and tokens, as a server sees them."""

import base64
import os
import socket
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from rar_agent.errors import ServerError
from rar_agent.memory import create_memory, open_memory
from rar_agent.scale.milvus.address import TOKEN
from tests.memory.teaching.tiny import TinyEncoder
from tests.scale.milvus.test_equivalence import photos

pytestmark = pytest.mark.slow


@pytest.fixture
def tls(lite, tmp_path):
    """A port that speaks TLS, and passes on what comes to milvus-lite; and the authority's file."""
    trustme = pytest.importorskip("trustme", reason="needs the extra test")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols(["h2"])
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                threading.Thread(target=talk, args=(client,), daemon=True).start()

    def talk(client):
        with suppress(OSError):  # who does not believe the certificate goes
            inside = context.wrap_socket(client, server_side=True)
            outside = socket.create_connection(("127.0.0.1", lite.port))
            threading.Thread(target=pump, args=(outside, inside), daemon=True).start()
            pump(inside, outside)

    def pump(one, other):
        with suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1], tmp_path / "authority.pem"
    listening.close()


def test_tls(tls, lite, tmp_path, address):
    create_memory(tmp_path, address, TinyEncoder(), photos(3, "ash", "oak"))
    port, authority = tls
    code = (
        "import sys; from pathlib import Path; from rar_agent.memory import open_memory\n"
        "import rar_agent.scale.milvus.server as s; s.CONNECT_S = 5\n"
        "print(len(open_memory(Path(sys.argv[1]), sys.argv[2]).entries))"
    )
    encrypted = f"milvus+tls://localhost:{port}/{address.rpartition('/')[2]}"
    believing = {**os.environ, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(authority)}
    root = Path(__file__).parents[3]

    def run(place, env):
        command = [sys.executable, "-c", code, str(tmp_path / "other"), place]
        return subprocess.run(command, env=env, cwd=root, capture_output=True, text=True)

    done = run(encrypted, believing)
    assert done.stdout == "6\n", done.stderr
    assert "cannot be asked (connect)" in run(encrypted, dict(os.environ)).stderr
    plain = run(encrypted.replace("+tls", ""), believing)
    assert "cannot be asked (connect)" in plain.stderr


@pytest.fixture
def refusing(lite):
    """A gRPC server that writes down what it is sent, and refuses all."""
    grpc = pytest.importorskip("grpc", reason="needs the extra milvus")
    seen = []

    class Refuse(grpc.GenericRpcHandler):
        def service(self, call):
            seen.append(dict(call.invocation_metadata))

            def refuse(request, context):
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "auth check failure")

            return grpc.unary_unary_rpc_method_handler(refuse)

    server = grpc.server(ThreadPoolExecutor(2), handlers=(Refuse(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port, seen
    server.stop(0)


@pytest.mark.parametrize("by", ["address", "variable"])
def test_tokens(refusing, tmp_path, monkeypatch, by):
    port, seen = refusing
    name = f"milvus://127.0.0.1:{port}/vision/birds"
    if by == "address":
        name = name.replace("//", "//reader:Quitten%2Fbrot@")
    else:
        monkeypatch.setenv(TOKEN, "reader:Quitten/brot")
    with pytest.raises(ServerError) as refused:
        open_memory(tmp_path, name)
    assert f"milvus://127.0.0.1:{port}/vision cannot be asked" in str(refused.value)
    assert TOKEN in refused.value.fix
    for text in ("Quitten", base64.b64encode(b"reader:Quitten/brot").decode()):
        assert text not in str(refused.value)
    sent = {given.get("authorization") for given in seen}
    assert base64.b64encode(b"reader:Quitten/brot").decode() in sent
