"""What is done to vectors before exemplars are compared."""

from __future__ import annotations

from typing import Literal

import numpy as np

from rar_agent.encoders import FloatArray
from rar_agent.encoders.base import normalize

FeatureMap = Literal["identity", "root"]
"""`root`: square root of each feature, then length 1 (Hellinger); for features that cannot be
negative, such as pooled activations, whose large values would drown the others."""


def map_features(vectors: FloatArray, feature_map: FeatureMap) -> FloatArray:
    """Apply a feature map to unit rows (n, d); the result has unit rows too."""
    if feature_map == "identity":
        return vectors
    return normalize(np.sqrt(np.maximum(vectors, 0.0)))[0]
