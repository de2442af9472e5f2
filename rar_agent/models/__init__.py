"""Chat models: from a name to a model, and one way to ask it."""

from rar_agent.models.ask import ChatModel
from rar_agent.models.budget import Budget
from rar_agent.models.exchange import Exchange
from rar_agent.models.factory import load_chat_model
from rar_agent.models.question import Answer, Question

__all__ = ["Answer", "Budget", "ChatModel", "Exchange", "Question", "load_chat_model"]
