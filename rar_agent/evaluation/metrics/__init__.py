"""Figures of what was recorded, each with its 95 % interval, or why there is none."""

from rar_agent.evaluation.metrics.measure import measure
from rar_agent.evaluation.metrics.metric import Facts, Metric
from rar_agent.evaluation.metrics.sentences import SentenceModel, Sentences

__all__ = ["Facts", "Metric", "SentenceModel", "Sentences", "measure"]
