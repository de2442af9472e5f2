"""Chat models: from a name to a model, and one way to ask it."""

from rar_agent.models.ask import Answer, ChatModel
from rar_agent.models.factory import load_chat_model

__all__ = ["Answer", "ChatModel", "load_chat_model"]
