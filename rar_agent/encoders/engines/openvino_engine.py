"""OpenVINO, on the CPU."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import torch

from rar_agent.encoders.base import FloatArray, Pixels
from rar_agent.encoders.engines.base import Engine, EngineName, reason
from rar_agent.encoders.engines.kept import KeptModel
from rar_agent.encoders.engines.openvino_model import openvino
from rar_agent.errors import ConfigurationError
from rar_agent.telemetry import events

_log = events(__name__)


class OpenVinoEngine:
    """Runs a converted model, with as many threads as torch has.

    Threads of OpenVINO do not survive a fork, and it hangs where they are waited for: so a forked
    process is answered by torch, if that gives the same, and else refused.

    Args:
        model: That this machine wrote.
        precision: `fp32`, `bf16`, or what `Engine.precision` says of int8.
        instead: What gives the same numbers in a forked process; None where nothing does.

    Raises:
        ConfigurationError: OpenVINO is not installed, has no such precision on this machine, or
            cannot load it.
    """

    name: EngineName = "openvino"

    def __init__(self, model: KeptModel, precision: str, instead: Engine | None = None) -> None:
        began = time.perf_counter()
        ov = openvino()
        core = ov.Core()
        if precision == "bf16" and not has_bf16():
            raise ConfigurationError(
                "This CPU has no bf16 that OpenVINO knows of.", "Set RAR_PRECISION=fp32."
            )
        self.precision = precision
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            # Else it would take bf16 by itself where the CPU has it.
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        try:
            read = core.read_model(model.xml, model.weights)
            self._compiled = core.compile_model(read, "CPU", options)
        except Exception as error:
            raise ConfigurationError(
                f"OpenVINO cannot load this encoder: {reason(error)}", "Set RAR_ENGINE=torch."
            ) from error
        self._idle: list[Any] = []
        self._process = os.getpid()
        self._instead = instead
        self._said = False
        self.load_s = time.perf_counter() - began

    def run(self, pixels: Pixels) -> FloatArray:
        """See `Engine.run`.

        Raises:
            ConfigurationError: This process was forked from the one that loaded it.
        """
        if os.getpid() != self._process:
            return self._in_fork().run(pixels)
        try:
            request = self._idle.pop()  # taken by one thread only
        except IndexError:
            request = self._compiled.create_infer_request()
        found = request.infer({0: np.ascontiguousarray(pixels)}, share_inputs=True)
        features: FloatArray = np.array(found[0], np.float32)  # its own is written over
        self._idle.append(request)
        return features

    def _in_fork(self) -> Engine:
        if self._instead is None:
            raise ConfigurationError(
                f"OpenVINO does not work in a forked process, and nothing else runs {self.name} "
                f"{self.precision}.",
                "Start the process by spawn, load the encoder in it, or set RAR_ENGINE=torch and "
                "RAR_PRECISION=fp32.",
            )
        if not self._said:
            self._said = True
            _log.warning("a forked process runs torch, for OpenVINO does not work there")
        return self._instead


def has_bf16() -> bool:
    """Whether OpenVINO computes in bf16 on this CPU.

    Raises:
        ConfigurationError: OpenVINO is not installed.
    """
    found = openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in found
