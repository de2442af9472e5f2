"""Asking a chat model one question, with what its server takes of all that would help."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.runnables import Runnable
from langchain_openai.chat_models.base import BaseChatOpenAI

from rar_agent.errors import ProviderError
from rar_agent.images import MIME_TYPE, Picture
from rar_agent.models.capabilities import Capabilities, Feature
from rar_agent.models.prices import Price
from rar_agent.prompts import Message
from rar_agent.types import Usage

TOP_LOGPROBS = 20
"""Alternatives asked for at each token; 20 is OpenAI's most, and vLLM's by default."""

FEW_TOKENS = 3
"""Asked for where a letter's log-probability is read: one, and what some models say before it."""

_FINISH = ("finish_reason", "stop_reason", "stopReason", "done_reason")
"""Where providers say why an answer ended."""

_Asked = Runnable[LanguageModelInput, AIMessage]


@dataclass(frozen=True)
class Question:
    """What a model is asked.

    Attributes:
        messages: In order; the last is the user's.
        settings: `temperature`, `max_tokens`, `stop`.
        schema: JSON schema of the answer, used where the server takes one.
        letters: Of the options, where the log-probabilities of these letters as the first token
            are all that is wanted; empty where the answer is to be written out.
    """

    messages: Sequence[Message]
    settings: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    letters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Attributes:
        text: The answer; empty where it refused.
        usage: Tokens billed, and what they cost.
        model: The model's own name for itself, else the asked name.
        finish: The provider's reason for stopping; `refusal` where it refused.
        tokens: Of each token of the answer, the log-probabilities of it and its alternatives;
            empty where they were not asked for, or the server does not say.
        few_tokens: Whether it was cut off after a few tokens, because no more were asked for.
    """

    text: str
    usage: Usage
    model: str
    finish: str
    tokens: tuple[Mapping[str, float], ...] = ()
    few_tokens: bool = False


class ChatModel:
    """A chat model and what was learnt of it while asking. Thread-safe.

    The provider's SDK retries. Nothing here does, except that a request which the server refuses
    is sent again without what it may not know: `Capabilities` remembers that.

    Args:
        name: `provider:name`.
        model: The LangChain model.
        capabilities: Of its server.
        price: Of its tokens; None where it is not known.
    """

    def __init__(
        self,
        name: str,
        model: BaseChatModel,
        capabilities: Capabilities | None = None,
        price: Price | None = None,
    ) -> None:
        self.name = name
        self.model = model
        self.capabilities = capabilities or Capabilities()
        self._price = price

    def ask(self, question: Question) -> Answer:
        """Ask.

        Raises:
            ProviderError: It failed, after the SDK's retries.
        """
        messages, steps = as_langchain(question.messages), self._steps(question)
        asked = next(steps)
        while True:
            outcome: AIMessage | Exception
            try:
                outcome = asked.invoke(messages)
            except Exception as error:  # whatever a provider's package raises
                outcome = error
            try:
                asked = steps.send(outcome)
            except StopIteration as done:
                answer: Answer = done.value
                return answer

    async def aask(self, question: Question) -> Answer:
        """Like `ask`, without blocking the event loop.

        Raises:
            ProviderError: It failed, after the SDK's retries.
        """
        messages, steps = as_langchain(question.messages), self._steps(question)
        asked = next(steps)
        while True:
            outcome: AIMessage | Exception
            try:
                outcome = await asked.ainvoke(messages)
            except Exception as error:  # whatever a provider's package raises
                outcome = error
            try:
                asked = steps.send(outcome)
            except StopIteration as done:
                answer: Answer = done.value
                return answer

    def takes(self, feature: Feature) -> bool:
        """Whether the server may take a feature: nothing is known against it."""
        # Only of OpenAI's protocol is it known how to ask so that no answer is lost to an
        # exception; in-process models speak it too.
        if feature != "temperature" and not self._speaks_openai:
            return False
        return feature not in self.capabilities.refused

    @property
    def _speaks_openai(self) -> bool:
        return isinstance(self.model, BaseChatOpenAI)

    def _steps(self, question: Question) -> Generator[_Asked, AIMessage | Exception, Answer]:
        """Requests to send one after another, until one is answered."""
        wanted: list[Feature] = ["schema"] if question.schema else []
        wanted += ["logprobs"] if question.letters else []
        wanted += ["temperature"] if "temperature" in question.settings else []
        sent = [feature for feature in wanted if self.takes(feature)]
        guilty: list[Feature] = []
        certain: list[Feature] = []
        while True:
            outcome = yield self._bound(question, sent)
            if not isinstance(outcome, Exception):
                self.capabilities.refuse(guilty)
                return self._answer(outcome, "logprobs" in sent)
            if not sent or not _refused(outcome):
                raise self._provider_error(outcome) from outcome
            named = [feature for feature in sent if _names(outcome, feature)]
            dropped = named[0] if named else sent[0]
            sent.remove(dropped)
            # Of those that no message names, only the last one surely stood in the way.
            guilty, certain = [*certain, dropped], [*certain, *named[:1]]

    def _bound(self, question: Question, sent: Sequence[Feature]) -> _Asked:
        options = {k: v for k, v in question.settings.items() if k != "temperature"}
        if "temperature" in sent:
            options["temperature"] = question.settings["temperature"]
        if "logprobs" in sent:
            options |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS, "max_tokens": FEW_TOKENS}
        if "schema" in sent:
            form = {"name": "answer", "strict": True, "schema": question.schema}
            # with_structured_output raises on truncation, refusal and bad JSON; this never does.
            options["extra_body"] = {
                "response_format": {"type": "json_schema", "json_schema": form}
            }
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

    def _provider_error(self, error: Exception) -> ProviderError:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        return ProviderError(
            f"Model '{self.name}'{self._place} failed: {type(error).__name__}: {reason}.",
            "Check the model's name, key and server: rar-agent doctor.",
        )

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


_WORDS: Mapping[Feature, tuple[str, ...]] = {
    "schema": ("response_format", "json_schema", "schema", "grammar"),
    "logprobs": ("logprobs", "top_logprobs"),
    "temperature": ("temperature",),
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
