"""Torch itself, and `torch.compile`."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import nn

from rar_agent.encoders.base import FloatArray, Pixels
from rar_agent.encoders.engines.base import EngineName, reason
from rar_agent.errors import ConfigurationError
from rar_agent.forks import OfProcess

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: str, precision: str) -> torch.autocast:
    """The context of a forward pass; what is quantised is not of torch, and fp32 here."""
    dtype = DTYPES.get(precision, torch.float32)
    lowered = dtype is not torch.float32
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=dtype if lowered else None, enabled=lowered)


class TorchEngine:
    """Runs a network as it is.

    Args:
        network: (n, h, w, 3) uint8 → (n, d); on the device.
        device: A torch device that exists.
        precision: One of `DTYPES`.
        prepared: Told each batch on the device before the network is.
    """

    name: EngineName = "torch"
    load_s = 0.0

    def __init__(
        self,
        network: Callable[[torch.Tensor], torch.Tensor],
        device: str,
        precision: str = "fp32",
        prepared: Callable[[torch.Tensor], None] | None = None,
    ) -> None:
        self.precision = precision
        self._prepared = prepared
        self._network = network
        self._device = torch.device(device)

    def run(self, pixels: Pixels) -> FloatArray:
        """See `Engine.run`."""
        batch = torch.from_numpy(pixels)
        if self._device.type == "cuda":  # a quarter of the bytes of floats, and no copy on the way
            batch = batch.pin_memory()
        batch = batch.to(self._device, non_blocking=True)
        if self._prepared:
            self._prepared(batch)
        with torch.inference_mode(), autocast(str(self._device), self.precision):
            features: FloatArray = self._network(batch).float().cpu().numpy()
        return features


class CompiledEngine(OfProcess):
    """Runs what `torch.compile` makes of a network; on CUDA, by CUDA graphs.

    All passes are in one thread: graphs belong to the thread that recorded them, and the CPU's
    cores are shared anyway.

    Args:
        network: (n, h, w, 3) uint8 → (n, d); on the device.
        device: A torch device that exists.
        precision: One of `DTYPES`.
        shape: (h, w) of the images.
        most: Images in one pass.

    Raises:
        ConfigurationError: It cannot be compiled here.
    """

    name: EngineName = "compile"

    def __init__(
        self, network: nn.Module, device: str, precision: str, shape: tuple[int, int], most: int
    ) -> None:
        self.precision = precision
        self._graphs = torch.device(device).type == "cuda"
        mode = "reduce-overhead" if self._graphs else None
        compiled = torch.compile(network, dynamic=False if self._graphs else None, mode=mode)
        # One program for any number of images; with all sizes open, compiling took minutes.
        prepared = None if self._graphs else _any_number
        self._engine = TorchEngine(compiled, device, precision, prepared)
        super().__init__()
        began = time.perf_counter()
        try:
            for count in {1, most}:  # of one image torch makes a program of its own
                self.run(np.zeros((count, *shape, 3), np.uint8))
        except Exception as error:
            raise ConfigurationError(
                f"torch.compile does not work here: {reason(error)}",
                "Install a C++ compiler, or set RAR_ENGINE=torch.",
            ) from error
        self.load_s = time.perf_counter() - began

    def _begin(self) -> None:
        self._thread = ThreadPoolExecutor(1, "compiled")

    def run(self, pixels: Pixels) -> FloatArray:
        """See `Engine.run`."""
        return self._thread.submit(self._run, pixels).result()

    def _run(self, pixels: Pixels) -> FloatArray:
        count = len(pixels)
        if self._graphs:  # which are of one size each: few sizes are few graphs
            spare = (1 << (count - 1).bit_length()) - count
            pixels = np.concatenate([pixels, np.zeros((spare, *pixels.shape[1:]), np.uint8)])
        return self._engine.run(pixels)[:count]


def _any_number(batch: torch.Tensor) -> None:
    if len(batch) > 1:  # one image is a program of its own, whatever is said
        torch._dynamo.mark_dynamic(batch, 0)
