"""What boxes are around: crops of it, with its surroundings blurred."""

from rar_agent.detection.crops import CropStyle, crop
from rar_agent.detection.proposal import Proposal
from rar_agent.types import Box

__all__ = ["Box", "CropStyle", "Proposal", "crop"]
