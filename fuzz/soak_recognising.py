"""Steps of a soak that ask: one image, many, at once, hostile ones, with a model that fails."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzz.soak_faults import FAULTS, outcome
from fuzz.soak_ground import Ground, Key, Said, asked, drawings, name_of, png
from rar_agent import Failure, Recognition, Recognizer, make_recognize_image
from rar_agent.errors import ConfigurationError, ImageError
from rar_agent.images import ImageSource
from tests.images.hostile import Hostile, catalogue

_HOSTILE_BYTES = 5_000_000
_BAD: tuple[bytes, ...] = (b"", b"no image", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0")

_KILLED = re.compile(r"ended the process|could be started \(status -9\)")

Answer = Recognition | Failure | BaseException


def one(ground: Ground, random: Random) -> None:
    """Single images, given in all the ways there are."""
    keys = drawings(random, random.randint(1, 5))
    got = []
    for key in keys:
        form = random.choice(list(_FORMS))
        result = ground.steady.recognize(_FORMS[form](ground, key))
        ground.check(key, result)
        got.append(key)
    ground.ledger.exchanged(keys, got)


def batch(ground: Ground, random: Random) -> None:
    """A batch, some of it no images: one result each, in order."""
    keys = drawings(random, random.randint(4, 24))
    given: list[tuple[Key | None, ImageSource]] = [(key, asked(key)) for key in keys]
    for _ in range(random.randint(0, 4)):
        given.insert(random.randrange(len(given) + 1), (None, random.choice(_BAD)))
        ground.ledger.fault("an image that is none")
    images = [image for _, image in given]
    recognizer = random.choice([ground.steady, ground.isolated])
    match random.randrange(3):
        case 0:
            results = recognizer.recognize_batch(images)
        case 1:
            results = list(recognizer.stream(iter(images)))
        case _:
            results = asyncio.run(recognizer.arecognize_batch(images))
    ground.ledger.exchanged(range(len(images)), range(len(results)))
    for (key, _), result in zip(given, results, strict=False):
        if key is None:
            ground.ledger.expect(isinstance(result, Failure), f"no image: {result!r:.200}")
        else:
            ground.check(key, result)


def left_stream(ground: Ground, random: Random) -> None:
    """A stream whose reader goes away."""
    keys = drawings(random, 12)
    stream = ground.steady.stream([asked(key) for key in keys])
    taken = keys[: random.randint(1, 6)]
    results = [next(stream) for _ in taken]
    stream.close()  # type: ignore[attr-defined] # a generator
    ground.ledger.fault("a reader that goes away")
    ground.ledger.exchanged(taken, taken[: len(results)])
    for key, result in zip(taken, results, strict=True):
        ground.check(key, result)


def together(ground: Ground, random: Random) -> None:
    """Many at once on a loop, some of them cancelled."""
    keys = drawings(random, random.randint(6, 20))
    cancelled = {n for n in range(len(keys)) if random.random() < 0.15}
    pauses = [random.random() * 0.05 for _ in cancelled]
    recognizer = random.choice([ground.steady, ground.isolated])

    async def ask() -> Sequence[Answer]:
        tasks = [asyncio.create_task(recognizer.arecognize(asked(key))) for key in keys]
        for number, pause in zip(sorted(cancelled), pauses, strict=True):
            await asyncio.sleep(pause)
            tasks[number].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    ground.ledger.fault("cancelled", len(cancelled))
    results = asyncio.run(ask())
    ground.ledger.exchanged(range(len(keys)), range(len(results)))
    for number, (key, result) in enumerate(zip(keys, results, strict=False)):
        if number in cancelled and isinstance(result, asyncio.CancelledError):
            continue
        ground.check(key, result)


def threads(ground: Ground, random: Random) -> None:
    """Many at once in threads."""
    keys = drawings(random, random.randint(6, 20))
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda key: _answer(ground.steady, asked(key)), keys))
    ground.ledger.exchanged(range(len(keys)), range(len(results)))
    for key, result in zip(keys, results, strict=False):
        ground.check(key, result)


def tool(ground: Ground, random: Random) -> None:
    """The tool that agents call, with files under a root; one outside is refused."""
    folder = ground.place / "root"
    folder.mkdir(exist_ok=True)
    settings = ground.steady.settings.model_copy(update={"roots": (folder,)})
    offered = make_recognize_image(Recognizer(settings=settings))
    keys = drawings(random, 3)
    got = []
    for number, key in enumerate(keys):
        (folder / f"{number}.png").write_bytes(png(asked(key)))
        call = {"image": str(folder / f"{number}.png")}
        message = offered.invoke({"type": "tool_call", "id": "1", "name": "x", "args": call})
        found = Recognition.model_validate(message.artifact)
        ground.check(key, found)
        accepted = found.decision == "accepted"
        best = f"Answer: {name_of(key[0])}" if accepted else "Not recognised"
        ground.ledger.expect(message.content.startswith(best), f"tool: {message.content[:200]}")
        got.append(key)
    (ground.place / "outside.png").write_bytes(png(asked(keys[0])))
    call = {"image": str(folder / ".." / "outside.png")}
    message = offered.invoke({"type": "tool_call", "id": "1", "name": "x", "args": call})
    ground.ledger.fault("a file outside the roots")
    ground.ledger.expect(message.status == "error", f"outside: {message.content[:200]}")
    ground.ledger.exchanged([*keys, "outside"], [*got, "outside"])


def hostile(ground: Ground, random: Random) -> None:
    """Files that were made to hurt, in processes of their own, and drawings among them."""
    files = random.sample(_hostile(), 4)
    for file in files:
        data = file.make()
        if len(data) > _HOSTILE_BYTES:
            continue
        result = _answer(ground.isolated, data)
        ground.ledger.fault("a hostile image")
        ground.ledger.exchanged([file.name], [file.name])
        right = Recognition if file.expected == "image" else ImageError
        ground.ledger.expect(isinstance(result, right), f"{file.name}: {result!r:.300}")
        (key,) = drawings(random, 1)
        ground.check(key, _answer(ground.isolated, png(asked(key))))


def killed_decoder(ground: Ground, random: Random) -> None:
    """The processes that decode are killed, asked or just begun: answers, or errors that say so."""
    keys = drawings(random, 24)
    with ThreadPoolExecutor(4) as pool:
        data = [png(asked(key)) for key in keys]
        going = [pool.submit(_answer, ground.isolated, one) for one in data]
        for _ in range(random.randint(1, 3)):
            time.sleep(random.random() * 0.2)
            for number in _decoders():
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
                ground.ledger.fault("a decoder killed")
        results = [one.result() for one in going]
    ground.ledger.exchanged(range(len(keys)), range(len(results)))
    for key, result in zip(keys, results, strict=True):
        told = isinstance(result, ImageError | ConfigurationError) and _KILLED.search(str(result))
        if not told:
            ground.check(key, result)


def with_model(ground: Ground, random: Random) -> None:
    """A model ranks, and its server fails by plan; each request is sent as often as it must be."""
    usual = [name for name, fault in FAULTS.items() if not fault.waits]
    keys = drawings(random, random.randint(3, 10))
    plans = [random.choices(usual, k=random.choice([0, 1, 1, 2])) for _ in keys]
    _planned(ground, random, ground.asking, keys, plans)


def hasty(ground: Ground, random: Random) -> None:
    """The same with stalls, and a client that does not wait for ever."""
    keys = drawings(random, 3)
    slow = [name for name, fault in FAULTS.items() if fault.waits]
    plans = [random.choices(slow, k=number % 3) for number in range(3)]
    _planned(ground, random, ground.hasty, keys, plans)


def _planned(
    ground: Ground,
    random: Random,
    recognizer: Recognizer,
    keys: Sequence[Key],
    plans: Sequence[Sequence[str]],
) -> None:
    provider, ledger = ground.provider, ground.ledger
    right = [(ground.ranked(key), ground.right(key)) for key in keys]
    images = [asked(key) for key in keys]
    marks = [provider.plan(image, plan) for image, plan in zip(images, plans, strict=True)]
    results: Sequence[Answer]
    match random.randrange(3):
        case 0:
            results = [_answer(recognizer, image) for image in images]
        case 1:
            results = recognizer.recognize_batch(images)
        case _:
            results = asyncio.run(_gathered(recognizer, images))
    provider.settle()
    sent = dict(provider.asked)
    provider.forget()
    ledger.exchanged(range(len(keys)), range(len(results)))
    for key, plan, mark, result, (ranked, retrieved) in zip(
        keys, plans, marks, results, right, strict=False
    ):
        asks = ranked.status != "not_asked"  # of one candidate left there is nothing to ask
        leads_to, requests = outcome(plan) if asks else ("exact", 0)
        for name in plan[:requests]:
            ledger.fault(f"model: {name}")
        if not isinstance(result, Recognition):
            ledger.expect(False, f"{key} {plan}: {result!r:.300}")
            continue
        said = Said.of(result)
        if recognizer is ground.hasty and leads_to != "degraded" and said.degraded:
            ledger.totals.late += 1
            continue
        ledger.expect(sent.get(mark, 0) == requests, f"{key} {plan}: {sent.get(mark, 0)} requests")
        ledger.expect(_follows(said, leads_to, ranked, retrieved), f"{key} {plan}: {said}")


def _follows(said: Said, leads_to: str, ranked: Said, retrieved: Said) -> bool:
    """Whether an answer is what must become of its plan."""
    if leads_to == "exact":
        return said.agrees(ranked)
    if leads_to == "degraded":
        as_retrieved = Said(retrieved.probabilities, said.status, True)
        return said.status in ("failed", "not_asked") and said.agrees(as_retrieved)
    return (said.status, said.degraded) == ("repaired", False) and (
        said.probabilities.keys() == ranked.probabilities.keys()
    )


async def _gathered(recognizer: Recognizer, images: Sequence[ImageSource]) -> Sequence[Answer]:
    asks = (recognizer.arecognize(image) for image in images)
    return await asyncio.gather(*asks, return_exceptions=True)


def _answer(recognizer: Recognizer, image: ImageSource) -> Answer:
    try:
        return recognizer.recognize(image)
    except Exception as error:
        return error


def _file(ground: Ground, key: Key) -> Path:
    path = ground.place / "asked.png"
    path.write_bytes(png(asked(key)))
    return path


_FORMS: dict[str, Callable[[Ground, Key], Any]] = {
    "PIL": lambda _, key: asked(key),
    "bytes": lambda _, key: png(asked(key)),
    "array": lambda _, key: np.asarray(asked(key)),
    "path": _file,
    "data URI": lambda _, key: (
        f"data:image/png;base64,{base64.b64encode(png(asked(key))).decode()}"
    ),
}


@cache
def _hostile() -> list[Hostile]:
    return catalogue()


def _decoders() -> list[int]:
    from rar_agent.images import isolated

    processes = [worker._process for worker in list(isolated._workers._all)]
    return [process.pid for process in processes if process]


STEPS: dict[str, tuple[Callable[[Ground, Random], None], float]] = {
    "one image": (one, 30),
    "batch": (batch, 14),
    "stream left": (left_stream, 3),
    "together": (together, 10),
    "threads": (threads, 6),
    "tool": (tool, 5),
    "hostile images": (hostile, 8),
    "decoder killed": (killed_decoder, 3),
    "with a model": (with_model, 16),
    "with a slow model": (hasty, 2),
}
"""By kind, with how often they come beside the others."""
