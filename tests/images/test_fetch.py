import contextlib
import http.server
import ipaddress
import socket
import ssl
import threading
import time

import pytest

from rar_agent.errors import ImageError
from rar_agent.images import Policy, admit
from rar_agent.images.fetch import _is_public, fetch, public_address

PRIVATE = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.5.4",
    "192.168.1.1",
    "169.254.169.254",  # cloud metadata
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "fe80::1",
    "fc00::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",  # NAT64 of 127.0.0.1
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "64:ff9b:1::7f00:1",  # local-use NAT64
    "::127.0.0.1",
    "fec0::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_not_public(address):
    assert not _is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are(address):
    assert _is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "017700000001"])
def test_spellings_of_loopback_are_refused(host):
    with pytest.raises(ImageError, match=r"not a public address|does not resolve"):
        public_address(host, 443)


@pytest.mark.parametrize(
    "url",
    ["http://8.8.8.8/a.png", "ftp://8.8.8.8/a", "https://user:pw@8.8.8.8/a.png", "https:///x"],
)
def test_only_plain_https(url):
    with pytest.raises(ImageError):
        fetch(url, 1000)


def test_urls_are_off_unless_allowed_and_never_private():
    with pytest.raises(ImageError, match="RAR_ALLOW_URLS"):
        admit("https://example.com/a.png")
    with pytest.raises(ImageError, match="not a public address"):
        admit("https://127.0.0.1/a.png", Policy(allow_urls=True))


def test_all_addresses_of_a_name_have_to_be_public(monkeypatch):
    answers = [(2, 1, 6, "", (ip, 443)) for ip in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: answers)
    with pytest.raises(ImageError, match=r"10\.0\.0\.1"):
        public_address("two.example", 443)


@pytest.fixture
def https_server(tmp_path, monkeypatch):
    """A TLS server on loopback under the name images.test, whose check is told it is public."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    certificate = authority.issue_cert("images.test")

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "https://127.0.0.1/secret")
                self.end_headers()
                return
            if self.path == "/drip":
                with contextlib.suppress(OSError):
                    for _ in range(100):
                        self.wfile.write(b"H")
                        time.sleep(0.1)
                return
            body = b"x" * (5_000 if self.path == "/large" else 50)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    running.socket = context.wrap_socket(running.socket, server_side=True)
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    monkeypatch.setattr(ssl, "create_default_context", lambda: trusting)
    monkeypatch.setattr("rar_agent.images.fetch._is_public", lambda ip: True)
    real = socket.getaddrinfo

    def resolve(host, *rest, **options):
        return real("127.0.0.1" if host == "images.test" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    yield f"https://images.test:{running.server_port}"
    running.shutdown()
    running.server_close()


def test_a_body_within_the_limit_is_fetched(https_server):
    assert fetch(f"{https_server}/ok", 1000) == b"x" * 50


def test_a_body_over_the_limit_is_abandoned(https_server):
    with pytest.raises(ImageError, match="larger than 1,000 bytes"):
        fetch(f"{https_server}/large", 1000)


def test_redirects_are_not_followed(https_server):
    with pytest.raises(ImageError, match="status 302"):
        fetch(f"{https_server}/moved", 1000)


def test_a_peer_that_drips_is_cut_off_at_the_deadline(https_server, monkeypatch):
    monkeypatch.setattr("rar_agent.images.fetch.TIMEOUT_S", 0.7)
    start = time.monotonic()
    with pytest.raises(ImageError, match="ReadTimeout"):
        fetch(f"{https_server}/drip", 1000)
    assert time.monotonic() - start < 5
