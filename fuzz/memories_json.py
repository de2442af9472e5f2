"""Mutations of JSON by one who knows what it means: any field, anything in its place."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

_PLACE = "put it here"  # replaced in the text: what no parsed value could say

VALUES: dict[str, str] = {
    "null": "null",
    "true": "true",
    "text": '"text"',
    "empty text": '""',
    "list": "[]",
    "object": "{}",
    "list of lists": "[[]]",
    "negative": "-1",
    "zero": "0",
    "one": "1",
    "some": "7",
    "2**31": str(2**31),
    "2**62": str(2**62),
    "2**63": str(2**63),
    "2**64 - 1": str(2**64 - 1),
    "-2**63": str(-(2**63)),
    "5,000 digits": "9" * 5_000,
    "half": "0.5",
    "tiny": "1e-320",
    "1e308": "1e308",
    "-1e308": "-1e308",
    "1e999": "1e999",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "nested lists": "[" * 100_000 + "]" * 100_000,
    "nested objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "nested a little": "[" * 300 + "]" * 300,
    "long text": json.dumps("a" * 1_000_000),
    "surrogate": '"\\ud800"',
    "NUL": '"a\\u0000b"',
    "controls": '"\\u001b[31m\\u0007\\u202e\\r\\n"',
    "up": '"../../../../etc/passwd"',
    "absolute": '"/etc/passwd"',
    "device": '"/dev/zero"',
    "DOS device": '"CON"',
    "command": '"$(touch x); x"',
    "not JSON": "nothing",
    "not UTF-8": '"\udcff"',
}


def mutated(content: bytes, draw: random.Random) -> tuple[bytes, str]:
    """JSON with one thing changed, and what was."""
    tree = json.loads(content)
    places = [*_places(tree)]
    holder, key = draw.choice(places)
    way = draw.choice(["value"] * 6 + ["missing", "twice", "more", "from elsewhere", "number"])
    said = f"{key}: {way}"
    if way == "missing":
        del holder[key]
        return json.dumps(tree).encode(), said
    if way == "twice":
        if isinstance(holder, list):
            holder.insert(int(key), holder[int(key)])
            return json.dumps(tree).encode(), said
        return _twice(tree, holder, key), said
    if way == "more":
        if isinstance(holder, list):
            holder += holder
        else:
            holder["more"] = holder[key]
        return json.dumps(tree).encode(), said
    if way == "from elsewhere":
        other, there = draw.choice(places)
        holder[key] = json.loads(json.dumps(other[there]))
        return json.dumps(tree).encode(), said
    if way == "number" and isinstance(holder[key], int | float):
        holder[key] = draw.choice(
            [holder[key] + 1, holder[key] - 1, -holder[key], 2 * holder[key], 1e6 * holder[key]]
        )
        return json.dumps(tree).encode(), said
    name = draw.choice([*VALUES])
    holder[key] = _PLACE
    text = json.dumps(tree).replace(json.dumps(_PLACE), VALUES[name])
    return text.encode("utf-8", "surrogateescape"), f"{key}: {name}"


def _twice(tree: Any, holder: dict[str, Any], key: Any) -> bytes:  # noqa: ANN401
    value = holder[key]
    holder[key] = _PLACE
    again = f"null, {json.dumps(key)}: {json.dumps(value)}"
    return json.dumps(tree).replace(json.dumps(_PLACE), again).encode()


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401
    """Every holder and key of a tree."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in pairs:
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)
