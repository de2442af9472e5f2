"""Asking a chat model one question, with what its server takes of all that would help."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NoReturn, Protocol, runtime_checkable
from urllib.parse import urlsplit

import numpy as np
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from langchain_openai.chat_models.base import BaseChatOpenAI

from rar_agent.errors import BudgetError, ConfigurationError, ProviderError, RarError
from rar_agent.images import MIME_TYPE, Picture
from rar_agent.models.budget import Budget
from rar_agent.models.cache import AnswerCache
from rar_agent.models.capabilities import Capabilities, Feature
from rar_agent.models.oversize import largest_side, pictures_of, shrunk, too_large, within
from rar_agent.models.prices import Price
from rar_agent.models.question import Answer, Question, answer_of
from rar_agent.models.steps import Step, Steps, arun, on_disk, run, somebody_else
from rar_agent.prompts import Message
from rar_agent.types import Usage

TOP_LOGPROBS = 20
"""Alternatives asked for at each token; 20 is OpenAI's most, and vLLM's by default."""

FEW_TOKENS = 3
"""Asked for where a letter's log-probability is read: one, and what some models say before it."""

_PATIENCE_S = 600.0  # for other calls to end, where they may hold all that is left to spend

_FINISH = ("finish_reason", "stop_reason", "stopReason", "done_reason")
"""Where providers say why an answer ended."""


@runtime_checkable
class ScoresOptions(Protocol):
    """A model in this process: it scores given answers exactly."""

    def score_options(self, messages: Sequence[BaseMessage], options: Sequence[str]) -> list[float]:
        """Log-probability of each option as the beginning of the answer."""


_Asked = Runnable[LanguageModelInput, AIMessage]


class ChatModel:
    """A chat model and what was learnt of it while asking. Thread-safe.

    The provider's SDK retries. Nothing here does, except that a request which the server refuses
    is sent again without what it may not know: `Capabilities` remembers that.

    Args:
        name: `provider:name`.
        model: The LangChain model.
        capabilities: Of its server.
        price: Of its tokens; None where it is not known.
        server: Where it is asked, and what else tells it from others of its name.
        cache: Answers that are kept; None keeps none.
        budget: What may be spent; None sets no limit.

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
    ) -> None:
        self.name = name
        self.model = model
        self.capabilities = capabilities or Capabilities()
        self._price = price
        self._server = server
        self._cache = cache
        self._budget = budget
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
        return run(self._answered(question, None))

    async def aask(self, question: Question) -> Answer:
        """Like `ask`, without blocking the event loop.

        Raises:
            ProviderError: It failed, after the SDK's retries.
            BudgetError: The limit on what may be spent is reached.
        """
        return await arun(self._answered(question, asyncio.get_running_loop()))

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
    def _speaks_openai(self) -> bool:
        return isinstance(self.model, BaseChatOpenAI)

    def _answered(self, question: Question, crowd: Hashable) -> Steps[Answer]:
        """Take what is kept, or what somebody else is being told, else ask.

        Args:
            question: That is asked.
            crowd: Who may wait for each other: threads, or one event loop. A thread that waited
                for a loop could be what the loop waits for.
        """
        cache = self._cache
        question = within(question, self.capabilities.side(len(pictures_of(question))))
        if cache is None or not question.repeatable:
            return (yield from self._paid(question))
        key = question.key(self.name, self._server)
        answer: Answer | None
        while True:
            flight, mine = cache.flights.join((key, crowd))
            if mine:
                break
            answer = yield somebody_else(flight)
            if answer is not None:
                return answer.again
        try:
            kept = yield on_disk(partial(cache.get, key))
            answer = answer_of(kept) if kept else None
            if answer is not None:
                answer = answer.again
            else:
                answer = yield from self._paid(question)
                if answer.whole:
                    yield on_disk(partial(cache.put, key, answer.to_json()))
            flight.set_result(answer)
            return answer
        except ProviderError as error:
            flight.set_exception(error)
            raise
        finally:
            cache.flights.land((key, crowd))

    def _paid(self, question: Question) -> Steps[Answer]:
        """Ask, within the budget."""
        budget = self._budget
        if budget is None:
            return (yield from self._fitting(question))
        held = budget.hold(self.name)
        while isinstance(held, Future):
            try:
                yield somebody_else(held, _PATIENCE_S)
            except TimeoutError:
                raise BudgetError(
                    f"What is left of ${budget.limit:g} is held by calls that do not end.",
                    "Do not recognise in a thread that an event loop with calls of its own needs.",
                ) from None
            held = budget.hold(self.name)
        try:
            answer = yield from self._fitting(question)
        except BaseException as error:
            refused = isinstance(error, ProviderError) and not _timed_out(error)
            budget.drop(self.name, held, billed=not refused)
            raise
        budget.settle(self.name, held, answer.usage.cost)
        return answer

    def _fitting(self, question: Question) -> Steps[Answer]:
        """Ask with smaller and smaller pictures, until the server takes them."""
        asked = question
        while True:
            try:
                answer = yield from self._asking(asked)
            except ProviderError as error:
                smaller = shrunk(asked) if too_large(error.__cause__) else None
                if smaller is None:
                    raise
                asked = smaller
            else:
                if asked is not question:
                    self.capabilities.limit(len(pictures_of(asked)), largest_side(asked))
                return answer

    def _asking(self, question: Question) -> Steps[Answer]:
        """Send requests one after another, until one is answered."""
        messages = as_langchain(question.messages)
        if question.letters and isinstance(self.model, ScoresOptions):
            score = partial(self.model.score_options, messages, question.letters)
            try:
                return self._scored(question.letters, (yield on_disk(score)))
            except Exception as error:
                self._fail(error)
        wanted: list[Feature] = ["schema"] if question.schema else []
        wanted += ["logprobs"] if question.letters else []
        wanted += ["temperature"] if "temperature" in question.settings else []
        wanted += ["max_tokens"] if question.letters or "max_tokens" in question.settings else []
        sent = [feature for feature in wanted if self.takes(feature)]
        guilty: list[Feature] = []
        certain: list[Feature] = []
        while True:
            asked = self._bound(question, sent)
            try:
                message = yield Step(
                    partial(asked.invoke, messages), partial(asked.ainvoke, messages)
                )
            except Exception as error:  # whatever a provider's package raises
                if not sent or not _refused(error) or too_large(error):
                    self._fail(error)
                named = [feature for feature in sent if _names(error, feature)]
            else:
                self.capabilities.refuse(guilty)
                return self._answer(message, "logprobs" in sent)
            dropped = named[0] if named else sent[0]
            sent.remove(dropped)
            # Of those that no message names, only the last one surely stood in the way.
            guilty, certain = [*certain, dropped], [*certain, *named[:1]]

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

    def _bound(self, question: Question, sent: Sequence[Feature]) -> _Asked:
        options = {k: v for k, v in question.settings.items() if k != "temperature"}
        extra: dict[str, Any] = {}
        if "temperature" in sent:
            options["temperature"] = question.settings["temperature"]
        if "logprobs" in sent:
            options |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS, "max_tokens": FEW_TOKENS}
        if "schema" in sent:
            form = {"name": "answer", "strict": True, "schema": question.schema}
            # with_structured_output raises on truncation, refusal and bad JSON; this never does.
            extra["response_format"] = {"type": "json_schema", "json_schema": form}
        if "max_tokens" in sent and "max_tokens" in options:
            extra["max_tokens"] = options.pop("max_tokens")  # LangChain sends the newer name
        if extra:
            options["extra_body"] = {**(getattr(self.model, "extra_body", None) or {}), **extra}
        return self.model.bind(**options) if options else self.model

    def _answer(self, message: AIMessage, few: bool) -> Answer:
        metadata = message.response_metadata
        finish = str(next((metadata[key] for key in _FINISH if metadata.get(key)), ""))
        refused = bool(message.additional_kwargs.get("refusal")) or finish == "refusal"
        return Answer(
            text="" if refused else message.text,
            usage=self._usage(message),
            model=str(metadata.get("model_name") or self.name),
            finish="refusal" if refused else finish,
            few_tokens=few and finish == "length",
            tokens=_tokens(metadata.get("logprobs")),
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
        reason = " ".join(str(error).split())[:300].rstrip(".")
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


def _refused(error: Exception) -> bool:
    """Whether the request itself was refused, perhaps for a feature."""
    status = getattr(error, "status_code", None)
    return isinstance(error, ModelInvalidRequestError) or status in (400, 422, 501)


def _timed_out(error: ProviderError) -> bool:
    return "timeout" in type(error.__cause__).__name__.casefold()


_WORDS: Mapping[Feature, tuple[str, ...]] = {
    "schema": ("response_format", "json_schema", "schema", "grammar"),
    "logprobs": ("logprobs", "top_logprobs"),
    "temperature": ("temperature",),
    "max_tokens": ("max_tokens",),
}


def _names(error: Exception, feature: Feature) -> bool:
    """Whether a refusal speaks of a feature."""
    text = str(error).casefold()
    return any(word in text for word in _WORDS[feature])


def _tokens(logprobs: object) -> tuple[Mapping[str, float], ...]:
    """OpenAI's form of log-probabilities, which a server may have left out or filled otherwise."""
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    found = []
    for token in content or ():
        alternatives: dict[str, float] = {}
        for entry in (*(token.get("top_logprobs") or ()), token):
            if isinstance(entry.get("token"), str) and isinstance(
                entry.get("logprob"), int | float
            ):
                alternatives.setdefault(entry["token"], float(entry["logprob"]))
        found.append(alternatives)
    return tuple(found)


def as_langchain(messages: Sequence[Message]) -> list[BaseMessage]:
    """Messages as LangChain sends them: pictures in base64."""
    sent: list[BaseMessage] = []
    for message in messages:
        blocks: list[str | dict[str, Any]] = [
            {"type": "image", "base64": part.base64, "mime_type": MIME_TYPE}
            if isinstance(part, Picture)
            else {"type": "text", "text": part}
            for part in message.parts
        ]
        if message.role == "user":
            sent.append(HumanMessage(content=blocks))
        else:
            kind = SystemMessage if message.role == "system" else AIMessage
            sent.append(kind(content=message.text))
    return sent
