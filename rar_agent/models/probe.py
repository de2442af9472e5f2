"""Whether a model can be reached, found without paying for an answer."""

from __future__ import annotations

from langchain_openai.chat_models.base import BaseChatOpenAI

from rar_agent.models.ask import ChatModel


def unreachable(chat: ChatModel) -> str | None:
    """Why the model cannot be used, or None if nothing speaks against it.

    OpenAI-compatible servers are asked for their list of models; other providers are not asked.
    """
    model = chat.model
    if not isinstance(model, BaseChatOpenAI):
        return None
    try:
        client = model.root_client.with_options(timeout=5.0, max_retries=0)
        known = [entry.id for entry in client.models.list()]
    except Exception as error:  # any failure of the request is the answer
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if known and model.model_name not in known:
        return f"the server has no '{model.model_name}', but {', '.join(known[:5])}"
    return None
