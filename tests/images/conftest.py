"""The internet as a fetch meets it: names and addresses lead where a test says, over real TLS."""

from __future__ import annotations

import _socket
import contextlib
import io
import socket
import ssl
import threading

import pytest
import trustme

from tests.conftest import draw

HOST = "pictures.example.org"
PUBLIC = "93.184.215.14"


def png():
    buffer = io.BytesIO()
    draw("red", 1).save(buffer, "PNG")
    return buffer.getvalue()


PNG = png()


def answer(body=PNG, *headers, status="200 OK", length=None):
    """A response as bytes; its length is the body's unless told, and "" leaves it out."""
    length = str(len(body)) if length is None else length
    lines = [f"HTTP/1.1 {status}", *([f"Content-Length: {length}"] if length else []), *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def moved(place, status="302 Found", *headers):
    return answer(b"", f"Location: {place}", *headers, status=status)


class Server:
    """A TLS server on loopback that answers with raw bytes, and remembers who came."""

    def __init__(self, context):
        self.context = context
        self.accepted = 0
        self.requests: list[bytes] = []
        self.replies: dict[str, object] = {}
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def begin(self):
        self.accepted, self.requests, self.replies = 0, [], {"/a.png": answer()}

    def close(self):
        self._listening.close()

    def _accept(self):
        with contextlib.suppress(OSError):  # it was closed
            while True:
                connection, _ = self._listening.accept()
                self.accepted += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        # who refuses an answer hangs up, which is no failure here
        with contextlib.suppress(OSError), connection:
            connection.settimeout(20)
            with self.context.wrap_socket(connection, server_side=True) as secure:
                request = secure.recv(65_536)
                self.requests.append(request)
                reply = self.replies[request.split(b" ")[1].decode()]
                for part in [reply] if isinstance(reply, bytes) else reply():
                    secure.sendall(part)
                secure.unwrap()


class Internet:
    """What names resolve to, and which addresses were connected to.

    Every address there is leads to the server, so that whatever is let through is answered.
    """

    def __init__(self, server):
        self.server = server
        self.names: dict[str, list[list[str]]] = {HOST: [[PUBLIC]]}
        self.closed: set[str] = set()
        self.resolved: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self._real = socket.getaddrinfo

    def getaddrinfo(self, host, port, *rest, **more):
        self.resolved.append(host)
        answers = self.names.get(host)
        if answers is None:  # what is no name needs no network
            more["flags"] = more.get("flags", 0) | socket.AI_NUMERICHOST
            return self._real(host, port, *rest, **more)
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        tcp = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [
            (socket.AF_INET6, *tcp, (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, *tcp, (address, port))
            for address in addresses
        ]

    def connect(self, sock, place):
        self.connected.append(place[:2])
        if place[0] in self.closed:
            raise OSError(101, "Network is unreachable")
        loopback = "::ffff:127.0.0.1" if sock.family == socket.AF_INET6 else "127.0.0.1"
        _socket.socket.connect(sock, (loopback, self.server.port))

    @property
    def untouched(self):
        return not self.connected and not self.server.accepted


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate authority, and the file that makes OpenSSL trust it."""
    authority = trustme.CA()
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(file)
    return authority, file


def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture(scope="module")
def one_server(authority):
    names = (HOST, "*.example.org", "*.example.com", PUBLIC, "2606:4700::1111")
    server = Server(tls(authority[0].issue_cert(*names)))
    yield server
    server.close()


@pytest.fixture
def internet(one_server, authority, monkeypatch):
    one_server.begin()
    internet = Internet(one_server)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[1]))
    monkeypatch.setattr(socket, "getaddrinfo", internet.getaddrinfo)
    monkeypatch.setattr(socket.socket, "connect", lambda *given: internet.connect(*given))
    return internet
