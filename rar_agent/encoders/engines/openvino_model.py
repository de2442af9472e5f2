"""OpenVINO's models: made from a torch network, and quantised.

OpenVINO and NNCF are imported without `openvino_telemetry`, which would send usage data to Google
Analytics unasked: where that package cannot be imported, both send nothing.
"""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import nn

from rar_agent.encoders.base import Pixels
from rar_agent.encoders.engines.base import reason
from rar_agent.errors import ConfigurationError

CALIBRATION = 300
"""Images that a quantisation looks at, at most."""

_INSTALL = "Run: pip install 'rar-agent[fast]'"
_TELEMETRY = "openvino_telemetry"


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing is sent to anybody by what is imported meanwhile."""
    known = sys.modules.get(_TELEMETRY)
    if known is None:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # an import of it fails
    try:
        yield
    finally:
        if known is None:
            del sys.modules[_TELEMETRY]


def is_installed() -> bool:
    """Whether OpenVINO is."""
    return find_spec("openvino") is not None


def openvino() -> Any:  # noqa: ANN401 - a module
    """OpenVINO.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        with _silent():
            import openvino
            import openvino.tools.ovc  # which would be imported, and greet Google, later
    except ImportError as error:
        raise ConfigurationError("OpenVINO is not installed.", _INSTALL) from error
    return openvino


def _nncf() -> Any:  # noqa: ANN401 - a module
    openvino()
    try:
        with _silent(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import nncf
    except ImportError as error:
        raise ConfigurationError("NNCF, which quantises, is not installed.", _INSTALL) from error
    nncf.set_log_level(logging.ERROR)
    return nncf


def convert(network: nn.Module, shape: tuple[int, int]) -> Any:  # noqa: ANN401
    """OpenVINO's model of a network.

    Args:
        network: (n, h, w, 3) uint8 → (n, d), on the CPU.
        shape: (h, w) of all images.

    Raises:
        ConfigurationError: OpenVINO is not installed, or cannot convert it.
    """
    ov = openvino()
    example = torch.zeros((2, *shape, 3), dtype=torch.uint8)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # of tracing: sizes of images are constant here
            return ov.convert_model(
                network, example_input=example, input=[([-1, *shape, 3], ov.Type.u8)]
            )
    except Exception as error:
        raise ConfigurationError(
            f"OpenVINO cannot convert this encoder: {reason(error)}", "Set RAR_ENGINE=torch."
        ) from error


def quantize(model: Any, images: Sequence[Pixels]) -> Any:  # noqa: ANN401
    """The model in int8: weights by channel, activations in ranges that images are seen to take.

    Args:
        model: OpenVINO's, in fp32.
        images: Such as it will see; `CALIBRATION` of them are looked at, evenly drawn.

    Raises:
        ConfigurationError: NNCF is not installed, or cannot quantise it.
    """
    nncf = _nncf()
    attends = any(op.get_type_name() == "ScaledDotProductAttention" for op in model.get_ops())
    chosen = np.unique(np.linspace(0, len(images) - 1, min(CALIBRATION, len(images))).astype(int))
    try:
        with redirect_stdout(io.StringIO()):  # of bars, where a result may be meant to go
            return nncf.quantize(
                model,
                nncf.Dataset([images[i][None] for i in chosen]),
                preset=nncf.QuantizationPreset.MIXED,
                model_type=nncf.ModelType.TRANSFORMER if attends else None,
                subset_size=len(chosen),
                fast_bias_correction=not attends,
            )
    except Exception as error:
        raise ConfigurationError(
            f"NNCF cannot quantise this encoder: {reason(error)}", "Set RAR_PRECISION=fp32."
        ) from error
