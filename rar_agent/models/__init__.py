"""Chat models: from a name to a model, and one way to ask it."""

from rar_agent.models.ask import Answer, ChatModel, Question
from rar_agent.models.factory import load_chat_model

__all__ = ["Answer", "ChatModel", "Question", "load_chat_model"]
