"""open_clip's text towers without their padding, where padding cannot change a text's features.

Texts are padded to the tower's context, 77 tokens for CLIP, and names in templates fill a dozen.
A causal tower that is pooled at the end of the text sees nothing that comes after it, and a tower
of transformers masks the padding. So texts are sorted by length and each batch is cut at its
longest text. What a tower depends on is read from the tower, and checked once on texts encoded both
ways; a tower that is unknown, or for which they differ, gets whole rows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import open_clip
import torch
from open_clip.hf_model import HFTextEncoder
from open_clip.transformer import TextTransformer

from rar_agent.telemetry import events

TOLERANCE = 1e-5
"""Largest difference of unit rows, cut and whole, at which a tower's texts are cut."""
_TOKENS = 4_096  # of a batch: more is no faster on a CPU, and fills a GPU
_PADDING = 64  # tokens in a batch: more costs more than another pass over the weights
_PROBES = ("", "cat", "a photo of a Bachman's sparrow, a type of bird! (Müller, 2019)")

_log = events(__name__)


class TextTower:
    """Texts → features by an open_clip model. Thread-safe.

    Args:
        model: Ready to infer; its weights are shared, and it is not changed.
        tokenizer: The model's.
        device: Where the model is.
    """

    def __init__(self, model: Any, tokenizer: Any, device: str) -> None:  # noqa: ANN401
        self._model = model
        self._tokenizer = tokenizer
        self._device = device

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """At least one text → (n, d), not normalised."""
        tokens = self._tokenizer(list(texts))
        used = _used(self._model, tokens) if self.cuts else _whole(tokens)
        order, parts = [], []
        for rows, length in _batches(used):
            order.append(rows)
            parts.append(self._features(tokens[rows], length))
        features = torch.cat(parts)
        return features[torch.cat(order).argsort().to(features.device)]

    @cached_property
    def cuts(self) -> bool:
        """Whether batches are cut at their longest text: probed when it is first asked."""
        tokens = self._tokenizer(list(_PROBES))
        used = _used(self._model, tokens)
        if bool((used >= _width(tokens)).all()):
            return False
        kind = torch.device(self._device).type
        try:
            with torch.inference_mode(), torch.autocast(kind, enabled=False):
                whole = self._features(tokens, _width(tokens))
                cut = [
                    self._features(tokens[i : i + 1], int(length)) for i, length in enumerate(used)
                ]
        except Exception as error:  # of a tower of another version; whole rows still work
            _log.warning("texts are encoded with their padding", error=repr(error))
            return False
        unit = torch.nn.functional.normalize(torch.cat([whole, torch.cat(cut)]).float(), dim=1)
        return bool((unit[: len(tokens)] - unit[len(tokens) :]).abs().max() <= TOLERANCE)

    def _features(self, tokens: torch.Tensor, length: int) -> torch.Tensor:
        model = _narrowed(self._model, length, _width(tokens))
        features: torch.Tensor = model.encode_text(tokens[:, :length].to(self._device))
        return features


def _width(tokens: torch.Tensor) -> int:
    return int(tokens.shape[1])


def _whole(tokens: torch.Tensor) -> torch.Tensor:
    return torch.full((len(tokens),), _width(tokens))


def _batches(used: torch.Tensor) -> Iterator[tuple[torch.Tensor, int]]:
    """Rows of batches, the longest texts first, and the length to cut each batch at."""
    order, start = used.argsort(descending=True, stable=True), 0
    while start < len(order):
        length = int(used[order[start]])
        rows = order[start : start + max(1, _TOKENS // length)]
        rows = rows[(length - used[rows]).cumsum(0) <= _PADDING]
        yield rows, length
        start += len(rows)


def _used(model: Any, tokens: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    """(n,) how many of each row's first tokens its features depend on, for all that is known."""
    tower = getattr(model, "text", model)
    if isinstance(tower, HFTextEncoder):
        return _filled(tokens, tower.config.pad_token_id)
    if not isinstance(tower, open_clip.CLIP | TextTransformer) or tower.attn_mask is None:
        return _whole(tokens)  # SigLIP's sees both ways
    if getattr(tower, "cls_emb", None) is not None:
        # CoCa's class token sees all that is no padding, and in published weights, whose mask is
        # off by one, the first padding too.
        return (_filled(tokens, tower.pad_id) + 1).clamp(max=_width(tokens))
    pool = tower.text_pool_type if isinstance(tower, open_clip.CLIP) else tower.pool_type
    if pool == "argmax":
        return tokens.argmax(dim=1) + 1
    if pool == "eos":
        end: int = tower.text_eos_id if isinstance(tower, open_clip.CLIP) else tower.eos_id
        return tokens.eq(end).int().argmax(dim=1) + 1
    return _whole(tokens)


def _filled(tokens: torch.Tensor, pad: int | None) -> torch.Tensor:
    """(n,) lengths of rows without the padding at their end, at least 1."""
    places = torch.arange(1, _width(tokens) + 1)
    return ((tokens != pad) * places).amax(dim=1).clamp(min=1)


def _narrowed(model: Any, length: int, width: int) -> Any:  # noqa: ANN401
    """The model for rows of `length` tokens instead of `width`: a view that shares its weights."""
    tower = getattr(model, "text", model)
    if length == width or isinstance(tower, HFTextEncoder):
        return model
    positions, mask = tower.positional_embedding, tower.attn_mask
    if getattr(tower, "cls_emb", None) is not None:  # follows the last token, at its own position
        positions = torch.cat([positions[:length], positions[width : width + 1]])
    else:
        positions, mask = positions[:length], mask[:length, :length]
    narrow = _view(tower)
    narrow._parameters["positional_embedding"] = positions
    narrow._buffers["attn_mask"] = mask
    if tower is model:
        return narrow
    outer = _view(model)
    outer._modules["text"] = narrow
    return outer


def _view(module: Any) -> Any:  # noqa: ANN401
    """A copy whose parameters, buffers and parts can be replaced without changing the module's."""
    shallow = copy.copy(module)
    for kind in ("_parameters", "_buffers", "_modules"):
        setattr(shallow, kind, dict(getattr(module, kind)))
    return shallow
