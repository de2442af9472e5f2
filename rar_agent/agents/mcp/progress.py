"""Progress of one request, as notifications to the client that asked for them."""

from __future__ import annotations

from mcp.server.session import ServerSession
from mcp.shared.context import RequestContext


class Progress:
    """Steps of a request that are told as they begin.

    Args:
        context: Of the request; a client that wants progress gave it a token.
        steps: How many there are.
    """

    def __init__(self, context: RequestContext[ServerSession, object, object], steps: int) -> None:
        self._context = context
        self._steps = steps
        self._done = 0

    async def begin(self, step: str) -> None:
        """Tell that a step begins, in a few words."""
        token = self._context.meta.progressToken if self._context.meta else None
        done, self._done = self._done, self._done + 1
        if token is not None:
            await self._context.session.send_progress_notification(
                token, done, self._steps, step, related_request_id=str(self._context.request_id)
            )
