"""What a URL of an image may name: https, a name or address in the open, nothing local.

A URL is read once, by one strict grammar. No other parser sees it, so none can read it otherwise.
"""

from __future__ import annotations

import re
import socket
import threading
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from queue import Empty, SimpleQueue
from urllib.parse import quote

from rar_agent.errors import ImageError
from rar_agent.telemetry import events

_LONGEST = 4_096
_URL = re.compile(
    r"https://(?:(?P<host>[a-z0-9._-]{1,253})|\[(?P<ipv6>[0-9a-f:.]{2,45})\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?",
    re.ASCII | re.IGNORECASE,
)
_BROKEN = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)  # inet_aton and browsers take it for IPv4
_SAFE = "".join(map(chr, range(0x21, 0x7F)))  # printable ASCII stays as it was written

_LOCAL_ZONES = ("localhost", "local", "internal", "home.arpa")
_METADATA_HOSTS = ("metadata.packet.net", "metadata.platformequinix.com")

_SPECIAL_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared; Alibaba's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host, in no registry
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
"""IANA's special-purpose registry, multicast, reserved, and metadata services outside of them."""

_UNICAST_6 = IPv6Network("2000::/3")
_SPECIAL_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)  # third quarter of an address that carries an IPv4 one

_log = events(__name__)


@dataclass(frozen=True)
class Target:
    """A URL that was read.

    Attributes:
        host: Lower-case name, or address without brackets.
        port: 1 to 65535.
        path: Path and query, percent-encoded; the fragment is left out.
    """

    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port as a URL and the Host header have them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"

    def __str__(self) -> str:
        """The URL without its query, which may hold a signature."""
        return f"https://{self.authority}{self.path.partition('?')[0]}"


def read_url(url: str) -> Target:
    """Read a URL that may be fetched, as far as its text tells.

    Raises:
        ImageError: It is no https URL of a full host name or an address, or is not plain.
    """
    found = None if len(url) > _LONGEST or _BROKEN.search(url) else _URL.fullmatch(url)
    if found is None:
        shown = "A URL with a user name or password" if "@" in url else f"'{url:.200}'"
        raise ImageError(
            f"{shown} is not a plain https URL.".encode("utf-8", "replace").decode(),
            "Only https://host/path is fetched: no user names, no spaces or backslashes, hosts in "
            "ASCII (xn--).",
        )
    host = (found["host"] or found["ipv6"]).lower()
    port = int(found["port"] or 443)
    usual = _is_address(IPv6Address, host) if found["ipv6"] else _is_name(host)
    if not usual or not 1 <= port <= 65_535:
        raise ImageError(
            f"'{url:.200}' names no public host.",
            "Give a full host name such as www.example.com, or an address in its usual form.",
        )
    return Target(host, port, quote((found["path"] or "/") + (found["query"] or ""), _SAFE))


def _is_address(kind: type[IPv4Address | IPv6Address], host: str) -> bool:
    try:
        return bool(kind(host))
    except ValueError:
        return False


def _is_name(host: str) -> bool:
    """Whether it is a full name in the open, or an IPv4 address in its usual form.

    A final dot makes an empty label, so it is refused.
    """
    labels = host.split(".")
    return _is_address(IPv4Address, host) or (
        len(labels) > 1
        and all(map(_LABEL.fullmatch, labels))
        and not _NUMBER.fullmatch(labels[-1])
        and not any(f".{host}".endswith(f".{zone}") for zone in (*_LOCAL_ZONES, *_METADATA_HOSTS))
    )


def public_addresses(target: Target, seconds: float) -> list[str]:
    """Resolve a host once; who connects takes one of these addresses and resolves nothing.

    Args:
        target: Whose host to resolve.
        seconds: To wait for an answer.

    Raises:
        ImageError: It has no address, any of its addresses is not public, or it took too long.
    """
    answer = SimpleQueue[list[str] | OSError | UnicodeError]()
    # getaddrinfo has no limit of its own; a thread that waits too long ends with its answer
    threading.Thread(target=_resolve, args=(target, answer), daemon=True).start()
    try:
        found = answer.get(timeout=max(seconds, 0))
    except Empty:
        raise ImageError(f"'{target}' took too long to resolve.", "Try again later.") from None
    if isinstance(found, list) and found and all(map(is_public, found)):
        return found
    # who asks learns nothing of names that resolve within the network; who operates it does
    _log.warning("a URL was refused: no public host", url=str(target), resolved=str(found))
    raise ImageError(
        f"Host '{target.host}' does not resolve to public addresses alone.",
        "Only public addresses are fetched.",
    )


def _resolve(target: Target, answer: SimpleQueue[list[str] | OSError | UnicodeError]) -> None:
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        answer.put(list(dict.fromkeys(str(info[4][0]) for info in found)))
    except (OSError, UnicodeError) as error:
        answer.put(error)


def is_public(address: str) -> bool:
    """Whether an address is of the open internet, and carries none that is not.

    Of IPv6 addresses that carry an IPv4 one, only NAT64's well-known prefix is taken, since hosts
    without IPv4 see every IPv4 host under it; its IPv4 address has to be public.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv4Address):
        return ip.is_global and not any(ip in network for network in _SPECIAL_4)
    if ip.scope_id is not None:
        return False
    if ip in _NAT64:
        return is_public(str(IPv4Address(int(ip) & 0xFFFFFFFF)))
    return ip in _UNICAST_6 and not (any(ip in network for network in _SPECIAL_6) or _is_isatap(ip))


def _is_isatap(ip: IPv6Address) -> bool:
    return (int(ip) >> 32) & 0xFFFFFFFF in _ISATAP
