"""How to generate, as a model is set up and as one call asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rar_agent.models.local.messages import InvalidRequestError


class Options(BaseModel):
    """How to generate."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    temperature: float = Field(default=0.0, ge=0)
    """0 takes the likeliest token each time."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Share of probability that is sampled from."""
    max_tokens: int = Field(default=512, ge=1)
    """Most tokens of an answer."""
    seed: int | None = None
    """Of the sampling; the process's own random state is neither used nor changed then."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer and are no part of it."""
    logprobs: bool = False
    """Whether to report log-probabilities."""
    top_logprobs: int = Field(default=0, ge=0)
    """Alternatives reported for each token."""

    def changed(self, asked: Mapping[str, Any]) -> Options:
        """These, with what one call asks for; what is None is left as it is.

        Raises:
            InvalidRequestError: An option is unknown, or its value not valid.
        """
        given = {name: value for name, value in asked.items() if value is not None}
        unknown = [
            f"{name} ({', '.join(value)})" if isinstance(value, dict) else name
            for name, value in given.items()
            if name not in Options.model_fields
        ]
        if unknown:
            raise InvalidRequestError(
                f"Models in this process have no option {' and no '.join(unknown)}.",
                "Leave it out; neither tools nor schemas are supported.",
            )
        try:
            return Options(**{**self.model_dump(), **given})
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidRequestError(
                f"Option {first['loc'][0]} = {first['input']!r} is not valid: {first['msg']}."
            ) from error
