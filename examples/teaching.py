"""An agent that learns in conversation: it proposes, you approve, from then on it knows.

python examples/teaching.py --model openai:gpt-5-mini --memory birds

Write a line; `@PHOTO` at its start attaches one. An empty line ends.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_core.exceptions import ModelError
from langchain_core.language_models import BaseChatModel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from rar_agent import RarError, Recognizer, attach
from rar_agent.agents import build_agent
from rar_agent.settings import load_settings


def converse(
    model: BaseChatModel | str | None,
    recognizer: Recognizer,
    read: Callable[[str], str],
    say: Callable[[str], object],
) -> None:
    """Talk until an empty line.

    Args:
        model: A chat model that calls tools, or its name; None: the settings' one.
        recognizer: Whose memory is asked and taught.
        read: Gives the user's answer to a prompt.
        say: Shows a text to the user.
    """
    agent = build_agent(model, recognizer, teach=True, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    while line := read("you: ").strip():
        photo, _, text = line[1:].partition(" ") if line.startswith("@") else ("", "", line)
        said = agent.get_state(thread).values
        message = attach(
            *([Path(photo)] if photo else []), text=text, to=said, settings=recognizer.settings
        )
        state = agent.invoke({"messages": [message]}, thread)
        while asked := state.get("__interrupt__"):  # several, where it proposes several
            say(asked[0].value["action_requests"][0]["description"])
            decision = "approve" if read("approve? [y/N] ").strip() in ("y", "yes") else "reject"
            answer = {asked[0].id: {"decisions": [{"type": decision}]}}
            state = agent.invoke(Command(resume=answer), thread)
        say(state["messages"][-1].text)


def main() -> None:
    """Talk on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", help="default: RAR_AGENT_MODEL, else RAR_MODEL")
    parser.add_argument("--base-url", help="of an OpenAI-compatible server")
    parser.add_argument("--memory", required=True, help="what is asked and taught")
    args = parser.parse_args()
    try:
        settings = load_settings(memory=args.memory, base_url=args.base_url)
        converse(
            args.model,
            Recognizer(settings=settings),
            input,
            lambda text: sys.stdout.write(f"{text}\n"),
        )
    except (RarError, ModelError) as error:
        sys.exit(f"error: {error}")
    except EOFError:
        pass


if __name__ == "__main__":
    main()
