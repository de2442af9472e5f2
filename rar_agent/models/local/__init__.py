"""A multimodal LLM in this process, with transformers; its libraries load at the first question."""

from rar_agent.models.local.chat import LocalChatModel

__all__ = ["LocalChatModel"]
