"""Boxes of an image: their forms, their crops, how sure a detection is."""

from rar_agent.detection.boxes import Form, read_boxes
from rar_agent.detection.coco import read_coco, to_results
from rar_agent.detection.crops import CropStyle, crop
from rar_agent.detection.proposal import Proposal
from rar_agent.detection.proposers import Proposer
from rar_agent.detection.scores import fused, suppress
from rar_agent.types import Box

__all__ = [
    "Box",
    "CropStyle",
    "Form",
    "Proposal",
    "Proposer",
    "crop",
    "fused",
    "read_boxes",
    "read_coco",
    "suppress",
    "to_results",
]
