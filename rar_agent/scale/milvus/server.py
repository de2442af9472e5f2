"""Asking a Milvus server: one connection, a time limit on every call, one kind of error."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rar_agent.errors import ConfigurationError, NotFoundError, ServerError
from rar_agent.forks import OfProcess
from rar_agent.memory.format.opened import reason
from rar_agent.scale.milvus.address import TOKEN, Address
from rar_agent.telemetry.redact import redacted

if TYPE_CHECKING:
    from pymilvus import MilvusClient

CONNECT_S = 10.0
"""Seconds to connect in."""
CALL_S = 60  # whole: pymilvus bounds its wait for an index by whole numbers alone
"""Seconds that a call may take."""
BUILD_S = 3_600
"""Seconds that loading, or building an index, may take."""
MOST_FOUND = 16_384
"""Rows that Milvus gives for one question, or finds for one query."""
SETTLED_S = 10.0
"""Seconds after which what was written is seen with bounded staleness too."""

_NO_COLLECTION, _NOT_LOADED = 100, 101  # Milvus's own numbers
# A server that was away is tried again soon, not after gRPC's two minutes.
_CHANNEL = {
    "grpc.max_reconnect_backoff_ms": 2_000,
    "grpc.use_local_subchannel_pool": 1,
    "grpc.keepalive_time_ms": 300_000,  # what gRPC servers allow where nobody says otherwise
}


class MissingError(NotFoundError):
    """There is no collection of that name."""


class Server(OfProcess):
    """One server, as one user. Thread-safe; a forked process connects anew.

    Args:
        address: The server's, with a token if it wants one.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        super().__init__()

    def _begin(self) -> None:
        self._client: MilvusClient | None = None

    @property
    def client(self) -> MilvusClient:
        """The connection, made when it is first needed.

        Raises:
            ConfigurationError: pymilvus is not installed.
            ServerError: Nobody answers, or the token is refused.
        """
        if self._client is None:
            try:
                from pymilvus import MilvusClient
            except ImportError as error:
                raise ConfigurationError(
                    f"pymilvus is not installed, which {self.address.server} is asked with.",
                    "Run: pip install 'rar-agent[milvus]'",
                ) from error
            # It logs each error with a traceback, to standard error; here all are raised.
            logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
            address = self.address
            try:
                self._client = MilvusClient(
                    address.uri,
                    token=address.token,
                    db_name=address.database,
                    timeout=CONNECT_S,
                    dedicated=True,
                    grpc_options=_CHANNEL,
                )
            except Exception as error:
                raise self._error("connect", error) from None  # its text may hold the token
        return self._client

    def ask(self, method: str, limit_s: int = CALL_S, **arguments: Any) -> Any:  # noqa: ANN401
        """Call a method of the connection.

        Args:
            method: Its name.
            limit_s: Seconds that it may take.
            **arguments: Its own.

        Raises:
            MissingError: The collection that it is asked of is not there.
            ServerError: It cannot be asked, or refuses.
        """
        client, collection = self.client, arguments.get("collection_name")
        try:
            try:
                return getattr(client, method)(timeout=limit_s, **arguments)
            except Exception as error:
                if getattr(error, "code", None) != _NOT_LOADED:
                    raise
            client.load_collection(collection_name=collection, timeout=BUILD_S)  # it was restarted
            return getattr(client, method)(timeout=limit_s, **arguments)
        except Exception as error:
            if getattr(error, "code", None) == _NO_COLLECTION:
                raise MissingError(
                    f"There is no collection {collection} at {self.address.server}.",
                    f"Look whether the memory was deleted: rar-agent memory show {self.address}",
                ) from None
            if not isinstance(getattr(error, "code", None), int):  # not what Milvus said
                self._client = None
            raise self._error(method, error) from None

    def query(
        self, collection: str, where: str, fields: Sequence[str], settled: bool = False
    ) -> list[dict[str, Any]]:
        """Rows that an expression holds for, up to `MOST_FOUND`.

        Args:
            collection: Its name.
            where: The expression.
            fields: To be given.
            settled: Whether what was written in the last seconds does not matter.
        """
        found = self.ask(
            "query",
            collection_name=collection,
            filter=where,
            output_fields=list(fields),
            limit=MOST_FOUND,
            consistency_level="Bounded" if settled else "Strong",
        )
        return [dict(row) for row in found]

    def count(self, collection: str, where: str) -> int:
        """How many rows an expression holds for."""
        found = self.ask(
            "query",
            collection_name=collection,
            filter=where,
            output_fields=["count(*)"],
            consistency_level="Strong",
        )
        return int(found[0]["count(*)"])

    def _error(self, method: str, error: Exception) -> ServerError:
        why = redacted(reason(getattr(error, "message", None) or error))
        if self.address.token:
            why = why.replace(self.address.token, f"[{TOKEN}]")
        fix = "Check that Milvus runs there, and can be reached from here."
        if any(word in _whole(error) for word in ("auth", "permission")):
            fix = f"Give user and password, or an API key, by {TOKEN}=user:password."
        elif "no vector index" in _whole(error):
            fix = f"Wait, if it is being compacted; else: rar-agent memory compact {self.address}"
        return ServerError(f"{self.address.server} cannot be asked ({method}): {why}.", fix)


def _whole(error: BaseException | None) -> str:
    """What an error says, and those that it came of: pymilvus tells little of a refusal."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:  # it raises errors from themselves
        seen.append(error)
        error = error.__cause__ if error.__cause__ not in (None, error) else error.__context__
    return " ".join(str(one).lower() for one in seen)
