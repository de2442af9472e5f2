"""Asking a chat model one question, with what its server takes of all that would help."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from copy import copy
from functools import partial
from typing import Any, NoReturn, Protocol, runtime_checkable
from urllib.parse import urlsplit

import numpy as np
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_openai import ChatOpenAI
from langchain_openai.chat_models.base import BaseChatOpenAI

from rar_agent.errors import ConfigurationError, ProviderError, RarError
from rar_agent.loop import Room, Threads, arun, run
from rar_agent.models.budget import Budget
from rar_agent.models.cache import AnswerCache
from rar_agent.models.capabilities import Capabilities, Feature
from rar_agent.models.client import BILL, Bill, LimitedClient, asked_whole, may_be_billed
from rar_agent.models.exchange import Exchange
from rar_agent.models.features import is_refusal, names, options_with, wanted
from rar_agent.models.fitting import as_known, learn, refitted
from rar_agent.models.kept import one_answer
from rar_agent.models.messages import as_langchain, finish_of, tokens_of
from rar_agent.models.oversize import too_large
from rar_agent.models.prices import Price
from rar_agent.models.question import Answer, Question
from rar_agent.models.too_many import too_many
from rar_agent.telemetry import events, model_call, redacted
from rar_agent.types import Usage

AT_ONCE = 8
"""Requests to a model at the same time, where nothing else is said."""


@runtime_checkable
class ScoresOptions(Protocol):
    """A model in this process: it scores given answers exactly."""

    def score_options(self, messages: Sequence[BaseMessage], options: Sequence[str]) -> list[float]:
        """Log-probability of each option as the beginning of the answer."""


_log = events(__name__)

_Asked = Runnable[LanguageModelInput, AIMessage]


class ChatModel:
    """A chat model and what was learnt of it while asking. Thread-safe.

    The provider's SDK retries. Nothing here does, except that a request which the server refuses
    is sent again without what it may not know: `Capabilities` remembers that.

    Args:
        name: `provider:name`.
        model: The LangChain model; what is asked is a copy that never streams.
        capabilities: Of its server.
        price: Of its tokens; None where it is not known.
        server: Where it is asked, and what else tells it from others of its name.
        cache: Answers that are kept; None keeps none.
        budget: What may be spent; None sets no limit.
        at_once: Requests at the same time, or threads of a model that is not asynchronous.
        patience_s: Seconds for one call with all its retries, likewise; None sets no limit.
        trace_images: Whether LangSmith's tracer and others that write messages down get the images.

    Attributes:
        watch: Told of each request and what came of it; None: nobody is.

    Raises:
        ConfigurationError: There is a budget, and the price is not known.
    """

    def __init__(
        self,
        name: str,
        model: BaseChatModel,
        capabilities: Capabilities | None = None,
        price: Price | None = None,
        server: str = "",
        cache: AnswerCache | None = None,
        budget: Budget | None = None,
        at_once: int = AT_ONCE,
        patience_s: float | None = None,
        trace_images: bool = False,
    ) -> None:
        self.name = name
        self.model = asked_whole(model, at_once)
        self.capabilities = capabilities or Capabilities()
        self._price = price
        self._server = server
        self._cache = cache
        self._budget = budget
        self.watch: Callable[[Exchange], object] | None = None
        self._room = Room(at_once)
        self._threads = Threads(at_once, "rar-agent-model")
        self._patience_s = patience_s
        self._trace_images = trace_images
        # LangGraph streams no message of a run with this tag: the answer is none of the graph's.
        self._config: RunnableConfig = {"run_name": name, "tags": ["nostream"]}
        if budget is not None and not (price and price.known):
            raise ConfigurationError(
                f"The price of '{name}' is not known, so a limit of ${budget.limit:g} cannot be "
                "kept.",
                "Give it in rar.toml, in dollars for a million tokens: "
                f'prices."{name}" = {{input = 0.25, output = 2.0}}',
            )

    def ask(self, question: Question) -> Answer:
        """Ask.

        Raises:
            ProviderError: It failed, after the SDK's retries.
            BudgetError: The limit on what may be spent is reached.
        """
        return run(self._answered(question))

    async def aask(self, question: Question) -> Answer:
        """Like `ask`, without blocking the event loop.

        Raises:
            ProviderError: It failed, after the SDK's retries.
            BudgetError: The limit on what may be spent is reached.
        """
        return await arun(self._answered(question))

    @property
    def server(self) -> str:
        """Where it is asked, and what else tells it from others of its name."""
        return self._server

    def anew(self) -> ChatModel:
        """The same model, of whose server nothing is known, and whose answers are not kept."""
        fresh = copy(self)
        fresh.capabilities, fresh._cache = Capabilities(), None
        return fresh

    def takes(self, feature: Feature) -> bool:
        """Whether the server may take a feature: nothing is known against it."""
        # Only of OpenAI's protocol is it known how to ask so that no answer is lost to an
        # exception.
        if feature != "temperature" and not self._speaks_openai:
            return False
        if feature == "max_tokens" and not self._compatible:
            return False
        return feature not in self.capabilities.refused

    @property
    def _compatible(self) -> bool:
        """Whether it may be a server that ignores `max_completion_tokens`, as Ollama does."""
        return isinstance(self.model, ChatOpenAI) and bool(self.model.openai_api_base)

    @property
    def _limited(self) -> bool:
        return isinstance(getattr(self.model, "http_async_client", None), LimitedClient)

    @property
    def _speaks_openai(self) -> bool:
        return isinstance(self.model, BaseChatOpenAI)

    async def _answered(self, question: Question) -> Answer:
        """Take what is kept, or what somebody else is being told, else ask."""
        cache = self._cache
        question = as_known(question, self.capabilities)
        if cache is None or not question.repeatable:
            return await self._paid(question)
        key = question.key(self.name, self._server)
        answer = await one_answer(cache, key, partial(self._paid, question))
        if answer.usage.cached:
            self._tell(Exchange(question, answer=answer, sent=0))
        return answer

    async def _paid(self, question: Question) -> Answer:
        """Ask, within the budget."""
        before = BILL.set(bill := Bill())
        try:
            return await self._within_budget(question, bill)
        finally:
            BILL.reset(before)

    async def _within_budget(self, question: Question, bill: Bill) -> Answer:
        budget = self._budget
        if budget is None:
            return await self._told(question, bill)
        while isinstance(held := budget.hold(self.name, self._at_most(question)), Future):
            await asyncio.wrap_future(held)
        try:
            answer = await self._told(question, bill)
        except BaseException:
            budget.drop(self.name, held, bill.requests, self._at_most(question))
            raise
        budget.settle(self.name, held, answer.usage.cost)
        budget.add(self.name, max(bill.requests - 1, 0), self._at_most(question))
        return answer

    def _at_most(self, question: Question) -> float:
        """US dollars that a call may cost of which nothing is known but what is asked."""
        sent, received = question.most_tokens
        usage = UsageMetadata(
            input_tokens=sent, output_tokens=received, total_tokens=sent + received
        )
        return (self._price.dollars(usage) if self._price else None) or 0.0

    async def _told(self, question: Question, bill: Bill) -> Answer:
        """Ask, and tell of it in spans and metrics."""
        with model_call(self.name) as call:
            answer = await self._fitting(question, bill)
            call.answered(answer.model, answer.finish, answer.usage)
        return answer

    async def _fitting(self, question: Question, bill: Bill) -> Answer:
        """Ask with fewer and smaller pictures, until the server takes them."""
        asked = question
        while True:
            try:
                answer = await self._asking(asked, bill)
            except ProviderError as error:
                asked = refitted(asked, error)
            else:
                learn(self.capabilities, question, asked)
                return answer

    async def _asking(self, question: Question, bill: Bill) -> Answer:
        """Send requests one after another, until one is answered."""
        messages = as_langchain(question.messages, self._trace_images)
        if question.letters and isinstance(self.model, ScoresOptions):
            score = partial(self.model.score_options, messages, question.letters)
            try:
                async with self._room.place():
                    answer = self._scored(question.letters, await self._threads.run(score))
            except Exception as error:
                self._fail(error)
            self._tell(Exchange(question, {"scored": list(question.letters)}, answer))
            return answer
        sent = [feature for feature in wanted(question) if self.takes(feature)]
        guilty: list[Feature] = []
        certain: list[Feature] = []
        while True:
            options = options_with(sent, question, getattr(self.model, "extra_body", None))
            asked = self.model.bind(**options) if options else self.model
            before = bill.sent
            try:
                message = await self._sent(asked, messages, bill)
            except Exception as error:  # whatever a provider's package raises
                self._tell_of(question, options, bill, before, refusal=redacted(str(error)))
                if not sent or not is_refusal(error) or too_large(error) or too_many(error):
                    self._fail(error)
                named = [feature for feature in sent if names(error, feature)]
            else:
                self.capabilities.refuse(guilty)
                answer = self._answer(message, "logprobs" in sent)
                self._tell_of(question, options, bill, before, answer=answer)
                return answer
            dropped = named[0] if named else sent[0]
            sent.remove(dropped)
            # Of those that no message names, only the last one surely stood in the way.
            guilty, certain = [*certain, dropped], [*certain, *named[:1]]

    async def _sent(self, asked: _Asked, messages: list[BaseMessage], bill: Bill) -> AIMessage:
        """Send one request and its retries, within the limits."""
        if self._limited:  # its client knows the limits, and what was sent
            return await asked.ainvoke(messages, self._config)
        async with self._room.nested():  # callbacks are called in it, and may ask
            bill.requests += 1
            bill.sent += 1
            if type(self.model)._agenerate is BaseChatModel._agenerate:
                answered = self._threads.run(asked.invoke, messages, self._config)
            else:
                answered = asked.ainvoke(messages, self._config)
            try:
                return await asyncio.wait_for(answered, self._patience_s)
            except Exception as error:
                if not may_be_billed(error):
                    bill.requests -= 1
                raise

    def _scored(self, letters: Sequence[str], scores: Sequence[float]) -> Answer:
        """The answer of a model that scores letters exactly, whatever else it would rather say."""
        shares = np.asarray(scores) - np.logaddexp.reduce(scores)
        return Answer(
            text=letters[int(shares.argmax())],
            usage=Usage(cost=self._price.dollars(None, "") if self._price else None),
            model=self.name,
            finish="stop",
            tokens=(dict(zip(letters, shares.tolist(), strict=True)),),
        )

    def _tell(self, exchange: Exchange) -> None:
        if self.watch:
            self.watch(exchange)

    def _tell_of(
        self,
        question: Question,
        options: Mapping[str, Any],
        bill: Bill,
        before: int,
        answer: Answer | None = None,
        refusal: str = "",
    ) -> None:
        """Tell of what really went, where that is known."""
        if self.watch:
            went = bill.options if self._limited else None
            options = options if went is None else went
            self.watch(Exchange(question, options, answer, refusal, bill.sent - before))

    def _answer(self, message: AIMessage, few: bool) -> Answer:
        finish = finish_of(message)
        return Answer(
            text="" if finish == "refusal" else message.text,
            usage=self._usage(message),
            model=str(message.response_metadata.get("model_name") or self.name),
            finish=finish,
            few_tokens=few and finish == "length",
            tokens=tokens_of(message),
        )

    def _usage(self, message: AIMessage) -> Usage:
        told = message.usage_metadata
        if told and not told["input_tokens"]:  # some servers do not count
            told = None
        tier = str(message.response_metadata.get("service_tier") or "")
        return Usage(
            input_tokens=told["input_tokens"] if told else 0,
            output_tokens=told["output_tokens"] if told else 0,
            cost=self._price.dollars(told, tier) if self._price else None,
        )

    def _fail(self, error: Exception) -> NoReturn:
        if isinstance(error, RarError) and not isinstance(error, ModelInvalidRequestError):
            raise error  # it says itself what was wrong, and who must act
        reason = " ".join(redacted(str(error)).split())[:300].rstrip(".")
        _log.info("a model failed, with all retries", model=self.name, reason=reason)
        raise ProviderError(
            f"Model '{self.name}'{self._place} failed: {type(error).__name__}: {reason}.",
            "Check the model's name, key and server: rar-agent doctor.",
        ) from error

    @property
    def _place(self) -> str:
        """Where the server is, if one was named; without what may be secret in the URL."""
        base = self.model.openai_api_base if isinstance(self.model, BaseChatOpenAI) else None
        if not base:
            return ""
        url = urlsplit(base)
        url = url._replace(netloc=url.netloc.rpartition("@")[2], query="", fragment="")
        return f" at {url.geturl()}"
