"""One answer to a question: kept from before, on its way to another, or asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rar_agent.errors import BudgetError, ProviderError
from rar_agent.loop import Threads
from rar_agent.models.cache import AnswerCache
from rar_agent.models.question import Answer, answer_of

_FILE = Threads(1, "rar-agent-answers")


async def one_answer(
    cache: AnswerCache, key: bytes, ask: Callable[[], Awaitable[Answer]]
) -> Answer:
    """Take what is kept, or what somebody else is being told, else ask.

    Args:
        cache: Of answers.
        key: The question's.
        ask: Asks it.

    Returns:
        The answer; `usage.cached` is 1 where it was asked for by another.

    Raises:
        ProviderError: Whoever asked has failed.
        BudgetError: The limit of this caller is reached.
    """
    while True:
        flight, mine = cache.flights.join(key)
        if mine:
            break
        answer: Answer | None = await asyncio.wrap_future(flight)
        if answer is not None:
            return answer.again
    try:
        text = await _FILE.run(cache.get, key)
        kept = answer_of(text) if text else None
        if kept is not None:
            flight.set_result(kept)
            return kept.again
        answer = await ask()
        flight.set_result(answer)  # before it is kept: who waits has it, whatever becomes of this
        if answer.whole:
            await asyncio.shield(_FILE.run(cache.put, key, answer.to_json()))
        return answer
    except ProviderError as error:
        if not isinstance(error, BudgetError):  # another caller may have money
            flight.set_exception(error)
        raise
    finally:
        cache.flights.land(key)
