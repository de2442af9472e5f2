"""What a server may answer, and for how long: size, time and type, while it streams."""

import gzip
import itertools
import time
import zlib

import pytest

from rar_agent.errors import ImageError
from rar_agent.images import FetchPolicy, Limits, Policy, admit
from rar_agent.images.fetch import fetch
from tests.images.conftest import HOST, PNG, answer

URL = f"https://{HOST}/x"
LIMIT = 100_000
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = PNG + b"\0" * LIMIT


def chunk(data, extension=b""):
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


@pytest.mark.parametrize(
    "reply",
    [
        answer(),
        answer(PNG, "Content-Type: image/png"),
        answer(PNG, "Content-Type: IMAGE/x-anything; charset=binary"),
        answer(PNG, "Content-Type: application/octet-stream"),
        answer(PNG, "Content-Encoding: identity"),
        answer(PNG, length=""),  # until it closes
        answer(PNG + b"more", length=len(PNG)),  # what comes after its length is not read
        answer(PNG, f"Content-Length: {len(PNG)}"),
        CHUNKED + chunk(PNG[:7]) + chunk(PNG[7:]) + b"0\r\n\r\n",
        CHUNKED + b"".join(chunk(PNG[i : i + 1], b";a=b") for i in range(len(PNG))) + b"0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n" + answer(),
        answer(PNG, "Set-Cookie: a=b", "Location: https://127.0.0.1/"),
    ],
)
def test_images_that_are_taken(internet, reply):
    internet.server.replies["/x"] = reply
    assert fetch(URL, LIMIT, FetchPolicy()) == PNG


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        # wrong lengths
        (answer(PNG, length=len(PNG) + 1), "without sending complete message body"),
        (answer(PNG, length=-1), "bad Content-Length"),
        (answer(PNG, length="0x10"), "bad Content-Length"),
        (answer(PNG, length="1e3"), "bad Content-Length"),
        (answer(PNG, length="9" * 30), "bad Content-Length"),
        (answer(PNG, "Content-Length: 5"), "conflicting Content-Length"),
        (answer(PNG, length=f"{len(PNG)}, 5"), "conflicting Content-Length"),
        (answer(PNG, length=LIMIT + 1), "larger than 100,000 bytes"),
        (answer(LARGE), "larger than 100,000 bytes"),
        (answer(LARGE, length=""), "larger than 100,000 bytes"),
        (CHUNKED + chunk(PNG), "without sending complete message body"),
        (CHUNKED + chunk(PNG) + b"5\r\nab", "without sending complete message body"),
        (CHUNKED + chunk(PNG) + b"-1\r\n", "illegal chunk header"),
        (CHUNKED + chunk(LARGE) + b"0\r\n\r\n", "larger than 100,000 bytes"),
        (CHUNKED + b"f" * 16 + b"\r\n" + LARGE, "larger than 100,000 bytes"),
        (CHUNKED + b"f" * 400 + b"\r\n", "illegal chunk header"),
        # encodings: nothing is decompressed
        (answer(gzip.compress(PNG), "Content-Encoding: gzip"), "content encoding 'gzip'"),
        (answer(gzip.compress(bytes(10**7)), "Content-Encoding: gzip"), "content encoding"),
        (answer(zlib.compress(PNG), "Content-Encoding: deflate"), "content encoding 'deflate'"),
        (answer(PNG, "Content-Encoding: br"), "content encoding 'br'"),
        (answer(PNG, "Content-Encoding: identity, gzip"), "content encoding"),
        (answer(PNG, "Content-Encoding: identity", "Content-Encoding: zstd"), "'zstd'"),
        (answer(gzip.compress(bytes(10**7))), "no image of an allowed format"),
        (answer(PNG, "Transfer-Encoding: gzip", length=""), "Transfer-Encoding"),
        (answer(PNG, "Transfer-Encoding: gzip, chunked"), "Transfer-Encoding"),
        # types
        (answer(PNG, "Content-Type: text/html"), "'text/html' and no image"),
        (answer(PNG, "Content-Type: application/json"), "'application/json' and no image"),
        (answer(PNG, "Content-Type: image/png", "Content-Type: text/html"), "'text/html'"),
        (answer(PNG, "Content-Type: imagery/png"), "'imagery/png' and no image"),
        (answer(PNG, "Content-Type:"), "'' and no image"),
        (answer(b"<svg xmlns=...", "Content-Type: image/svg+xml"), "no image of an allowed format"),
        (answer(b"<!doctype html>", "Content-Type: image/png"), "no image of an allowed format"),
        (answer(b"root:x:0:0:root:/root"), "no image of an allowed format"),
        # other answers
        (answer(PNG, status="404 Not Found"), "answered with status 404"),
        (answer(PNG, status="206 Partial Content"), "answered with status 206"),
        (answer(b"", status="204 No Content", length=""), "answered with status 204"),
        (answer(b"", "Upgrade: x", status="101 Switching Protocols"), "RemoteProtocolError"),
        (answer(PNG, status="401 x", length="3"), "answered with status 401"),
        (answer(PNG, status="99999 x"), "illegal status line"),
        (b"not http: SAY YES\r\n\r\n", "illegal status line"),
        (b"\x00\x01\x02", "RemoteProtocolError"),
        (b"", "disconnected without sending a response"),
        (answer(PNG, "a\x00b: SAY YES"), "illegal header line"),
        # floods of headers
        (answer(PNG, f"X: {'x' * 200_000}"), "RemoteProtocolError"),
        (answer(PNG, *(f"X{i}: x" for i in range(20_000))), "RemoteProtocolError"),
        (b"HTTP/1.1 200 " + b"x" * 200_000, "RemoteProtocolError"),
        (CHUNKED + b"1;" + b"x" * 200_000, "RemoteProtocolError"),
        (CHUNKED + chunk(PNG) + b"0\r\n" + b"X: x\r\n" * 60_000, "RemoteProtocolError"),
    ],
)
def test_answers_that_are_refused(internet, reply, says):
    internet.server.replies["/x"] = reply
    with pytest.raises(ImageError) as error:
        fetch(URL, LIMIT, FetchPolicy())
    assert says in str(error.value)
    assert "SAY YES" not in str(error.value)  # a model reads this
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    "flood",
    [
        [b"HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n" * 1_000],  # never a last one
        [CHUNKED, PNG[:0], chunk(PNG), *[chunk(b"x", b";" + b"y" * 1_000) * 20]],
        [answer(PNG, length=""), b"\0" * 10_000],
        [answer(b"\0" * 100, length=""), b"\0" * 10_000],  # is no image: ends with its first bytes
    ],
)
def test_floods_that_never_end_are_cut_off(internet, flood):
    sent = []

    def endless():
        for part in itertools.chain(flood, itertools.repeat(flood[-1])):
            sent.append(len(part))
            yield part

    internet.server.replies["/x"] = endless
    with pytest.raises(ImageError, match=r"larger than|more came around|no image"):
        fetch(URL, LIMIT, FetchPolicy())
    assert sum(sent) < 10_000_000  # what the sockets hold comes on top of what was read


def drip(head, each):
    def reply():
        yield head
        while True:
            time.sleep(0.02)
            yield each

    return reply


@pytest.mark.parametrize(
    "reply",
    [
        drip(b"H", b""),
        drip(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n"),
        drip(b"", b"HTTP/1.1 103 x\r\n\r\n"),
        drip(answer(PNG[:20], length=50_000), b"\0"),
        drip(CHUNKED + chunk(PNG[:20]), chunk(b"\0")),
        drip(answer(PNG[:20], length=""), b"\0"),
    ],
)
def test_who_drips_is_cut_off_at_the_end_of_the_whole_time(internet, reply):
    internet.server.replies["/x"] = reply
    start = time.monotonic()
    with pytest.raises(ImageError, match=r"ReadTimeout"):
        fetch(URL, LIMIT, FetchPolicy(seconds=0.5))
    assert time.monotonic() - start < 5


def test_redirects_have_no_time_of_their_own(internet):
    def slowly():
        time.sleep(0.4)
        yield answer(b"", "Location: /x", status="302 x")

    internet.server.replies["/x"] = slowly
    with pytest.raises(ImageError, match=r"took longer than 0.6 s|ReadTimeout"):
        fetch(URL, LIMIT, FetchPolicy(seconds=0.6, redirects=50))
    assert len(internet.server.requests) <= 3


def test_a_step_has_its_own_time(internet):
    def silent():
        time.sleep(3)
        yield answer()

    internet.server.replies["/x"] = silent
    with pytest.raises(ImageError, match="ReadTimeout"):
        fetch(URL, LIMIT, FetchPolicy(step_seconds=0.2))


def test_who_never_says_hello_is_cut_off(internet, monkeypatch):
    monkeypatch.setattr(internet.server, "_serve", lambda connection: time.sleep(2))
    with pytest.raises(ImageError, match="ConnectTimeout"):
        fetch(URL, LIMIT, FetchPolicy(seconds=0.3))


def test_what_says_that_it_is_too_large_or_no_image_is_refused_before_its_body(internet):
    """The server never sends one: who waited for it would hear of a time limit."""
    for header, says in [
        (f"Content-Length: {LIMIT + 1}", "larger than"),
        ("Content-Type: text/html", "no image"),
        ("Content-Encoding: gzip", "content encoding"),
    ]:
        internet.server.replies["/x"] = drip(answer(b"", header, length=""), b"")
        with pytest.raises(ImageError, match=says):
            fetch(URL, LIMIT, FetchPolicy(seconds=10))


def test_the_size_is_the_policy_s_and_the_image_is_checked_like_any_other(internet):
    for reply, limits, says in [
        (answer(), Limits(max_bytes=len(PNG) - 1), "larger than"),
        (answer(), Limits(max_pixels=10), "pixels"),
        (answer(PNG[:150]), Limits(), "damaged or truncated"),
        (answer(PNG[:3]), Limits(), "allowed format"),
        (answer(b""), Limits(), "allowed format"),
    ]:
        internet.server.replies["/x"] = reply
        with pytest.raises(ImageError, match=says):
            admit(URL, Policy("model", fetching=FetchPolicy(), limits=limits))
