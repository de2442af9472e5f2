"""Fetch a public https URL. Off unless the settings allow it.

The address that was checked is the address that is connected to, so a name that resolves
differently a moment later changes nothing. Redirects are refused.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore

from rar_agent.errors import ImageError

TIMEOUT_S = 20.0
"""Seconds for the whole fetch, from connecting to the last byte."""

_STEP_S = 5.0  # for one connect, read or write
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")


def fetch(url: str, max_bytes: int) -> bytes:
    """Fetch an image's bytes.

    Args:
        url: https, to a public address, without credentials.
        max_bytes: The body is abandoned beyond this size.

    Raises:
        ImageError: The URL is not allowed, or the fetch failed.
    """
    try:
        parsed = httpcore.URL(url)
    except ValueError as error:
        raise ImageError(f"'{url}' is not a URL: {error}.", "Check it.") from error
    if parsed.scheme != b"https" or b"@" in parsed.host or "@" in url.split("/")[2]:
        raise ImageError(f"'{url}' is not a plain https URL.", "Only https is fetched.")
    deadline = time.monotonic() + TIMEOUT_S
    timeout = dict.fromkeys(("connect", "read", "write", "pool"), _STEP_S)
    headers: dict[bytes | str, bytes | str] = {
        "Accept": "image/*",
        "Accept-Encoding": "identity",
        "User-Agent": "rar-agent",
    }
    try:
        with (
            httpcore.ConnectionPool(
                ssl_context=ssl.create_default_context(), network_backend=_PinnedBackend(deadline)
            ) as pool,
            pool.stream("GET", url, headers=headers, extensions={"timeout": timeout}) as response,
        ):
            if response.status != 200:
                raise ImageError(
                    f"'{url}' answered with status {response.status}.",
                    "Give the address of the image itself; redirects are not followed.",
                )
            body = bytearray()
            for chunk in response.iter_stream():
                body += chunk
                if len(body) > max_bytes:
                    raise ImageError(f"'{url}' is larger than {max_bytes:,} bytes.", "")
            return bytes(body)
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        raise ImageError(
            f"'{url}' could not be fetched: {type(error).__name__} {error}.".replace(" .", "."),
            "Check the address.",
        ) from error


class _PinnedBackend(httpcore.SyncBackend):
    """Connects to an address that was checked to be public; TLS still names the host."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        address = public_address(host, port)
        stream = super().connect_tcp(address, port, timeout, local_address, socket_options)
        return _TimedStream(stream, self._deadline)


class _TimedStream(httpcore.NetworkStream):
    """A stream that no peer keeps open beyond the deadline by sending a byte now and then."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def _left(self, timeout: float | None) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout(f"took longer than {TIMEOUT_S:.0f} s")
        return min(left, _STEP_S if timeout is None else timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        secure = self._stream.start_tls(ssl_context, server_hostname, self._left(timeout))
        return _TimedStream(secure, self._deadline)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401
        return self._stream.get_extra_info(info)


def public_address(host: str, port: int) -> str:
    """Resolve a host to one public address.

    Raises:
        ImageError: It does not resolve, or any of its addresses is not public.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ImageError(f"Host '{host}' does not resolve.", "Check the address.") from error
    addresses = [str(info[4][0]) for info in found]
    for address in addresses:
        if not _is_public(ipaddress.ip_address(address.split("%")[0])):
            raise ImageError(
                f"Host '{host}' is {address}, which is not a public address.",
                "Only public addresses are fetched.",
            )
    return addresses[0]


def _is_public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(ip, ipaddress.IPv6Address):
        carried = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        nat64 = ip in ipaddress.ip_network("64:ff9b::/96")
        if nat64:
            carried = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if carried is not None:
            return _is_public(carried)
        if ip not in _GLOBAL_UNICAST:
            return False
    return ip.is_global and not ip.is_multicast
