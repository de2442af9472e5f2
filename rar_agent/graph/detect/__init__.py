"""The state machine of boxes: admit → retrieve, in batches → choose → rank, some → conclude."""

from rar_agent.graph.detect.build import build_detect
from rar_agent.graph.detect.state import DetectInput, DetectOutput, DetectState

__all__ = ["DetectInput", "DetectOutput", "DetectState", "build_detect"]
