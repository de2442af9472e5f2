"""What metrics there are."""

from __future__ import annotations

from rar_agent.evaluation.metrics import (
    abstention,
    accuracy,
    boxes,
    calibration,
    clusters,
    cost,
    ranking,
)
from rar_agent.evaluation.metrics.metric import Kind


def metric_names() -> list[str]:
    """Their names, as suites and reports have them."""
    modules = (accuracy, boxes, clusters, calibration, abstention, ranking, cost)
    parts = (part for module in modules for part in vars(module).values())
    return [part.name for part in parts if isinstance(part, Kind)]
