"""What answers cost: by the user's own prices, else by a kept list of the providers' prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.messages.ai import UsageMetadata

from rar_agent.settings import TokenPrice

_DETAILS = {"cache_read_tokens": "cache_read", "cache_write_tokens": "cache_creation"}
"""Kinds of input tokens, as genai-prices and as LangChain call them."""


class Price(Protocol):
    """What a model's tokens cost."""

    @property
    def known(self) -> bool:
        """Whether anything is known of it."""

    def dollars(self, usage: UsageMetadata | None, tier: str = "") -> float | None:
        """What an answer costs, in US dollars; None where that is not known.

        Args:
            usage: Tokens, as LangChain tells them; None where the server does not.
            tier: The provider's service tier that answered; empty for its default.
        """


@dataclass(frozen=True)
class FixedPrice:
    """Dollars for a million tokens, whether the provider had them cached or not."""

    price: TokenPrice
    known: bool = True

    def dollars(self, usage: UsageMetadata | None, tier: str = "") -> float | None:  # noqa: ARG002
        """See `Price`."""
        price = self.price
        if usage is None:
            return None if price.input or price.output else 0.0
        return (
            usage["input_tokens"] * price.input + usage["output_tokens"] * price.output
        ) / 1_000_000


FREE = FixedPrice(TokenPrice(input=0, output=0))
"""Of a model in this process."""


class ListedPrice:
    """A price as genai-prices lists it: data of its release, for which nothing is ever fetched.

    Args:
        model: As the provider names it.
        server: Base URL that is asked, by which the provider is known; None: by its name.
        provider: As LangChain names it.
    """

    def __init__(self, model: str, server: str | None = None, provider: str | None = None) -> None:
        self._named: dict[str, Any] = {"model_ref": model}
        self._named |= {"provider_api_url": server} if server else {"provider_id": provider}

    @property
    def known(self) -> bool:
        """See `Price`."""
        return (
            self.dollars(UsageMetadata(input_tokens=1, output_tokens=1, total_tokens=2)) is not None
        )

    def dollars(self, usage: UsageMetadata | None, tier: str = "") -> float | None:
        """See `Price`."""
        if usage is None:
            return None
        from genai_prices import Usage, calc_price  # 0.2 s, where an answer was paid for

        # LangChain puts a tier before the name: priority_cache_read.
        details: dict[str, Any] = {**(usage.get("input_token_details") or {})}
        counts = {
            name: sum(n or 0 for key, n in details.items() if key.endswith(ending))
            for name, ending in _DETAILS.items()
        }
        counts |= {"input_tokens": usage["input_tokens"], "output_tokens": usage["output_tokens"]}
        context = {"service_tier": tier} if tier else None
        try:
            found = calc_price(Usage(**counts), price_context=context, **self._named)
        except (LookupError, ValueError):  # not listed; counts that contradict each other
            return None
        price = found.model_price
        # Listed without a price for tokens is not free.
        listed = price.input_mtok is not None and price.output_mtok is not None
        return float(found.total_price) if listed else None
