"""Addresses of memories without their secrets, so that they can be logged, traced and shown."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

_users: dict[str, str] = {}


def without_user(address: str) -> str:
    """An address without user and password, which `user_of` keeps for this process; else as it is.

    Args:
        address: A memory's name, or `scheme://user:password@host/name`.
    """
    scheme, found, rest = address.partition("://")
    user, has_user, place = rest.rpartition("@")
    if not found or not has_user:
        return address
    shown = f"{scheme}://{place}"
    _users[shown] = user
    return shown


def user_of(address: str) -> str:
    """User and password of an address that `without_user` returned, as they were written."""
    return _users.get(address, "")


def known_secrets() -> Iterable[str]:
    """Users with passwords, and passwords, as they were written and as they are meant."""
    for user in _users.values():
        for text in {user, unquote(user)}:
            yield from {text, text.partition(":")[2]} - {""}
