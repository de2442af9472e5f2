"""Questions as a server takes them: with fewer pictures, and smaller ones, than were asked with."""

from __future__ import annotations

from rar_agent.errors import ProviderError
from rar_agent.models.capabilities import Capabilities
from rar_agent.models.oversize import largest_side, pictures_of, shrunk, too_large, within
from rar_agent.models.question import Question
from rar_agent.models.too_many import fewer, most_taken, too_many


def as_known(question: Question, capabilities: Capabilities) -> Question:
    """The question as its server is known to take it."""
    question = fewer(question, capabilities.known.most)
    return within(question, capabilities.side(len(pictures_of(question))))


def refitted(question: Question, error: ProviderError) -> Question:
    """The question with fewer or smaller pictures than a server has refused.

    Raises:
        ProviderError: It refused something else, or no picture can be left out or shrunk.
    """
    cause = error.__cause__
    if cause is not None and too_many(cause):
        most = most_taken(cause, question)
        found = fewer(question, most)
        if (needed := len(pictures_of(found))) > most:
            raise ProviderError(
                f"{error.message} Of this prompt's pictures {needed} cannot be left out: take "
                "another prompt, or let the server take more (vLLM: --limit-mm-per-prompt).",
                error.fix,
            ) from cause
        return found
    smaller = shrunk(question) if too_large(cause) else None
    if smaller is None:
        raise error
    return smaller


def learn(capabilities: Capabilities, question: Question, taken: Question) -> None:
    """Keep what had to be changed of a question, for it to be taken."""
    count = len(pictures_of(taken))
    if count < len(pictures_of(question)):
        capabilities.limit_number(count)
    if largest_side(taken) < largest_side(question):
        capabilities.limit(count, largest_side(taken))
