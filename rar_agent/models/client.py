"""The HTTP client under OpenAI's SDK: how long a request may take, and how many there are at once.

The SDK retries, and so waits between requests; both limits are on the requests themselves. A
timeout of HTTP clients is for each read, so a server that sends a byte a second never meets it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from socket import gaierror
from typing import Any

import openai
from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumpd
from langchain_openai._compat import httpx  # what the installed SDK stands on
from langchain_openai.chat_models.base import BaseChatOpenAI

from rar_agent.forks import Once
from rar_agent.loop import Room
from rar_agent.telemetry import mask_log, without_images

_TELLTALE = {f"x-stainless-{what}" for what in ("os", "arch", "runtime", "runtime-version")}
"""Headers in which the SDK tells the operating system, the processor and Python's version."""

_OF_BODY = {"content-length", "content-encoding", "content-type", "transfer-encoding"}

mask_log(httpx.__name__)  # it logs URLs, which may have a password

_ABSENT = (ConnectionRefusedError, gaierror, httpx.ConnectError, httpx.ConnectTimeout)
"""Of requests that never arrived."""


class Bill:
    """What a call has sent, and may be billed for.

    Attributes:
        requests: Answered without an error, or sent and never answered.
        sent: Requests that went out, retries of OpenAI's SDK too.
        body: Of the last of them, where OpenAI's SDK sent it.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.sent = 0
        self.body = b""

    @property
    def options(self) -> Mapping[str, Any] | None:
        """What the last request held beside model and messages; None where nobody could see it."""
        if not self.body:
            return None
        body = json.loads(self.body)
        return {name: body[name] for name in body if name not in ("model", "messages", "stream")}


BILL: ContextVar[Bill | None] = ContextVar("BILL", default=None)
"""Of the call that is being made."""


def may_be_billed(error: BaseException) -> bool:
    """Whether nothing says that a request was refused, or never arrived."""
    return not any(
        getattr(one, "status_code", None) is not None or isinstance(one, _ABSENT)
        for one in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


class LimitedClient(openai.DefaultAsyncHttpxClient):
    """An HTTP client with limits.

    Args:
        timeout_s: Seconds for one request, until its answer is read; None sets no limit.
        at_once: Requests at the same time.
        proxy: URL of the proxy, where it is another than the environment's.
    """

    def __init__(self, timeout_s: float | None, at_once: int, proxy: str | None = None) -> None:
        super().__init__(timeout=timeout_s, proxy=proxy)
        self._given = timeout_s, at_once, proxy
        self._timeout_s = timeout_s
        self._room = Room(at_once)
        self._process = os.getpid()

    async def send(self, request: Any, **options: Any) -> Any:  # noqa: ANN401 - of either httpx
        """Send a request when there is room, and wait for its whole answer.

        Raises:
            httpx.ReadTimeout: It took too long; the SDK retries.
        """
        if self._process != os.getpid():  # a fork must not speak into its parent's connections
            self.__init__(*self._given)  # type: ignore[misc]
        for name in _TELLTALE & request.headers.keys():
            del request.headers[name]
        async with self._room.place():
            bill = BILL.get() or Bill()
            bill.requests += 1
            bill.sent += 1
            bill.body = request.content
            try:
                async with asyncio.timeout(self._timeout_s):
                    response = await super().send(request, **options)
            except TimeoutError as error:
                message = f"no whole answer within {self._timeout_s:g} s"
                raise httpx.ReadTimeout(message, request=request) from error
            except (httpx.ConnectError, httpx.ConnectTimeout):
                bill.requests -= 1
                raise
            if response.status_code >= 400:
                bill.requests -= 1
                return _without_images(response)
            return response


def _without_images(refusal: Any) -> Any:  # noqa: ANN401 - of either httpx
    """A refusal that does not say back the images it was sent, as vLLM's do, to errors and logs."""
    said = without_images(refusal.text)
    if said == refusal.text:
        return refusal
    headers = {name: refusal.headers[name] for name in refusal.headers if name not in _OF_BODY}
    return httpx.Response(refusal.status_code, headers=headers, text=said, request=refusal.request)


@Once
def limited_client(
    server: str,  # noqa: ARG001
    timeout_s: float | None,
    at_once: int,
    proxy: str | None,
) -> LimitedClient:
    """The process's client for a server; whoever names it with the same limits shares them."""
    return LimitedClient(timeout_s, at_once, proxy)


def _written(model: BaseChatModel) -> dict[str, Any]:
    """How tracers write a model down: its options, which may hold keys, are a hash.

    The hash is there for LangChain's own cache, which tells models apart by this.
    """
    whole = dumpd(model)
    hashed = hashlib.sha256(json.dumps(whole, sort_keys=True, default=repr).encode()).hexdigest()
    named = {name: whole[name] for name in ("lc", "id", "name") if name in whole}
    return {**named, "type": "constructor", "kwargs": {"sha256": hashed}}


def asked_whole(model: BaseChatModel, at_once: int) -> BaseChatModel:
    """A model that never streams, whoever calls, and keeps to the limits where it can.

    Where a graph is streamed, LangChain would have the model stream too: another request, which
    tells no tokens and no log-probabilities. LangChain's own HTTP client is everybody's in the
    process, and belongs to the event loop that used it first.

    Args:
        model: Left as it is; one with an HTTP client of its own keeps that.
        at_once: Requests at the same time.
    """
    changes: dict[str, Any] = {"disable_streaming": True, "_serialized": _written(model)}
    if "streaming" in type(model).model_fields:
        changes["streaming"] = False
    if isinstance(model, BaseChatOpenAI) and (
        model.http_async_client is None or model.openai_proxy
    ):
        root = model.root_async_client
        seconds = root.timeout if isinstance(root.timeout, int | float) else None
        client = limited_client(str(root.base_url), seconds, at_once, model.openai_proxy or None)
        root = root.with_options(http_client=client)
        changes |= {
            "http_async_client": client,
            "root_async_client": root,
            "async_client": root.chat.completions,
        }
    return model.model_copy(update=changes)
