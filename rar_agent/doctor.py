"""What is installed, which encoder, which memory, which model; and what to do about each no."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rar_agent.encoders import choose_encoder
from rar_agent.errors import RarError
from rar_agent.graph.conclusion import versions
from rar_agent.memory import list_memories, open_memory, verify_memory
from rar_agent.memory.format.origin import origin_of
from rar_agent.prompts import load_prompt
from rar_agent.settings import Settings, unknown_variables

if TYPE_CHECKING:  # the providers' packages take a second to import
    from rar_agent.models.capabilities import Known

State = Literal["ok", "note", "broken"]


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report.

    Attributes:
        what: What was looked at.
        state: `ok`; `note`: works, could be better; `broken`: has to be mended.
        found: What was found.
        fix: What to do; empty where nothing is needed.
    """

    what: str
    state: State
    found: str
    fix: str = ""


def examine(settings: Settings, probe: bool = False) -> Iterator[Check]:
    """Look at everything that `recognize` needs, one check at a time.

    Args:
        settings: That recognition would run with.
        probe: Whether the model is asked a few tiny questions, which may cost something.
    """
    yield Check("installed", "ok", ", ".join(f"{k} {v}" for k, v in versions().items()))
    yield Check("machine", "ok", f"Python {platform.python_version()}, {platform.platform()}")
    checks: list[tuple[str, Callable[[Settings], Check]]] = [
        ("home", _home),
        ("device", _device),
        ("encoder", _encoder),
        ("memory", _memory),
        ("engine", _engine),
        ("prompt", _prompt),
    ]
    for what, check in checks:
        try:
            yield check(settings)
        except RarError as error:
            yield Check(what, "broken", error.message, error.fix)
    try:
        yield from _model(settings, probe)
    except RarError as error:
        yield Check("model", "broken", error.message, error.fix)
    for variable in unknown_variables():
        yield Check("settings", "note", f"{variable} sets nothing", "Check its spelling.")


def _home(settings: Settings) -> Check:
    home = settings.home.expanduser()
    place = next(p for p in (home, *home.parents) if p.exists())
    if not os.access(place, os.W_OK):
        return Check("home", "broken", f"{home} cannot be written", "Set RAR_HOME to a folder.")
    return Check("home", "ok", str(home))


def _device(settings: Settings) -> Check:
    from rar_agent.device import pick_device

    return Check("device", "ok", pick_device(settings.device))


def _engine(settings: Settings) -> Check:
    from rar_agent.device import pick_device
    from rar_agent.encoders.tuning import plan_of, read_tuning
    from rar_agent.memory.drift import recorded

    memory = open_memory(settings.home, settings.memory)
    name, device = memory.manifest.encoder.name, pick_device(settings.device)
    tuning = read_tuning(settings.home, name, device, memory.fingerprint.identity)
    plan = plan_of(settings, device, tuning, recorded(memory))
    fix = "" if tuning else f"To find out what is faster: rar-agent tune --memory {memory.name}"
    return Check("engine", "ok", f"{name} is run by {plan}", fix)


def _encoder(settings: Settings) -> Check:
    choice = choose_encoder(settings.encoder)
    found = f"memory create takes {choice.name}: {choice.reason}"
    return Check("encoder", "note" if choice.stronger else "ok", found, choice.stronger)


def _memory(settings: Settings) -> Check:
    memory = open_memory(settings.home, settings.memory)
    away = origin_of(memory.folder) is not None  # reading all it has may take hours
    wrong = [] if away else verify_memory(settings.home, settings.memory)
    if wrong:
        return Check("memory", "broken", " ".join(wrong), "Restore it from a copy.")
    others = [name for name in list_memories(settings.home) if name != memory.name]
    found = (
        f"{memory.name}: {memory.category_count} categories, {len(memory.entries)} entries, "
        f"{memory.describe_method()}"
    )
    if others:
        found += f"; also {', '.join(others)}"
    if memory.manifest.fixed and not others:
        fix = "Teach your own: rar-agent memory create NAME --images FOLDER"
        return Check("memory", "note", found, fix)
    return Check("memory", "ok", found)


def _prompt(settings: Settings) -> Check:
    prompt = load_prompt(settings.ranking_prompt, settings.home)
    return Check("prompt", "ok", f"{prompt.reference} ({prompt.sha256})")


def _model(settings: Settings, probe: bool) -> Iterator[Check]:
    if settings.model is None and settings.base_url is None:
        yield Check(
            "model",
            "note",
            "none: answers are in retrieval order",
            "Set RAR_MODEL=openai:gpt-5-mini and OPENAI_API_KEY, or RAR_BASE_URL and RAR_MODEL "
            "for a local server (Ollama, vLLM, llama.cpp, LM Studio).",
        )
        return
    from rar_agent.models import load_chat_model
    from rar_agent.models import probe as probing

    chat = load_chat_model(settings)
    reason = probing.unreachable(chat)
    if reason:
        fix = "Start the server, or correct RAR_MODEL, RAR_BASE_URL and the provider's key."
        yield Check("model", "broken", f"{chat.name} cannot be used: {reason}", fix)
        return
    if probe:
        usage = probing.probe(chat, settings.image_side)
        cost = "at an unknown price" if usage.cost is None else f"${usage.cost:.6f}"
        billed = f"{usage.input_tokens + usage.output_tokens} tokens, {cost}"
        yield Check("model", "ok", f"{chat.name} answers ({billed})")
    else:
        yield Check("model", "ok", f"{chat.name} (nothing was asked that costs)")
    yield from _known(chat.capabilities.known)


def _known(known: Known) -> Iterator[Check]:
    """What the model's server was found to take."""
    from rar_agent.models.capabilities import FEATURES, KEPT_DAYS

    for finding in known.probed:
        state: State = "note" if finding.fix else "ok"
        yield Check(f"model, {finding.what}", state, finding.found, finding.fix)
    learnt = [f"no {word}" for feature, word in FEATURES.items() if feature in known.refused]
    for count, side in sorted(known.sides.items()):
        learnt.append(
            f"from {count} pictures on {side} pixels a side"
            if count > 1
            else f"{side} pixels a side"
        )
    if known.most is not None:
        learnt.append(f"{known.most} pictures in a request")
    found = f"takes {', '.join(learnt)}" if learnt else "nothing is known that it does not take"
    if known.learnt:
        day = time.strftime("%Y-%m-%d", time.localtime(known.learnt))
        found += f" (as of {day}, for {KEPT_DAYS} days)"
    fix = "" if known.probed else "To find out: rar-agent doctor --probe"
    yield Check("model, server", "ok", found, fix)
