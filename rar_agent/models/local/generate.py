"""Generating one answer: greedy or sampled, watched token by token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from transformers import StoppingCriteria

from rar_agent.models.local.backend import Backend
from rar_agent.models.local.options import Options


@dataclass(frozen=True)
class Generated:
    """An answer.

    Attributes:
        text: Without special tokens, and up to where a stop text began.
        input_tokens: Of the prompt, with the places of its images.
        output_tokens: Generated, with the token that ended the answer.
        finish: `stop`, or `length` where `max_tokens` cut it off.
        logprobs: As OpenAI reports them, before temperature; None if not asked for.
    """

    text: str
    input_tokens: int
    output_tokens: int
    finish: str
    logprobs: dict[str, Any] | None


def generate(
    backend: Backend,
    text: str,
    images: Sequence[Image.Image],
    options: Options,
    watch: Callable[[str], bool] | None = None,
) -> Generated:
    """Generate an answer; the caller holds the backend's lock.

    Args:
        backend: The model.
        text: A rendered prompt.
        images: Its images.
        options: How.
        watch: Told the answer so far after each token; True abandons it.
    """
    inputs = backend.inputs([text], [images])
    length = inputs["input_ids"].shape[1]
    sampled = options.temperature > 0
    watched = [_Watch(backend, length, options.stop, watch)] if options.stop or watch else []
    how = {"temperature": options.temperature, "top_p": options.top_p, "top_k": 0}
    with torch.inference_mode(), _seeded(backend.model.device, options.seed if sampled else None):
        out = backend.model.generate(
            **inputs,
            **(how if sampled else {}),
            do_sample=sampled,
            max_new_tokens=options.max_tokens,
            stopping_criteria=watched,
            return_dict_in_generate=True,
            output_logits=options.logprobs,
        )
    ids = out.sequences[0, length:].tolist()
    answer = backend.text(ids)
    cuts = [answer.find(stop) for stop in options.stop if stop in answer]
    ended = ids[-1] in backend.end_ids
    logprobs = None
    if options.logprobs:
        said = ids[:-1] if ended else ids
        logprobs = _openai_logprobs(backend, said, out.logits, options.top_logprobs)
    return Generated(
        text=answer[: min(cuts)] if cuts else answer,
        input_tokens=length,
        output_tokens=len(ids),
        finish="stop" if cuts or ended else "length",
        logprobs=logprobs,
    )


class _Watch(StoppingCriteria):  # type: ignore[misc]
    def __init__(
        self,
        backend: Backend,
        length: int,
        stop: Sequence[str],
        watch: Callable[[str], bool] | None,
    ) -> None:
        self._backend = backend
        self._length = length
        self._stop = stop
        self._watch = watch

    def __call__(self, input_ids: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        text = self._backend.text(input_ids[0, self._length :])
        abandoned = self._watch is not None and self._watch(text)
        done = abandoned or any(stop in text for stop in self._stop)
        return torch.tensor([done], device=input_ids.device)


@contextmanager
def _seeded(device: torch.device, seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _openai_logprobs(
    backend: Backend, ids: Sequence[int], logits: Sequence[torch.Tensor], top: int
) -> dict[str, Any]:
    content = []
    for token, row in zip(ids, logits, strict=False):  # the token that ended it is not reported
        logprobs = row[0].float().log_softmax(-1)
        best = logprobs.topk(min(top, len(logprobs)))
        content.append(
            {
                **_entry(backend, token, float(logprobs[token])),
                "top_logprobs": [
                    _entry(backend, i, value)
                    for i, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
                ],
            }
        )
    return {"content": content, "refusal": None}


def _entry(backend: Backend, token: int, logprob: float) -> dict[str, Any]:
    text: str = backend.tokenizer.decode([token])
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}
