"""Where boxes come from when nobody gives any: detectors, loaded by name or written by you."""

from rar_agent.detection.proposers.base import Proposer
from rar_agent.detection.proposers.keep import Limits, keep
from rar_agent.detection.proposers.load import load_proposer

__all__ = ["Limits", "Proposer", "keep", "load_proposer"]
