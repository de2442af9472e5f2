"""What boxes are around: crops of it, with its surroundings blurred."""

from rar_agent.detection.crops import Box, crop

__all__ = ["Box", "crop"]
