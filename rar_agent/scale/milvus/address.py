"""Addresses: milvus[+tls]://[user:password@]host[:port]/[database/]name."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from rar_agent.addresses import user_of, without_user
from rar_agent.errors import InputError

PORT = 19530
TOKEN = "RAR_MILVUS_TOKEN"  # noqa: S105 - the variable's name
"""Variable with `user:password`, or an API key, for addresses that have none."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")
_FORM = "Write milvus://host:19530/name, or milvus+tls://host/database/name."


@dataclass(frozen=True)
class Address:
    """Where a memory is.

    Attributes:
        host: Name or number of the server.
        port: Of its gRPC.
        name: The memory's.
        database: Of the server; empty: its default one.
        tls: Whether to speak TLS.
        token: `user:password` or an API key; empty where none was given.
    """

    host: str
    name: str
    port: int = PORT
    database: str = ""
    tls: bool = False
    token: str = field(default="", repr=False)

    @property
    def server(self) -> str:
        """The server and its database, without secrets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        database = f"/{self.database}" if self.database else ""
        return f"milvus{'+tls' if self.tls else ''}://{host}:{self.port}{database}"

    def __str__(self) -> str:
        return f"{self.server}/{self.name}"

    @property
    def uri(self) -> str:
        """As pymilvus takes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read an address; where it has no token, that of `RAR_MILVUS_TOKEN` is used.

    Raises:
        InputError: It is none; the message shows it without secrets.
    """
    shown = without_user(text)
    try:
        parts = urlsplit(shown)
        port = PORT if parts.port is None else parts.port
        host = parts.hostname or ""
    except ValueError as error:
        raise _refused(shown, "host and port cannot be read") from error
    if parts.scheme.lower() not in ("milvus", "milvus+tls"):
        raise _refused(shown, "it does not begin with milvus:// or milvus+tls://")
    if not _HOST.fullmatch(host) or not 0 < port < 2**16:
        raise _refused(shown, "host and port cannot be read")
    if "?" in shown or "#" in shown:
        raise _refused(shown, "it has a ? or a #")
    *databases, name = parts.path.removeprefix("/").split("/")
    if len(databases) > 1 or not all(_NAME.fullmatch(part) for part in (*databases, name)):
        raise _refused(
            shown,
            "memory and database have to be named by up to 64 letters, digits and underscores, a "
            "letter first",
        )
    token = unquote(user_of(shown)) or os.environ.get(TOKEN, "")
    return Address(host, name, port, "".join(databases), parts.scheme.endswith("+tls"), token)


def _refused(shown: str, why: str) -> InputError:
    return InputError(f"'{shown}' is no address of a memory in Milvus: {why}.", _FORM)
