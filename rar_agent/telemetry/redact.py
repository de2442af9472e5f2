"""What leaves the process without being asked for: no images, no keys; from afar, no folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from rar_agent.addresses import known_secrets

_SHORTEST = 200
"""Characters of base64 in a row, from which on they are taken for an image."""

_LINE = 60
"""Characters of one line of base64 that is broken into lines; MIME has 76."""

_LETTER, _BREAK = r"[A-Za-z0-9+/_-]", r"(?:\\[rn]|[\r\n])+"
_BASE64 = re.compile(
    rf"(?:data:[\w.+-]+/[\w.+-]+;base64,)?"
    rf"(?:(?:{_LETTER}{{{_LINE},}}{_BREAK}){{2,}}{_LETTER}*|{_LETTER}{{{_SHORTEST},}})=*"
)
_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|OTLP(_[A-Z]+)?_HEADERS)$")
_IN_URL = re.compile(r"(?<=://)[^\s/@]+(?=@)")
_SHORTEST_SECRET = 8
_SHORTEST_PASSWORD = 4

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, those that turn the direction of what follows, and half characters.

Models are told none of these, and nothing else that is not seen, see `agents.untrusted`."""

_NAME = re.compile(
    "key|token(?!i[sz])|secret|password|authorization|credential|header", re.IGNORECASE
)
"""What secrets are named; a tokenizer is none."""

_given: dict[str, str] = {}
"""Secrets among a model's options, with their names."""


def hide_secrets(options: Mapping[str, Any]) -> None:
    """Have `redacted` mask what a model's options hold under names of secrets, however deep."""
    for name, value in options.items():
        if _NAME.search(name):
            _given.update({text: name for text in _texts(value) if len(text) >= _SHORTEST_SECRET})
        else:
            for inner in _mappings(value):
                hide_secrets(inner)


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _mappings(value: object) -> Iterable[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _mappings(part)


def without_images(text: str) -> str:
    """A text in which long runs of base64, which is how images travel, are left out."""
    if len(text) < _SHORTEST // 2:
        return text
    return _BASE64.sub(lambda found: f"[{len(found[0])} characters left out]", text)


def redacted(text: str) -> str:
    """A text without images, and without secrets: of variables, of a model's options, in URLs."""
    secrets = {
        value: name
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST_SECRET and _SECRET.search(name)
    }
    secrets = {
        **_given,
        **dict.fromkeys((s for s in known_secrets() if len(s) >= _SHORTEST_PASSWORD), "password"),
        **secrets,
    }
    for value in sorted(secrets, key=len, reverse=True):  # one may begin as another does
        text = text.replace(value, f"[{secrets[value]}]")
    return without_images(_IN_URL.sub("[left out]", text))


def without_folders(found: Any) -> Any:  # noqa: ANN401 - plain data of any kind
    """Plain data of candidates and recognitions whose exemplars' sources name no folder.

    Of a source that is an absolute path its last part stays.
    """
    if isinstance(found, list):
        return [without_folders(one) for one in found]
    if not isinstance(found, dict):
        return found
    return {
        key: [_named(one) for one in value]
        if key == "exemplars" and isinstance(value, list)
        else without_folders(value)
        for key, value in found.items()
    }


def _named(exemplar: Any) -> Any:  # noqa: ANN401 - metadata may have the same key
    if not isinstance(exemplar, dict) or not isinstance(source := exemplar.get("source"), str):
        return exemplar
    for path in (PurePosixPath(source), PureWindowsPath(source)):
        if path.is_absolute():
            return {**exemplar, "source": path.name}
    return exemplar
