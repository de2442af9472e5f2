"""Asking a chat model one question about one image, with its answer's form where it has that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_openai.chat_models.base import BaseChatOpenAI

from rar_agent.errors import ProviderError
from rar_agent.types import Usage


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Attributes:
        text: The answer; empty where it refused.
        usage: Tokens billed.
        model: The model's own name for itself, else the asked name.
        finish: The provider's reason for stopping; `refusal` where it refused.
    """

    text: str
    usage: Usage
    model: str
    finish: str


class ChatModel:
    """A chat model and what was learnt of it while asking.

    The provider's SDK retries; nothing here does, except once without a JSON schema where the
    server refuses that. Thread-safe.

    Args:
        name: `provider:name`.
        model: The LangChain model.
    """

    def __init__(self, name: str, model: BaseChatModel) -> None:
        self.name = name
        self.model = model
        # Only here is it known how to ask for a schema so that no answer is lost to an exception.
        self._takes_schema = isinstance(model, BaseChatOpenAI)

    def ask(self, system: str, text: str, image: str, schema: dict[str, Any]) -> Answer:
        """Ask about an image.

        Args:
            system: System message.
            text: The question.
            image: Data URI.
            schema: JSON schema of the answer, used where the server takes one.

        Raises:
            ProviderError: It failed, after the SDK's retries.
        """
        messages, sent = _messages(system, text, image), self._takes_schema
        try:
            return self._answer((self._bound(schema) if sent else self.model).invoke(messages))
        except Exception as error:  # whatever a provider's package raises
            if not (sent and _refused(error)):
                raise self._provider_error(error) from error
        try:
            answer = self._answer(self.model.invoke(messages))
        except Exception as error:
            raise self._provider_error(error) from error
        self._takes_schema = False  # it was the schema
        return answer

    async def aask(self, system: str, text: str, image: str, schema: dict[str, Any]) -> Answer:
        """Like `ask`, without blocking the event loop.

        Raises:
            ProviderError: It failed, after the SDK's retries.
        """
        messages, sent = _messages(system, text, image), self._takes_schema
        try:
            chosen = self._bound(schema) if sent else self.model
            return self._answer(await chosen.ainvoke(messages))
        except Exception as error:  # whatever a provider's package raises
            if not (sent and _refused(error)):
                raise self._provider_error(error) from error
        try:
            answer = self._answer(await self.model.ainvoke(messages))
        except Exception as error:
            raise self._provider_error(error) from error
        self._takes_schema = False  # it was the schema
        return answer

    def _bound(self, schema: dict[str, Any]) -> Any:  # noqa: ANN401 - a runnable
        form = {"name": "answer", "strict": True, "schema": schema}
        # with_structured_output raises on truncation, refusal and bad JSON; the bare field never.
        return self.model.bind(
            extra_body={"response_format": {"type": "json_schema", "json_schema": form}}
        )

    def _answer(self, message: AIMessage) -> Answer:
        usage = message.usage_metadata
        metadata = message.response_metadata
        refused = bool(message.additional_kwargs.get("refusal"))
        return Answer(
            text="" if refused else message.text,
            usage=Usage(
                input_tokens=usage["input_tokens"] if usage else 0,
                output_tokens=usage["output_tokens"] if usage else 0,
            ),
            model=str(metadata.get("model_name") or self.name),
            finish="refusal" if refused else str(metadata.get("finish_reason") or ""),
        )

    def _provider_error(self, error: Exception) -> ProviderError:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        return ProviderError(
            f"Model '{self.name}' failed: {type(error).__name__}: {reason}.",
            "Check the model's name, key and server: rar-agent doctor.",
        )


def _refused(error: Exception) -> bool:
    """Whether the request itself was refused, perhaps for its schema."""
    status = getattr(error, "status_code", None)
    return isinstance(error, ModelInvalidRequestError) or status in (400, 422, 501)


def _messages(system: str, text: str, image: str) -> Sequence[BaseMessage]:
    head, _, data = image.partition(",")
    mime_type = head.removeprefix("data:").removesuffix(";base64")
    blocks: list[str | dict[str, Any]] = [
        {"type": "text", "text": text},
        {"type": "image", "base64": data, "mime_type": mime_type},
    ]
    return [SystemMessage(system), HumanMessage(content=blocks)]
