"""An agent with a field guide: it asks, and passes on the name with what speaks for it.

python examples/field_guide.py PHOTO --model openai:gpt-5-mini --memory birds
python examples/field_guide.py PHOTO --model qwen2.5vl:7b --base-url http://localhost:11434/v1
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from langchain_core.exceptions import ModelError
from langchain_core.language_models import BaseChatModel

from rar_agent import RarError, Recognizer, attach
from rar_agent.agents import build_agent
from rar_agent.settings import load_settings


def ask(
    model: BaseChatModel | str | None, recognizer: Recognizer, photo: Path, question: str
) -> dict[str, Any]:
    """Attach a photo to a question and let the agent find out.

    Args:
        model: A chat model that calls tools, or its name; None: the settings' one.
        recognizer: What the field guide knows.
        photo: Path of an image.
        question: What the user wants to know.

    Returns:
        The agent's final state; the last of its `messages` is the answer.
    """
    agent = build_agent(model, recognizer)
    message = attach(photo, text=question, settings=recognizer.settings)
    state: dict[str, Any] = agent.invoke({"messages": [message]})
    return state


def main() -> None:
    """Ask about a photo from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--model", help="default: RAR_AGENT_MODEL, else RAR_MODEL")
    parser.add_argument("--base-url", help="of an OpenAI-compatible server")
    parser.add_argument("--memory", help="what the field guide knows; default: imagenet-1k")
    parser.add_argument("--question", default="What exactly is this, and how can I tell?")
    args = parser.parse_args()
    try:
        settings = load_settings(memory=args.memory, base_url=args.base_url)
        answer = ask(args.model, Recognizer(settings=settings), args.photo, args.question)
    except (RarError, ModelError) as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"{answer['messages'][-1].text}\n")


if __name__ == "__main__":
    main()
