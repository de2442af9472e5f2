"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from rar_agent.addresses import without_user
from rar_agent.errors import InputError

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The memory: its name, or its address in Milvus.",
        show_default=False,
        callback=lambda name: without_user(name) if isinstance(name, str) else name,
    ),
]

Domain = Annotated[
    str, typer.Option(help="What kind of categories, for texts and ranking: 'bird species'.")
]
NoFit = Annotated[
    bool,
    typer.Option("--no-fit", help="Keep the scoring as it is; memory fit chooses it later."),
]
Ram = Annotated[
    float | None, typer.Option(help="GB that indexes may use; default: half of the machine's.")
]
Recall = Annotated[
    float | None,
    typer.Option(help="Share of the 10 nearest entries that an index has to find; 1: no index."),
]
Model = Annotated[
    str | None, typer.Option(help="Multimodal LLM that ranks, such as openai:gpt-5-mini.")
]
BaseUrl = Annotated[
    str | None, typer.Option(help="OpenAI-compatible server: Ollama, vLLM, llama.cpp.")
]
RankerName = Annotated[
    str | None, typer.Option(help="How the model ranks: listwise, choice, pairwise.")
]
PromptName = Annotated[
    str | None,
    typer.Option(metavar="NAME@VERSION", help="What it is asked; see rar-agent prompts list."),
]
Orders = Annotated[
    int | None,
    typer.Option(help="In how many orders it sees the candidates, a call each; 0: all."),
]
EngineName = Annotated[
    str,
    typer.Option("--engine", help="Where the work is done: local, or ray (Ray Data)."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="Ray cluster: auto, ray://HOST:10001; default: one started here."
    ),
]


def engine_of(name: str, address: str | None) -> Any:  # noqa: ANN401 - work has protocols
    """The engine that is asked for, or its name where that is this process.

    Raises:
        InputError: There is none of that name, or an address is given that nobody uses.
        ConfigurationError: It is not installed, or a setting is not valid.
    """
    from rar_agent.engine import LOCAL, load_engine

    if address and name != "ray":
        raise InputError(
            f"--ray-address {address} is of the engine 'ray', and '{name}' works.",
            "Give --engine ray too.",
        )
    given = {"ray_address": address} if name == "ray" else {}
    return load_engine(name, **given) or LOCAL


def gigabytes(given: float, option: str) -> int:
    """Bytes of so many GB.

    Raises:
        InputError: It is negative, or no number.
    """
    if not 0 <= given < 1e9:
        raise InputError(f"{option} {given:g} is not valid.", "Give GB, such as 8.")
    return int(given * 1e9)


def pairs(given: Sequence[str], option: str) -> dict[str, Any]:
    """What `key=value` options say: values as JSON where they are JSON, else as text.

    Args:
        given: As they were typed.
        option: Its name, for messages.

    Returns:
        The value of each key; None for `key=`.

    Raises:
        InputError: One has no key or no `=`, a key is given twice, or a value begins as JSON (with
            a brace, a bracket or a quote) and is none.
    """
    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key.strip() or not equals:
            raise InputError(
                f"{option} '{text}' says no value.",
                f"Write {option} key=value, such as {option} region=Europe.",
            )
        if key in found:
            raise InputError(
                f"{option} gives '{key}' twice.", f"""Give it once; a list is '{key}=["a","b"]'."""
            )
        found[key] = _value(value, f"{option} {key}") if value else None
    return found


def _value(text: str, of: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith(("{", "[", '"')):
            raise InputError(
                f"The value of {of} is not valid JSON: {text:.80} ({error}).",
                "Correct it, with single quotes around the whole: 'length={\"min\": 10}'.",
            ) from error
        return text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and Infinity are no JSON


Change = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the suite: ranker.prompt=rank@2."),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Test images of each cell; default: the suite's.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
