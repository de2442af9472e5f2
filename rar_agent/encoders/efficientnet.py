"""EfficientNet-Lite2, the network of the builtin encoder.

As in https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite, and equal to
timm's `tf_efficientnet_lite2`, whose import would take longer than all the rest of a first answer.
Batch normalisation is folded into the convolutions, and activations overwrite what they are of:
the same numbers but for rounding, in 0.6 of the time. Layers are named as in the file of weights.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

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
_EPSILON = 1e-3
_UNMADE = "meta"  # the weights come from a file: none are drawn


class EfficientNetLite2(nn.Module):
    """Images to pooled features, without the classifier.

    Args:
        state: Weights by the names of their layers; those of the classifier, `_fc`, are left out.
    """

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self._conv_stem = _Convolution(3, _STEM, 3, stride=2)
        blocks, inputs = [], _STEM
        for count, kernel, first, factor, outputs in _STAGES:
            for place in range(count):
                stride = first if place == 0 else 1
                blocks.append(_Block(inputs, outputs, kernel, stride, factor))
                inputs = outputs
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = _Convolution(inputs, FEATURES, 1)
        self.load_state_dict(_folded(state), assign=True)
        self.eval().requires_grad_(requires_grad=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) → (n, 1280), all at least 0."""
        found = _active(self._conv_stem(images))
        found = _active(self._conv_head(self._blocks(found)))
        return functional.adaptive_avg_pool2d(found, 1).flatten(1)


class _Block(nn.Module):
    """Expand, filter each channel, project; added to what came in where the shapes are equal."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, factor: int) -> None:
        super().__init__()
        inner = inputs * factor
        self._expands = factor > 1
        if self._expands:
            self._expand_conv = _Convolution(inputs, inner, 1)
        self._depthwise_conv = _Convolution(inner, inner, kernel, stride, groups=inner)
        self._project_conv = _Convolution(inner, outputs, 1)
        self._adds = stride == 1 and inputs == outputs

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        found = _active(self._expand_conv(given)) if self._expands else given
        projected: torch.Tensor = self._project_conv(_active(self._depthwise_conv(found)))
        return projected.add_(given) if self._adds else projected


class _Convolution(nn.Conv2d):
    """Padded as TensorFlow does it: where one side needs more, right and below."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, device=_UNMADE)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        if self.stride[0] > 1:
            down, across = (self._missing(length) for length in given.shape[-2:])
            sides = (across // 2, across - across // 2, down // 2, down - down // 2)
            given = functional.pad(given, sides)
        return super().forward(given)

    def _missing(self, length: int) -> int:
        kernel, stride = self.kernel_size[0], self.stride[0]
        return max((-(-length // stride) - 1) * stride + kernel - length, 0)


def _active(found: torch.Tensor) -> torch.Tensor:
    return functional.relu6(found, inplace=True)


def _folded(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights and biases of the convolutions; each is followed in the file by its normalisation."""
    layers = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    folded: dict[str, torch.Tensor] = {}
    for convolution, norm in pairwise(layers):
        if f"{norm}.running_mean" not in state:
            continue
        mean, variance, weight, bias = (
            state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        folded[f"{convolution}.weight"], folded[f"{convolution}.bias"] = fuse_conv_bn_weights(
            state[f"{convolution}.weight"], None, mean, variance, _EPSILON, weight, bias
        )
    return folded
