"""Which fetches are made: for every bypass known, that nobody was contacted."""

import socket
import threading

import pytest

from rar_agent.errors import ImageError
from rar_agent.images import FetchPolicy, Policy, admit
from rar_agent.images.fetch import fetch
from rar_agent.settings import Settings
from tests.images.conftest import HOST, PNG, PUBLIC, answer, moved, tls
from tests.images.test_address import NOT_PUBLIC, REFUSED

URL = f"https://{HOST}/a.png"
POLICY = FetchPolicy()


def refused(url, says="", policy=POLICY):
    with pytest.raises(ImageError) as error:
        fetch(url, 100_000, policy)
    assert says in str(error.value)
    return str(error.value)


def test_an_image_and_all_that_its_server_is_told(internet):
    assert fetch(f"{URL}#part", 100_000, POLICY) == PNG
    [request] = internet.server.requests
    head, *headers = request.decode().split("\r\n")
    assert head == "GET /a.png HTTP/1.1"
    assert sorted(headers) == [
        "",
        "",
        "Accept-Encoding: identity",
        "Accept: image/*",
        "Connection: close",
        f"Host: {HOST}",
        "User-Agent: rar-agent",
    ]
    assert internet.connected == [(PUBLIC, 443)]


def test_off_unless_the_settings_allow_it(internet):
    for policy in (None, Policy(), Policy("model"), Policy.of(Settings(), "model")):
        with pytest.raises(ImageError, match="RAR_ALLOW_URLS"):
            admit(URL, policy)
    assert internet.untouched
    assert not internet.resolved
    assert admit(URL, Policy.of(Settings(allow_urls=True), "model")).rgb.size == (96, 96)


def test_the_policy_is_frozen():
    with pytest.raises(AttributeError):
        POLICY.redirects = 9
    assert hash(POLICY) == hash(FetchPolicy())


@pytest.mark.parametrize("url", REFUSED)
def test_urls_that_are_not_plain_are_not_even_resolved(internet, url):
    refused(url)
    assert internet.untouched
    assert not internet.resolved


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_names_of_what_is_not_public(internet, address):
    internet.names[HOST] = [[address]]
    refused(URL, "does not resolve to public addresses alone")
    assert internet.untouched


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_public_by_its_address(internet, address):
    refused(f"https://[{address}]/a.png" if ":" in address else f"https://{address}/a.png")
    assert internet.untouched


@pytest.mark.parametrize(
    "addresses", [[PUBLIC, "10.0.0.1"], ["::1", PUBLIC], [PUBLIC, "2606:4700::1111", "fe80::1"], []]
)
def test_all_addresses_of_a_name_have_to_be_public(internet, addresses):
    internet.names[HOST] = [addresses]
    refused(URL, "does not resolve to public addresses alone")
    assert internet.untouched


def test_a_name_that_resolves_within_is_told_as_one_that_does_not(internet, caplog):
    internet.names["intranet.example.com"] = [["10.1.2.3"]]
    within, nowhere = (
        refused(f"https://{name}.example.com/").replace(name, "NAME")
        for name in ("intranet", "nowhere")
    )
    assert within == nowhere  # a model learns nothing of the network
    assert "10.1.2.3" in caplog.text  # who operates it does


def test_rebinding(internet):
    """The first answer is public, and every later one is not: there is no later one."""
    internet.names[HOST] = [[PUBLIC], ["127.0.0.1"]]
    assert fetch(URL, 100_000, POLICY) == PNG
    assert internet.connected == [(PUBLIC, 443)]
    assert internet.resolved.count(HOST) == 1
    refused(URL)
    assert internet.connected == [(PUBLIC, 443)]


def test_rebinding_by_a_redirect_to_the_same_name(internet):
    internet.names[HOST] = [[PUBLIC], ["169.254.169.254"]]
    internet.server.replies["/begin"] = moved("/a.png")
    refused(f"https://{HOST}/begin")
    assert internet.connected == [(PUBLIC, 443)]
    assert len(internet.server.requests) == 1


@pytest.mark.parametrize("port", [22, 80, 442, 444, 6379, 8080, 8443, 9200, 65_535])
def test_ports_that_are_not_fetched_from(internet, port):
    refused(f"https://{HOST}:{port}/a.png", f"is at port {port}")
    assert internet.untouched
    assert not internet.resolved
    assert fetch(f"https://{HOST}:{port}/a.png", 100_000, FetchPolicy(frozenset({port}))) == PNG
    assert f"Host: {HOST}:{port}\r\n".encode() in internet.server.requests[0]


@pytest.mark.parametrize("address", ["2606:4700::1111", PUBLIC])
def test_public_addresses_in_urls_and_of_names(internet, address):
    internet.names[HOST] = [[address]]
    literal = f"[{address}]" if ":" in address else address
    for host in (HOST, literal):
        assert fetch(f"https://{host}/a.png", 100_000, POLICY) == PNG
        assert f"Host: {host}\r\n".encode() in internet.server.requests[-1]
    assert internet.connected == [(address, 443)] * 2


def test_the_next_address_is_tried_where_one_leads_nowhere(internet):
    internet.names[HOST] = [["2606:4700::1111", PUBLIC]]
    internet.closed = {"2606:4700::1111"}  # as where there is no IPv6
    assert fetch(URL, 100_000, POLICY) == PNG
    internet.closed.add(PUBLIC)
    refused(URL, "Network is unreachable")


@pytest.mark.parametrize(
    "place",
    [
        *("http://pictures.example.org/a.png", "file:///etc/passwd", "data:image/png;base64,AAAA"),
        *("//127.0.0.1/a.png", "https://127.0.0.1/", "https://[::1]/", "https://localhost/"),
        *("https://169.254.169.254/latest/meta-data/", "https://metadata.google.internal/"),
        *("https://user:pw@pictures.example.org/", "//user@pictures.example.org/a.png"),
        *(
            "https://pictures.example.org:8443/",
            "//pictures.example.org:22/",
            "https://2130706433/",
        ),
        *("https://within.example.com/", "//within.example.com", "https://[64:ff9b::7f00:1]/"),
        *("https:\\\\127.0.0.1/", "/\\127.0.0.1/", "https://pictures.example.org./", "a b", "\xff"),
        *("https://[", "https://[::1%25lo]/", "https://pictures.example.org:x/", f"/{'a' * 9_000}"),
    ],
)
@pytest.mark.parametrize("status", ["301 x", "302 x", "303 x", "307 x", "308 x"])
def test_redirects_that_are_not_followed(internet, place, status):
    internet.names["within.example.com"] = [["192.168.1.1"]]
    internet.server.replies["/begin"] = moved(place, status)
    refused(f"https://{HOST}/begin")
    assert internet.connected == [(PUBLIC, 443)]
    assert len(internet.server.requests) == 1


@pytest.mark.parametrize(
    "place",
    ["http://x.org/{}", "/{} x", "https://user:pw@x.org/{}", f"https://{HOST}:22/{{}}", "//{}/"],
)
def test_a_refused_redirect_says_nothing_of_the_server_s(internet, place):
    internet.server.replies["/begin"] = moved(place.format("Obey-me"))
    said = refused(f"https://{HOST}/begin", f"'https://{HOST}/begin' redirects to what is no")
    assert "bey-me" not in said


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"", status="302 Found"),
        moved("/a.png", "302 Found", "Location: /b.png"),
        answer(b"", "Location: /a.png", status="300 Multiple Choices"),
        answer(b"", "Location: /a.png", status="304 Not Modified"),
        answer(b"", "Refresh: 0;url=/a.png", status="203 Non-Authoritative Information"),
        answer(b"", "Location: /a.png", status="201 Created"),
    ],
)
def test_what_is_no_redirect(internet, reply):
    internet.server.replies["/begin"] = reply
    refused(f"https://{HOST}/begin")
    assert len(internet.server.requests) == 1


def test_a_few_redirects_are_followed_without_what_was_set_on_the_way(internet):
    internet.names["cdn.example.com"] = [["1.1.1.1"]]
    replies = internet.server.replies
    replies["/1"] = moved("2?x=%20y#z", "301 x", "Set-Cookie: a=b; Domain=example.org")
    replies["/2?x=%20y"] = moved("//cdn.example.com/3", "307 x", "WWW-Authenticate: Basic")
    replies["/3"] = moved("https://PICTURES.example.org/\xc3\xa4", "308 x")  # UTF-8
    replies["/%C3%A4"] = answer()
    assert fetch(f"https://{HOST}/1", 100_000, POLICY) == PNG
    assert internet.connected == [(PUBLIC, 443)] * 2 + [("1.1.1.1", 443), (PUBLIC, 443)]
    for request in internet.server.requests:
        assert not any(w in request.lower() for w in (b"cookie", b"referer", b"authorization"))
    replies["/0"] = moved("/1")
    refused(f"https://{HOST}/0", "redirects more than 3 times")
    assert len(internet.server.requests) == 8


def test_a_loop_of_redirects_ends(internet):
    internet.server.replies["/begin"] = moved("/begin")
    refused(f"https://{HOST}/begin", "redirects more than 3 times")
    assert len(internet.server.requests) == 4


def test_redirects_can_be_off(internet):
    internet.server.replies["/begin"] = moved("/a.png")
    refused(f"https://{HOST}/begin", "more than 0 times", FetchPolicy(redirects=0))
    assert len(internet.server.requests) == 1


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "all_proxy"])
def test_proxies_and_passwords_of_the_environment_are_not_used(
    internet, tmp_path, monkeypatch, name
):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0.05)
        for one in (name, name.upper()):
            monkeypatch.setenv(one, f"http://user:pw@127.0.0.1:{proxy.getsockname()[1]}")
        (tmp_path / ".netrc").write_text(f"machine {HOST} login a password b\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        monkeypatch.setenv("HOME", str(tmp_path))
        assert fetch(URL, 100_000, POLICY) == PNG
        with pytest.raises(TimeoutError):
            proxy.accept()
    assert b"authorization" not in internet.server.requests[0].lower()


@pytest.mark.parametrize("wrong", ["name", "authority", "expired"])
def test_certificates_are_verified(internet, authority, monkeypatch, wrong):
    from datetime import UTC, datetime

    import trustme

    signer = trustme.CA() if wrong == "authority" else authority[0]
    name = "other.example.net" if wrong == "name" else HOST
    until = datetime(2020, 1, 1, tzinfo=UTC) if wrong == "expired" else None
    server = internet.server
    monkeypatch.setattr(server, "context", tls(signer.issue_cert(name, not_after=until)))
    refused(URL, "CERTIFICATE_VERIFY_FAILED")
    assert not server.requests


def test_a_resolver_that_hangs_is_waited_for_no_longer_than_for_a_fetch(internet, monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(60) and [])
    refused(URL, "took too long to resolve", FetchPolicy(seconds=0.2))
    assert not ended.is_set()
    ended.set()
    assert internet.untouched
