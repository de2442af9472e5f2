"""The HTTP client under OpenAI's SDK: how long a request may take, and how many there are at once.

The SDK retries, and so waits between requests; both limits are on the requests themselves. A
timeout of HTTP clients is for each read, so a server that sends a byte a second never meets it.
"""

from __future__ import annotations

import asyncio
import os
from contextvars import ContextVar
from functools import cache
from typing import Any

import openai
from langchain_openai._compat import httpx  # what the installed SDK stands on

from rar_agent.loop import Room

_TELLTALE = {f"x-stainless-{what}" for what in ("os", "arch", "runtime", "runtime-version")}
"""Headers in which the SDK tells the operating system, the processor and Python's version."""


class Bill:
    """What a call may be billed for.

    Attributes:
        requests: Answered without an error, or sent and never answered.
    """

    def __init__(self) -> None:
        self.requests = 0


BILL: ContextVar[Bill | None] = ContextVar("BILL", default=None)
"""Of the call that is being made."""


class LimitedClient(openai.DefaultAsyncHttpxClient):
    """An HTTP client with limits.

    Args:
        timeout_s: Seconds for one request, until its answer is read.
        at_once: Requests at the same time.
    """

    def __init__(self, timeout_s: float, at_once: int) -> None:
        # Given a client, LangChain takes no proxy of OPENAI_PROXY.
        super().__init__(timeout=timeout_s, proxy=os.environ.get("OPENAI_PROXY") or None)
        self._limits = timeout_s, at_once
        self._room = Room(at_once)
        self._process = os.getpid()

    async def send(self, request: Any, **options: Any) -> Any:  # noqa: ANN401 - of either httpx
        """Send a request when there is room, and wait for its whole answer.

        Raises:
            httpx.ReadTimeout: It took too long; the SDK retries.
        """
        if self._process != os.getpid():  # a fork must not speak into its parent's connections
            self.__init__(*self._limits)  # type: ignore[misc]
        for name in _TELLTALE & request.headers.keys():
            del request.headers[name]
        async with self._room.place():
            bill = BILL.get() or Bill()
            bill.requests += 1
            try:
                async with asyncio.timeout(self._limits[0]):
                    response = await super().send(request, **options)
            except TimeoutError as error:
                message = f"no whole answer within {self._limits[0]:g} s"
                raise httpx.ReadTimeout(message, request=request) from error
            except (httpx.ConnectError, httpx.ConnectTimeout):
                bill.requests -= 1
                raise
            if response.status_code >= 400:
                bill.requests -= 1
            return response


@cache
def limited_client(server: str, timeout_s: float, at_once: int) -> LimitedClient:  # noqa: ARG001
    """The process's client for a server; whoever names it with the same limits shares them."""
    return LimitedClient(timeout_s, at_once)
