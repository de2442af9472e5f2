"""Fetch an image from a public https URL, by one policy. Off unless the settings allow it.

The addresses that were checked are those that are connected to, so a name that resolves
differently a moment later changes nothing. A redirect is a new URL, checked from the start. The
environment's proxies, cookies and credentials have no part in it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urljoin

import httpcore

from rar_agent.errors import ImageError
from rar_agent.images.address import Target, public_addresses, read_url
from rar_agent.images.decode import MAGIC
from rar_agent.images.policy import FetchPolicy

_REDIRECTS = (301, 302, 303, 307, 308)
_SAYS_NOTHING = ("application/octet-stream", "binary/octet-stream")  # what stores call any file
_LONGEST_MAGIC = max(map(len, MAGIC))
_AROUND = 500_000  # bytes of headers and chunk sizes that may come with a body


def fetch(url: str, max_bytes: int, policy: FetchPolicy) -> bytes:
    """Fetch an image's bytes; they begin as an image of an allowed format does.

    Args:
        url: https, to a public address, without credentials.
        max_bytes: The body is abandoned beyond this size.
        policy: What may be fetched.

    Raises:
        ImageError: The URL, or one that it redirects to, is not allowed, or the fetch failed.
    """
    budget = _Budget(policy, 2 * max_bytes + _AROUND)
    tls = ssl.create_default_context()  # certificates and names are verified
    target: Target | None = None
    for _ in range(policy.redirects + 1):
        target = _followed(url, target, policy) if target else _allowed(url, policy)
        try:
            addresses = public_addresses(target, budget.seconds())
            found = _get(target, _PinnedBackend(addresses, budget), tls, max_bytes)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise ImageError(
                f"'{target}' could not be fetched: {_why(error)}.", "Check the address."
            ) from error
        if isinstance(found, bytes):
            return found
        url = found
    raise ImageError(
        f"'{target}' redirects more than {policy.redirects} times.", "Give the image's own address."
    )


def _allowed(url: str, policy: FetchPolicy) -> Target:
    target = read_url(url)
    if target.port not in policy.ports:
        raise ImageError(
            f"'{target}' is at port {target.port}, which is not fetched from.",
            f"Allowed: {', '.join(map(str, sorted(policy.ports)))}.",
        )
    return target


def _followed(url: str, before: Target, policy: FetchPolicy) -> Target:
    """Where a redirect leads; what is refused is the server's, and models read errors."""
    try:
        return _allowed(url, policy)
    except ImageError as error:
        raise ImageError(
            f"'{before}' redirects to what is no https URL that may be fetched.",
            "Give the image's own address.",
        ) from error


def _why(error: Exception) -> str:
    text = str(error)
    if isinstance(error, httpcore.ProtocolError):
        text = text.partition(": ")[0]  # what follows is the server's, and models read this
    return f"{type(error).__name__} {text}".rstrip(" .")


def _get(
    target: Target, backend: httpcore.NetworkBackend, tls: ssl.SSLContext, max_bytes: int
) -> bytes | str:
    """The body, or where it redirects to."""
    url = httpcore.URL(scheme="https", host=target.host, port=target.port, target=target.path)
    headers: dict[bytes | str, bytes | str] = {
        "Host": target.authority,
        "Accept": "image/*",
        "Accept-Encoding": "identity",
        "User-Agent": "rar-agent",
        "Connection": "close",
    }
    with (
        httpcore.ConnectionPool(ssl_context=tls, network_backend=backend) as pool,
        pool.stream("GET", url, headers=headers) as response,
    ):
        if response.status in _REDIRECTS:
            return _location(response, target)
        if response.status != 200:
            raise ImageError(
                f"'{target}' answered with status {response.status}.",
                "Give the address of the image itself.",
            )
        _check_headers(response, target, max_bytes)
        body = bytearray()
        for chunk in response.iter_stream():
            body += chunk
            if len(body) > max_bytes:
                raise _too_large(target, max_bytes)
            if len(body) >= _LONGEST_MAGIC and not body.startswith(MAGIC):
                raise ImageError(
                    f"'{target}' is no image of an allowed format.",
                    "Give the address of the image itself.",
                )
        return bytes(body)


def _location(response: httpcore.Response, target: Target) -> str:
    places = [value for key, value in response.headers if key.lower() == b"location"]
    try:
        [place] = places
        here = f"https://{target.authority}{target.path}"
        return urljoin(here, place.decode("utf-8"))
    except ValueError as error:  # none, two, no text, half a bracket
        raise ImageError(
            f"'{target}' redirects to {len(places)} places, or to none that can be read.",
            "Give the image's own address.",
        ) from error


def _check_headers(response: httpcore.Response, target: Target, max_bytes: int) -> None:
    """Refuse before its body is read what says that it is no image, is encoded or too large."""
    for kind in _header(response, b"content-type"):
        media = kind.partition(";")[0].strip().lower()
        if not media.startswith("image/") and media not in _SAYS_NOTHING:
            raise ImageError(
                f"'{target}' is '{media:.50}' and no image.", "Give the image's own address."
            )
    for coding in _header(response, b"content-encoding"):
        if coding.strip().lower() != "identity":  # nothing is decompressed, so nothing explodes
            raise ImageError(
                f"'{target}' came with the content encoding '{coding:.50}', unasked.",
                "Give an address that serves the image as it is.",
            )
    for length in _header(response, b"content-length"):
        if int(length) > max_bytes:  # digits: h11 made sure
            raise _too_large(target, max_bytes)


def _header(response: httpcore.Response, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in response.headers if key.lower() == name]


def _too_large(target: Target, max_bytes: int) -> ImageError:
    return ImageError(f"'{target}' is larger than {max_bytes:,} bytes.", "Give a smaller one.")


class _Budget:
    """What is left of a whole fetch, its redirects included: time, and bytes to read."""

    def __init__(self, policy: FetchPolicy, max_bytes: int) -> None:
        self._policy = policy
        self._deadline = time.monotonic() + policy.seconds
        self._bytes = max_bytes

    def seconds(self) -> float:
        """For one connect, read or write.

        Raises:
            ReadTimeout: None are left.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout(f"took longer than {self._policy.seconds:g} s")
        return min(left, self._policy.step_seconds)

    def spend(self, data: bytes) -> bytes:
        """What was read.

        Raises:
            ReadError: It was too much.
        """
        self._bytes -= len(data)
        if self._bytes < 0:
            raise httpcore.ReadError("more came around the image than may be")
        return data


class _PinnedBackend(httpcore.SyncBackend):
    """Connects to one of the addresses that were checked; TLS still names the host."""

    def __init__(self, addresses: list[str], budget: _Budget) -> None:
        self._addresses = addresses
        self._budget = budget

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self._addresses:
            limit = self._budget.seconds()
            try:
                stream = super().connect_tcp(address, port, limit, local_address, socket_options)
                return _BoundedStream(stream, self._budget)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error  # as an IPv6 address does where there is IPv4 only
        raise failed


class _BoundedStream(httpcore.NetworkStream):
    """A stream that no peer keeps open by a byte now and then, or by what never becomes a body."""

    def __init__(self, stream: httpcore.NetworkStream, budget: _Budget) -> None:
        self._stream = stream
        self._budget = budget

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._budget.spend(self._stream.read(max_bytes, self._budget.seconds()))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, self._budget.seconds())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        secure = self._stream.start_tls(ssl_context, server_hostname, self._budget.seconds())
        return _BoundedStream(secure, self._budget)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401
        return self._stream.get_extra_info(info)
