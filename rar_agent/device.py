"""Which device torch runs on."""

from __future__ import annotations

import torch

from rar_agent.errors import ConfigurationError


def pick_device(asked: str) -> str:
    """The device to run on: `auto` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        ConfigurationError: The device asked for is not there.
    """
    if asked == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=asked)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(
            f"Device '{asked}' cannot be used: {reason}", "Set RAR_DEVICE=auto."
        ) from error
    return asked
