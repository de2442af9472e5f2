"""The whole way from pixels to features as one module, which a device or a compiler takes whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn


class ImageNetwork(nn.Module):
    """Pixels, as decoded, to features.

    Args:
        features: (n, 3, h, w) of normalised pixels → (n, d); a module, or made of one.
        mean: Of each channel, after the division.
        std: Of each channel, likewise.
        divisor: What pixels, 0 to 255, are divided by first.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        features: Callable[[torch.Tensor], torch.Tensor],
        mean: Sequence[float],
        std: Sequence[float],
        divisor: float = 1.0,
    ) -> None:
        super().__init__()
        self._features = features
        self._divisor = divisor
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.eval()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, h, w, 3) uint8 → (n, d), not normalised."""
        # rows of pixels are channels-last already: no copy but the one to floating point
        batch = pixels.permute(0, 3, 1, 2).float()
        if self._divisor != 1.0:
            batch = batch / self._divisor
        return self._features((batch - self.mean) / self.std)
