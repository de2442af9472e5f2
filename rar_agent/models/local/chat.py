"""The chat model."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from rar_agent.models.local.messages import InvalidRequestError, to_conversation
from rar_agent.models.local.options import Options
from rar_agent.pretrained import find_pretrained

if TYPE_CHECKING:  # torch and transformers take seconds to import
    from rar_agent.models.local.backend import Backend
    from rar_agent.models.local.generate import Generated


class LocalChatModel(BaseChatModel):
    """A vision-language model of transformers in this process.

    Takes texts and images in any order, several images, system messages; no tools, no schemas.
    `bind(logprobs=True, top_logprobs=n)` reports log-probabilities as OpenAI does. Weights load
    at the first question, once a process for all models of the same name, device, precision and
    quantisation. Thread-safe; one answer is generated at a time.

    Only safetensors are loaded, code from the hub is never run, and without `download` nothing
    opens a connection.
    """

    model: str
    """A folder, or `org/name` on the Hugging Face hub."""
    device: str = "auto"
    """Torch device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Of the weights; `auto` is the checkpoint's own."""
    quantize: Literal["4bit", "8bit"] | None = None
    """Bits of the weights, by bitsandbytes; CUDA only."""
    download: bool = False
    """Whether the model may be downloaded."""
    temperature: float = Field(default=0.0, ge=0)
    """0 takes the likeliest token each time."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Share of probability that is sampled from."""
    max_tokens: int = Field(default=512, ge=1)
    """Most tokens of an answer."""
    seed: int | None = None
    """Of the sampling."""
    stop: list[str] = Field(default_factory=list)
    """Texts that end an answer and are no part of it."""

    def check(self) -> None:
        """Look whether the model can be had, without loading it.

        Raises:
            ConfigurationError: transformers is not installed, or the model is neither on disk as
                safetensors nor allowed to be downloaded.
        """
        find_pretrained("Model", "local", self.model, self.download)

    def score_options(self, messages: Sequence[BaseMessage], options: Sequence[str]) -> list[float]:
        """Exact log-probability of each text as the answer's beginning; nothing is generated.

        The sum over the option's own tokens, given the messages: what follows, the end of the
        answer included, is left open, so `A` counts `Apple` in. One pass over the messages, and
        for options of more than one token a second one over all options in a batch that shares
        its keys and values. Where an architecture's cache cannot be shared (linear attention,
        cross-attention), the second pass is over whole sequences, messages included.

        Args:
            messages: See the class.
            options: Texts, such as letters; none of them empty.

        Returns:
            One natural logarithm for each option, in their order.

        Raises:
            InvalidRequestError: A message, block or option that cannot be used.
            ConfigurationError: The model cannot be loaded.
        """
        return self.score_options_batch([messages], [options])[0]

    def score_options_batch(
        self, batch: Sequence[Sequence[BaseMessage]], options: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """`score_options` of several lists of messages.

        Where all options are single tokens, such as letters, they go through the model as one
        batch, which the memory must hold; else one after another.

        Args:
            batch: Lists of messages.
            options: Of each of them.

        Returns:
            For each list of messages, one logarithm for each of its options.

        Raises:
            InvalidRequestError: A message, block or option that cannot be used.
            ConfigurationError: The model cannot be loaded.
        """
        if not all(options) or len(options) != len(batch):
            raise InvalidRequestError(
                f"{len(batch)} lists of messages came with {list(map(len, options))} options.",
                "Give each list of messages at least one option.",
            )
        if not batch:
            return []
        read = [to_conversation(messages) for messages in batch]
        backend = self._backend()
        from rar_agent.models.local.score import score

        with backend.lock:
            return score(
                backend,
                [conversation for conversation, _ in read],
                [images for _, images in read],
                options,
            )

    @property
    def _llm_type(self) -> str:
        return "rar-local"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        # Also the key of LangChain's cache of answers.
        weights = {"model": self.model, "precision": self.precision, "quantize": self.quantize}
        return {**weights, **self._options().model_dump()}

    def _options(self) -> Options:
        return Options(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            seed=self.seed,
            stop=tuple(self.stop),
        )

    def _backend(self) -> Backend:
        from rar_agent.models.local.load import load

        return load(self.model, self.device, self.precision, self.quantize, self.download)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - no tokens to tell it
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        options = self._options().changed({**kwargs, "stop": stop})
        answer = self._answer(messages, options)
        message = AIMessage(
            content=answer.text,
            usage_metadata=_usage(answer),
            response_metadata=self._metadata(answer),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Iterator[ChatGenerationChunk]:
        options = self._options().changed({**kwargs, "stop": stop})
        # In a thread of its own: an abandoned stream must not keep the model's lock.
        said: queue.SimpleQueue[str | Generated | BaseException] = queue.SimpleQueue()
        abandoned = threading.Event()

        def watch(text: str) -> bool:
            said.put(text)
            return abandoned.is_set()

        def work() -> None:
            try:
                said.put(self._answer(messages, options, watch))
            except BaseException as error:  # raised again below
                said.put(error)

        threading.Thread(target=work, daemon=True).start()
        sent = 0
        try:
            while isinstance(told := said.get(), str):
                text = _settled(told, options.stop)
                if len(text) > sent:
                    chunk = ChatGenerationChunk(message=AIMessageChunk(content=text[sent:]))
                    sent = len(text)
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
            if isinstance(told, BaseException):
                raise told
            last = AIMessageChunk(
                content=told.text[sent:],
                usage_metadata=_usage(told),
                response_metadata=self._metadata(told),
                chunk_position="last",
            )
            yield ChatGenerationChunk(message=last)
        finally:
            abandoned.set()

    def _answer(
        self,
        messages: Sequence[BaseMessage],
        options: Options,
        watch: Callable[[str], bool] | None = None,
    ) -> Generated:
        conversation, images = to_conversation(messages)
        backend = self._backend()
        from rar_agent.models.local.generate import generate

        with backend.lock:
            return generate(backend, backend.render(conversation), images, options, watch)

    def _metadata(self, answer: Generated) -> dict[str, Any]:
        metadata: dict[str, Any] = {"model_name": self.model, "finish_reason": answer.finish}
        if answer.logprobs is not None:
            metadata["logprobs"] = answer.logprobs
        return metadata


def _usage(answer: Generated) -> UsageMetadata:
    return UsageMetadata(
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        total_tokens=answer.input_tokens + answer.output_tokens,
    )


def _settled(text: str, stop: Sequence[str]) -> str:
    """What of an unfinished answer cannot change any more."""
    for end in stop:
        text = text.partition(end)[0]
    text = text.rstrip("\ufffd")  # the first bytes of a character
    starts = [end[:n] for end in stop for n in range(1, len(end))]
    return text[: len(text) - max((len(s) for s in starts if text.endswith(s)), default=0)]
