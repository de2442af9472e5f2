"""From `provider:name` and an optional `base_url` to a chat model."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import ValidationError

from rar_agent.errors import ConfigurationError
from rar_agent.models.ask import ChatModel
from rar_agent.models.budget import Budget, process_budget
from rar_agent.models.cache import AnswerCache, cache_at
from rar_agent.models.capabilities import Capabilities
from rar_agent.models.names import unknown_provider, without_provider
from rar_agent.models.prices import FREE, FixedPrice, ListedPrice, Price
from rar_agent.settings import Settings
from rar_agent.telemetry import hide_secrets, redacted

_LONGEST_WAIT_S = 120.0  # for a retry, where a server asks for it and its SDK obeys


def load_chat_model(settings: Settings, budget: Budget | None = None) -> ChatModel:
    """The model that the settings name.

    With a `base_url` the server is taken to speak the OpenAI protocol, as Ollama, vLLM,
    llama.cpp and LM Studio do, and is asked without a key if OPENAI_API_KEY is not set.
    `local:FOLDER` and `local:org/name` run in this process, whatever `base_url` says.

    Args:
        settings: Which model, and all about it.
        budget: What may be spent; default: the process's, if the settings have a limit.

    Raises:
        ConfigurationError: No model is named, the provider is unknown, its package or key is
            missing, a local model is not on disk, or there is a limit and the price is unknown.
    """
    hide_secrets(settings.model_options)
    hide_secrets({"password": _password(settings.base_url or "")})
    name = settings.model
    if name is None:
        server = f", but RAR_BASE_URL is {settings.base_url}" if settings.base_url else ""
        raise ConfigurationError(
            f"No model is named{server}.", "Set RAR_MODEL (or --model) to one that takes images."
        )
    if name.startswith("local:"):
        return ChatModel(
            name,
            _local(name, settings),
            price=FREE,
            server=_apart(_weights(name.removeprefix("local:"), settings), settings),
            cache=_cache(settings),
            at_once=1,
            trace_images=settings.trace_images,
        )
    options: dict[str, Any] = {
        "timeout": settings.model_timeout_s,
        "max_retries": settings.model_retries,
    }
    if settings.base_url:
        options["base_url"] = settings.base_url
        options["api_key"] = os.environ.get("OPENAI_API_KEY") or "none"
        # Ollama's names have colons of their own (qwen2.5vl:7b), so only openai: is a provider.
        name = name if name.startswith("openai:") else f"openai:{name}"
    elif ":" not in name:
        raise without_provider(name)
    try:
        model = init_chat_model(name, **{**options, **settings.model_options})
    except ImportError as error:
        raise ConfigurationError(
            f"Model '{name}' needs a package that is not installed: {error}.", ""
        ) from error
    except Exception as error:  # each provider's package refuses missing keys its own way
        raise unknown_provider(name, error) or ConfigurationError(
            f"Model '{name}' cannot be set up: {redacted(str(error))}",
            "Set the provider's key (OPENAI_API_KEY for openai), or RAR_BASE_URL for a local "
            "server.",
        ) from error
    asked = _apart(settings.base_url or "", settings)
    learnt = Capabilities(name, asked, settings.home.expanduser() / "models")
    if budget is None and settings.max_cost is not None:
        budget = process_budget(settings.max_cost)
    server = _server(model)
    price = _price(name, model, server, settings)
    key = _apart(server, settings)
    retries = settings.model_retries
    patience_s = (retries + 1) * settings.model_timeout_s + retries * _LONGEST_WAIT_S
    return ChatModel(
        name,
        model,
        learnt,
        price,
        key,
        _cache(settings),
        budget,
        settings.model_requests,
        patience_s,
        settings.trace_images,
    )


def _password(url: str) -> dict[str, str]:
    """The one in a URL, as it is and as HTTP sends it."""
    user = unquote(url.partition("://")[2].partition("/")[0].rpartition("@")[0])
    sent = base64.b64encode(user.encode()).decode()
    return {"plain": user.partition(":")[2], "sent": sent}


def _apart(server: str, settings: Settings) -> str:
    """What tells a model from others of its name: its server, and its options."""
    options = settings.model_options
    return f"{server} {json.dumps(options, sort_keys=True, default=str)}" if options else server


def _server(model: BaseChatModel) -> str:
    """Where a model is asked, if its package says so."""
    if isinstance(model, BaseChatOpenAI):
        return str(model.root_client.base_url)
    return str(getattr(model, "anthropic_api_url", None) or getattr(model, "base_url", None) or "")


def _price(name: str, model: BaseChatModel, server: str, settings: Settings) -> Price:
    """The user's price of a model, else the listed one."""
    provider, _, bare = name.partition(":")
    given = next((settings.prices[n] for n in (name, bare) if n in settings.prices), None)
    if given is not None:
        return FixedPrice(given)
    if isinstance(model, BaseChatOpenAI):  # whoever speaks OpenAI's protocol, at any URL
        return ListedPrice(bare, server=server)
    return ListedPrice(bare, provider=provider)


def _cache(settings: Settings) -> AnswerCache | None:
    if not settings.cache_mb:
        return None
    return cache_at(settings.home.expanduser() / "cache" / "answers.sqlite", settings.cache_mb)


def _local(name: str, settings: Settings) -> BaseChatModel:
    from rar_agent.models.local import LocalChatModel

    given: dict[str, Any] = {
        "model": name.removeprefix("local:"),
        "device": settings.device,
        "precision": settings.model_precision,
        "quantize": settings.quantize,
        "download": settings.download,
        "seed": settings.seed,
        **settings.model_options,
    }
    unknown = sorted(given.keys() - LocalChatModel.model_fields.keys())
    if unknown:
        raise ConfigurationError(
            f"Models in this process have no option {', '.join(unknown)}.",
            "Leave it out of model_options: temperature, top_p, max_tokens, seed, stop are some.",
        )
    try:
        model = LocalChatModel(**given)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(
            f"Option {first['loc'][0]} = {first['input']!r} of '{name}' is not valid: "
            f"{first['msg']}.",
            "Correct model_options.",
        ) from error
    model.check()
    return model


def _weights(name: str, settings: Settings) -> str:
    """What tells a model's weights from those that had its name before."""
    folder = Path(name).expanduser()
    files = folder.iterdir() if folder.is_dir() else ()
    changed = max((file.stat().st_mtime_ns for file in files), default=0)
    return f"{settings.model_precision} {settings.quantize} {changed}"
