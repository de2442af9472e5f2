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

import httpcore

from rar_agent.errors import ImageError

TIMEOUT_S = 20.0
"""Seconds for the whole fetch."""


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
    timeout = {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}
    headers: dict[bytes | str, bytes | str] = {
        "Accept": "image/*",
        "Accept-Encoding": "identity",
        "User-Agent": "rar-agent",
    }
    try:
        with (
            httpcore.ConnectionPool(
                ssl_context=ssl.create_default_context(), network_backend=_PinnedBackend()
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
                if time.monotonic() > deadline:
                    raise ImageError(f"'{url}' took longer than {TIMEOUT_S:.0f} s.", "Try again.")
            return bytes(body)
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        raise ImageError(
            f"'{url}' could not be fetched: {type(error).__name__} {error}.".replace(" .", "."),
            "Check the address.",
        ) from error


class _PinnedBackend(httpcore.SyncBackend):
    """Connects to an address that was checked to be public; TLS still names the host."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return super().connect_tcp(
            public_address(host, port), port, timeout, local_address, socket_options
        )


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
    return ip.is_global and not ip.is_multicast
