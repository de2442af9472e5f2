"""Engines by name, with what they keep on disk."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn

import rar_agent
from rar_agent.encoders.base import Pixels
from rar_agent.encoders.engines.base import Engine, EngineName
from rar_agent.encoders.engines.kept import KeptModel, KeptModels, key_of
from rar_agent.encoders.engines.openvino_engine import OpenVinoEngine
from rar_agent.encoders.engines.openvino_model import convert, openvino, quantize
from rar_agent.encoders.engines.torch_engine import CompiledEngine, TorchEngine
from rar_agent.errors import ConfigurationError


@dataclass(frozen=True)
class Source:
    """What an engine runs.

    Attributes:
        network: (n, h, w, 3) uint8 → (n, d), on the device.
        device: A torch device that exists.
        identity: Of the encoder's fingerprint.
        shape: (h, w) of the images.
        home: Where converted models are kept.
    """

    network: nn.Module
    device: str
    identity: str
    shape: tuple[int, int]
    home: Path

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the CPU."""
        return torch.device(self.device).type == "cpu"

    def quantized(self, precision: str = "int8") -> KeptModel | None:
        """The model in int8, if there is one that this machine made.

        Args:
            precision: Which one, see `Engine.precision`; `int8`: the one to use.
        """
        digest = precision.partition("-")[2] or None
        return KeptModels(self.home).read_of(self._key("int8"), digest)

    def named(self, precision: str) -> str:
        """Which model `int8` is, see `Engine.precision`; anything else stays as it is."""
        digest = KeptModels(self.home).used(self._key("int8")) if precision == "int8" else None
        return f"int8-{digest}" if digest else precision

    def use(self, precision: str) -> None:
        """Have `int8` be the model of this precision, see `Engine.precision`.

        Raises:
            ConfigurationError: Nothing can be written.
        """
        KeptModels(self.home).use(self._key("int8"), precision.partition("-")[2])

    def quantize(self, images: Sequence[Pixels]) -> KeptModel:
        """Make a model in int8, and keep it beside others; the first is the one to use.

        Args:
            images: Such as it will see.

        Raises:
            ConfigurationError: OpenVINO or NNCF is not installed, does not run on the device or
                fails; or nothing can be written.
        """
        self.require_cpu()
        model = quantize(convert(self.network, self.shape), images)
        return KeptModels(self.home).add(self._key("int8"), openvino(), model)

    def converted(self) -> KeptModel:
        """The model in fp32, made if it is not kept.

        Raises:
            ConfigurationError: OpenVINO is not installed, cannot convert it, or nothing can be
                written.
        """
        kept, key = KeptModels(self.home), self._key("fp32")
        found = kept.read(key)
        return found or kept.write(key, openvino(), convert(self.network, self.shape))

    def require_cpu(self) -> None:
        """Refuse a device that OpenVINO does not run on.

        Raises:
            ConfigurationError: It is not the CPU.
        """
        if not self.on_cpu:
            raise ConfigurationError(
                f"OpenVINO runs on the CPU here, and the device is '{self.device}'.",
                "Set RAR_DEVICE=cpu or RAR_ENGINE=torch.",
            )

    def _key(self, precision: str) -> str:
        said = (f"{name} {number}" for name, number in sorted(versions().items()))
        return key_of(self.identity, precision, machine("cpu"), *said)


def make_engine(source: Source, engine: EngineName, precision: str, most: int) -> Engine:
    """An engine, ready to run.

    Args:
        source: What it runs.
        engine: Which one.
        precision: `fp32`, `bf16`, `fp16` or `int8`; or the one quantised model that is meant, see
            `Engine.precision`.
        most: Images in one pass.

    Raises:
        ConfigurationError: It does not run here, or not in this precision.
    """
    if engine != "openvino":
        if precision.startswith("int8"):
            raise ConfigurationError(
                f"The engine '{engine}' has no int8.",
                "Set RAR_ENGINE=openvino, and run: pip install 'rar-agent[fast]'",
            )
        if engine == "torch":
            return TorchEngine(source.network, source.device, precision)
        return CompiledEngine(source.network, source.device, precision, source.shape, most)
    source.require_cpu()
    if precision == "fp16":
        raise ConfigurationError("OpenVINO has no fp16 on a CPU.", "Set RAR_PRECISION=fp32.")
    began = time.perf_counter()
    if precision.startswith("int8"):
        openvino()  # whether it is installed comes first
        model = source.quantized(precision)
        if model is None:
            raise ConfigurationError(
                "There is no such int8 model of this encoder on this machine.",
                "Make one, and see what it costs: rar-agent tune --memory NAME --allow int8",
            )
        precision = f"int8-{model.digest}"
    else:
        model = source.converted()
    instead = TorchEngine(source.network, source.device) if precision == "fp32" else None
    found = OpenVinoEngine(model, precision, instead)
    found.load_s = time.perf_counter() - began
    return found


def versions() -> dict[str, str]:
    """Packages that decide how fast and how exact an engine is, as installed."""
    found = {"rar-agent": rar_agent.__version__}
    for name in ("torch", "open_clip_torch", "openvino", "nncf"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def machine(device: str) -> str:
    """The hardware, in words: processor, cores, GPU. Not the host's name: containers change it.

    Args:
        device: A torch device that exists. A GPU is asked about only where it is this one, for
            who runs on the CPU should not have CUDA started.
    """
    processor, features = platform.processor(), ""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        said = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
        said = {name.strip(): value.strip() for name, value in said.items()}
        processor = said.get("model name", processor)
        words = set(said.get("flags", said.get("Features", "")).split())
        features = " ".join(sorted(w for w in words if w.startswith(("avx", "amx", "sve"))))
    except (OSError, UnicodeDecodeError):
        pass
    parts = [platform.machine(), processor, features, f"{os.cpu_count()} cores"]
    if torch.device(device).type == "cuda":
        parts.append(torch.cuda.get_device_name(device))
    return ", ".join(part for part in parts if part)
