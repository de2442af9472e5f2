"""An agent that recognises an attached photo with one tool.

python examples/agent.py PHOTO --model openai:gpt-5-mini
python examples/agent.py PHOTO --model openai:qwen2.5vl:7b --base-url http://localhost:11434/v1
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage

from rar_agent import recognize_image
from rar_agent.images import admit, to_data_uri


def ask(model: BaseChatModel, photo: Path, question: str) -> dict[str, Any]:
    """Attach a photo to a question and let the agent answer.

    Args:
        model: A chat model that calls tools.
        photo: Path of an image.
        question: What the user wants to know.

    Returns:
        The agent's final state; the last of its `messages` is the answer.
    """
    agent: Any = create_agent(
        model,
        tools=[recognize_image],
        system_prompt="When a photo shows something whose exact name matters, recognise it first.",
    )
    data = to_data_uri(admit(photo).rgb).partition(",")[2]
    message = HumanMessage(
        content=[
            {"type": "text", "text": question},
            {"type": "image", "base64": data, "mime_type": "image/jpeg"},
        ]
    )
    state: dict[str, Any] = agent.invoke({"messages": [message]})
    return state


def main() -> None:
    """Ask about a photo from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--model", default="openai:gpt-5-mini")
    parser.add_argument("--base-url")
    parser.add_argument("--question", default="What exactly is this?")
    args = parser.parse_args()
    options = {"base_url": args.base_url, "api_key": "none"} if args.base_url else {}
    answer = ask(init_chat_model(args.model, **options), args.photo, args.question)
    last = answer["messages"][-1]
    assert isinstance(last, AIMessage)  # noqa: S101 - the agent's contract
    sys.stdout.write(f"{last.text}\n")


if __name__ == "__main__":
    main()
