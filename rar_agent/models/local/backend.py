"""A loaded model with its processor: from conversations to tensors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from rar_agent.forks import Lock
from rar_agent.models.local.messages import InvalidRequestError

Conversation = list[dict[str, Any]]


class Backend:
    """A model on its device.

    Neither models nor tokenizers are thread-safe: whoever calls anything here holds `lock`.

    Args:
        model: A decoder that takes images and text.
        processor: Its processor, with a chat template.
    """

    def __init__(self, model: Any, processor: Any) -> None:  # noqa: ANN401
        self.lock = Lock()
        self.model = model
        self.processor = processor
        self.tokenizer = processor.tokenizer
        # What a checkpoint recommends for chatting (penalties, sampling) would bend answers.
        neutral = {"do_sample": False, "temperature": 1.0, "top_p": 1.0, "top_k": 50}
        model.generation_config.update(
            **neutral, repetition_penalty=1.0, num_beams=1, max_length=None, max_new_tokens=None
        )
        end = model.generation_config.eos_token_id
        end = self.tokenizer.eos_token_id if end is None else end
        self.end_ids = frozenset(end if isinstance(end, list) else [end])
        special = {t.content for t in self.tokenizer.added_tokens_decoder.values() if t.special}
        self._special = re.compile("|".join(map(re.escape, sorted(special, key=len)[::-1])) or "$^")

    def render(self, conversation: Conversation, answer: str | None = None) -> str:
        """The prompt as text, up to where the answer begins, or with an answer and its end.

        Raises:
            InvalidRequestError: The chat template refuses the messages.
        """
        said = [
            {"role": m["role"], "content": [self._without_control(part) for part in m["content"]]}
            for m in conversation
        ]
        if answer is not None:
            said.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        try:
            text: str = self.processor.apply_chat_template(
                said, add_generation_prompt=answer is None, tokenize=False
            )
        except Exception as error:  # jinja2's, or whatever a template trips over
            raise InvalidRequestError(
                f"The model's chat template refuses these messages: {error}.",
                "Some models take no system message, or want user and assistant in turn.",
            ) from error
        return text

    def inputs(self, texts: Sequence[str], images: Sequence[Sequence[Image.Image]]) -> Any:  # noqa: ANN401
        """Rendered prompts and the images of each → the model's inputs, padded on the left.

        Raises:
            InvalidRequestError: A prompt is longer than the model can take.
        """
        start = self.tokenizer.bos_token
        inputs = self.processor(
            text=list(texts),
            images=[list(own) for own in images] if any(images) else None,
            add_special_tokens=not (start and texts[0].startswith(start)),
            padding=True,
            padding_side="left",
            return_tensors="pt",
        )
        length = inputs["input_ids"].shape[1]
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if limit and length > limit:
            raise InvalidRequestError(
                f"The prompt has {length} tokens; the model takes {limit}.",
                "Send fewer or smaller images, or less text.",
            )
        return inputs.to(self.model.device, dtype=self.model.dtype)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts, with nothing added."""
        ids: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return ids

    def text(self, ids: Sequence[int] | torch.Tensor) -> str:
        """Text of token ids, without special tokens."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def last_turn(self, text: str) -> str:
        """The end of a rendered prompt from its last special token on: tokenized like the whole."""
        starts = [found.start() for found in self._special.finditer(text)]
        return text[starts[-1] :] if starts else text

    def plain(self, text: str) -> str:
        """Text that holds no control token, such as a place for an image that is not there."""
        return self._special.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)

    def _without_control(self, part: dict[str, Any]) -> dict[str, Any]:
        return {**part, "text": self.plain(part["text"])} if part["type"] == "text" else part
