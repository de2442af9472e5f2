"""Turns of an image's parts, so that one with thousands of boxes keeps none with a few waiting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from rar_agent.loop import Room

_rooms: WeakValueDictionary[tuple[str, str, int], Room] = WeakValueDictionary()


@asynccontextmanager
async def turn(work: str, image: str, size: int) -> AsyncIterator[None]:
    """Wait until there is room for a part of the work on an image, and hold its place.

    Args:
        work: Which kind.
        image: Its hash.
        size: Parts at once.
    """
    key = (work, image, size)
    room = _rooms.get(key)
    if room is None:
        room = _rooms[key] = Room(size)
    async with room.place():
        yield
