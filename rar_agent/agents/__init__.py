"""`recognize_image` for agents."""

from rar_agent.agents.tool import make_recognize_image, recognize_image

__all__ = ["make_recognize_image", "recognize_image"]
