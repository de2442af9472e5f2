"""An agent that recognises an attached photo with one tool.

python examples/one_tool.py PHOTO --model openai:gpt-5-mini
python examples/one_tool.py PHOTO --model openai:qwen2.5vl:7b --base-url http://localhost:11434/v1
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.exceptions import ModelError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import BaseTool

from rar_agent import RarError, Recognizer, make_recognize_image, recognize_image
from rar_agent.images import admit, to_picture
from rar_agent.models import load_chat_model
from rar_agent.settings import load_settings


def ask(
    model: BaseChatModel, photo: Path, question: str, tool: BaseTool = recognize_image
) -> dict[str, Any]:
    """Attach a photo to a question and let the agent answer.

    Args:
        model: A chat model that calls tools.
        photo: Path of an image.
        question: What the user wants to know.
        tool: What the agent may call; default: it asks the settings' memory.

    Returns:
        The agent's final state; the last of its `messages` is the answer.
    """
    agent: Any = create_agent(
        model,
        tools=[tool],
        system_prompt="When a photo shows something whose exact name matters, recognise it first.",
    )
    data = to_picture(admit(photo).rgb).base64
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
    parser.add_argument("--base-url", help="of an OpenAI-compatible server")
    parser.add_argument("--memory", help="what the tool asks; default: imagenet-1k")
    parser.add_argument("--question", default="What exactly is this?")
    args = parser.parse_args()
    try:
        chat = load_chat_model(load_settings(model=args.model, base_url=args.base_url))
        tool = make_recognize_image(Recognizer(args.memory))
        answer = ask(chat.model, args.photo, args.question, tool)
    except (RarError, ModelError) as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"{answer['messages'][-1].text}\n")


if __name__ == "__main__":
    main()
