"""EfficientNet-Lite2, the network of the builtin encoder.

As in https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite, and to the
bit the same as timm's `tf_efficientnet_lite2`, whose import would take longer than all the rest of
a first answer. Layers are named as in the file of weights.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_STAGES = (  # blocks, kernel, stride of the first, factor of expansion, channels
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 48),
    (4, 3, 2, 6, 88),
    (4, 5, 1, 6, 120),
    (5, 5, 2, 6, 208),
    (1, 3, 1, 6, 352),
)
_STEM, FEATURES = 32, 1280
_UNMADE = "meta"  # the weights come from a file: none are drawn


class EfficientNetLite2(nn.Module):
    """Images to pooled features, without the classifier.

    Args:
        state: Weights by the names of their layers; those of the classifier, `_fc`, are left out.
    """

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self._conv_stem = _Convolution(3, _STEM, 3, stride=2)
        self._bn0 = _norm(_STEM)
        blocks, inputs = [], _STEM
        for count, kernel, first, factor, outputs in _STAGES:
            for place in range(count):
                stride = first if place == 0 else 1
                blocks.append(_Block(inputs, outputs, kernel, stride, factor))
                inputs = outputs
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = _Convolution(inputs, FEATURES, 1)
        self._bn1 = _norm(FEATURES)
        kept = {name: value for name, value in state.items() if not name.startswith("_fc.")}
        self.load_state_dict(kept, assign=True)
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) → (n, 1280), all at least 0."""
        found = functional.relu6(self._bn0(self._conv_stem(images)))
        found = functional.relu6(self._bn1(self._conv_head(self._blocks(found))))
        return functional.adaptive_avg_pool2d(found, 1).flatten(1)


class _Block(nn.Module):
    """Expand, filter each channel, project; added to what came in where the shapes are equal."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, factor: int) -> None:
        super().__init__()
        inner = inputs * factor
        self._expands = factor > 1
        if self._expands:
            self._expand_conv = _Convolution(inputs, inner, 1)
            self._bn0 = _norm(inner)
        self._depthwise_conv = _Convolution(inner, inner, kernel, stride, groups=inner)
        self._bn1 = _norm(inner)
        self._project_conv = _Convolution(inner, outputs, 1)
        self._bn2 = _norm(outputs)
        self._adds = stride == 1 and inputs == outputs

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        found = given
        if self._expands:
            found = functional.relu6(self._bn0(self._expand_conv(found)))
        found = functional.relu6(self._bn1(self._depthwise_conv(found)))
        found = self._bn2(self._project_conv(found))
        return found + given if self._adds else found


class _Convolution(nn.Conv2d):
    """Padded as TensorFlow does it: where one side needs more, right and below."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(
            inputs, outputs, kernel, stride, padding, groups=groups, bias=False, device=_UNMADE
        )

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        if self.stride[0] > 1:
            down, across = (self._missing(length) for length in given.shape[-2:])
            sides = (across // 2, across - across // 2, down // 2, down - down // 2)
            given = functional.pad(given, sides)
        return super().forward(given)

    def _missing(self, length: int) -> int:
        kernel, stride = self.kernel_size[0], self.stride[0]
        return max((-(-length // stride) - 1) * stride + kernel - length, 0)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, device=_UNMADE)
