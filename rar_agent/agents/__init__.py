"""`recognize_image` for agents, and images in their conversations."""

from rar_agent.agents.middleware import AttachedImagesMiddleware
from rar_agent.agents.references import attach
from rar_agent.agents.tool import make_recognize_image, recognize_image

__all__ = ["AttachedImagesMiddleware", "attach", "make_recognize_image", "recognize_image"]
