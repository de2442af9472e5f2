"""What `recognize_image` costs an agent: time beside a direct call, tokens, bytes of checkpoints.

    python -m benchmarks.tool [--count 200]

Times are of an image whose embedding is known, so that nothing but the overhead is left: in turn,
median and 95th percentile, in milliseconds; builtin encoder. The model that ranks, where one does,
answers at once, in this process.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.language_models import FakeListChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.sqlite import SqliteSaver
from PIL import Image

from rar_agent import AttachedImagesMiddleware, Recognizer, attach, make_recognize_image
from rar_agent.agents import make_toolkit
from rar_agent.agents.answer import describe
from rar_agent.example import example_photo
from rar_agent.graph import Context, Services, build_recognize
from rar_agent.images import admit
from rar_agent.models import ChatModel
from rar_agent.prompts import load_prompt
from rar_agent.ranking import Ranker
from rar_agent.settings import load_settings

CALL = {"name": "recognize_image", "args": {"image": "image_1"}, "id": "1", "type": "tool_call"}


class Caller(GenericFakeChatModel):
    """Plays the agent's model: calls the tool, then ends."""

    def bind_tools(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401
        """Itself: what it says is fixed."""
        return self


def caller() -> Caller:
    """A new one, for any number of runs."""
    calls: list[Any] = [[CALL], []]
    return Caller(messages=(AIMessage("done", tool_calls=asked) for asked in cycle(calls)))


class Instant(Services):
    """Services whose model answers at once."""

    @property
    def ranker(self) -> Ranker:
        """It asks a stand-in."""
        chat = ChatModel("instant", FakeListChatModel(responses=['{"ranking": ["A", "B", "C"]}']))
        return self.asking_ranker("listwise", chat, load_prompt("rank@1", self.settings.home))


def nothing(image: str) -> str:
    """Do nothing."""
    return image


def timed(ways: dict[str, Callable[[], object]], count: int) -> dict[str, list[float]]:
    """Milliseconds of each way, in turn."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(count + 5):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if number >= 5:
                taken[name].append(1000 * (time.perf_counter() - start))
    return taken


def times(recognizer: Recognizer, count: int) -> dict[str, list[float]]:
    """Of the tool and the graph."""
    data = example_photo().read_bytes()
    photo = admit(data)
    block = {"type": "image", "base64": base64.b64encode(data).decode(), "mime_type": "image/png"}
    state = {"messages": [HumanMessage(content=[block])]}
    attached = {"messages": [attach(data, settings=recognizer.settings)]}
    tool = make_recognize_image(recognizer)
    settings = load_settings(recognizer.settings, skip_ranking_at=1.01, cache_mb=0)
    services = Instant(settings, "caller")
    graph: Any = build_recognize()
    _ = services.ranker
    inside: list[float] = []

    def direct_graph() -> None:
        given = {"image": services.store.put(photo), "source": "photo"}
        start = time.perf_counter()
        found = graph.invoke(given, context=Context(services=services))["recognition"]
        total = 1000 * (time.perf_counter() - start)
        assert found["trace"]["ranker"] == "listwise"
        inside.append(total - sum(found["trace"]["timings_ms"].values()))

    def call(state: dict[str, Any]) -> Callable[[], object]:
        runtime = ToolRuntime(
            state=state,
            context=None,
            config={},
            stream_writer=lambda _: None,
            tool_call_id="1",
            store=None,
        )
        return lambda: tool.invoke({**CALL, "args": {"image": "image_1", "runtime": runtime}})

    agent: Any = create_agent(caller(), tools=[tool])
    idle: Any = create_agent(
        caller(), tools=[StructuredTool.from_function(nothing, name=tool.name)]
    )

    taken = timed(
        {
            "Recognizer.recognize, bytes": lambda: recognizer.recognize(data),
            "Recognizer.recognize, admitted": lambda: recognizer.recognize(photo),
            "the tool, base64 block": call(state),
            "the tool, attached": call(attached),
            "an agent's run, base64 block": lambda: agent.invoke(state),
            "an agent's run, attached": lambda: agent.invoke(attached),
            "an agent's run, idle tool": lambda: idle.invoke({"messages": [HumanMessage("?")]}),
            "the graph, instant model": direct_graph,
        },
        count,
    )
    return {**taken, "of it, the graph itself": inside[5:]}


def checkpoints(recognizer: Recognizer) -> dict[str, tuple[int, int]]:
    """Largest checkpoint with what was written beside it: of the first two steps, of the others."""
    noise = np.random.default_rng(0).integers(0, 256, (2_600, 2_600, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    data, settings = buffer.getvalue(), recognizer.settings
    block = {"type": "image", "base64": base64.b64encode(data).decode(), "mime_type": "image/png"}
    tool, sent = make_recognize_image(recognizer), HumanMessage(content=[block])
    middleware = [AttachedImagesMiddleware(settings=settings)]
    thread: Any = {"configurable": {"thread_id": "1"}}
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:

        def saved(name: str, run: Callable[[SqliteSaver], object]) -> None:
            file = Path(folder) / name
            with SqliteSaver.from_conn_string(str(file)) as saver:
                run(saver)
            with sqlite3.connect(file) as db:
                rows = db.execute(
                    "SELECT json_extract(metadata, '$.step'), length(checkpoint) + COALESCE((SELECT"
                    " sum(length(value)) FROM writes w WHERE w.checkpoint_id = c.checkpoint_id), 0)"
                    " FROM checkpoints c"
                ).fetchall()
            first, others = ([n for step, n in rows if (step < 1) == now] for now in (True, False))
            sizes[name] = max(first), max(others)

        def asked(given: HumanMessage, layers: Any = ()) -> Callable[[SqliteSaver], object]:  # noqa: ANN401
            return lambda saver: create_agent(
                caller(), tools=[tool], middleware=layers, checkpointer=saver
            ).invoke({"messages": [given]}, thread)

        saved("bare tool", asked(sent))
        saved("middleware", asked(sent, middleware))
        saved("attach()", asked(attach(data, settings=settings)))
        services = recognizer.services
        saved(
            "recognise graph",
            lambda saver: build_recognize(saver).invoke(
                {"image": services.store.put(admit(data))},
                thread,
                context=Context(services=services),
            ),
        )
    return sizes


def tokens(recognizer: Recognizer) -> dict[str, int]:
    """As LangChain counts them, roughly: of the tools' schemas and of an answer."""
    empty = [HumanMessage("")]
    base = count_tokens_approximately(empty)
    found = recognizer.recognize(example_photo())
    tool = make_recognize_image(recognizer)
    said = tool.invoke({**CALL, "args": {"image": "image_9"}})
    return {
        "recognize_image, schema": count_tokens_approximately(empty, tools=[tool]) - base,
        "the toolkit, schemas": count_tokens_approximately(
            empty, tools=[*make_toolkit(recognizer, teach=True)]
        )
        - base,
        "an answer": count_tokens_approximately([ToolMessage(describe(found), tool_call_id="1")]),
        "an error": count_tokens_approximately([said]),
        "its artifact, characters (not sent)": len(json.dumps(found.model_dump(mode="json"))),
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="Calls of each way.")
    count = parser.parse_args().count
    recognizer = Recognizer(device="cpu")
    recognizer.recognize(example_photo())
    for name, taken in times(recognizer, count).items():
        median, late = np.percentile(taken, [50, 95])
        sys.stdout.write(f"{name:34} {median:7.2f} ms, p95 {late:.2f}\n")
    for name, (first, others) in checkpoints(recognizer).items():
        sys.stdout.write(f"{name:34} {first:10,} bytes at first, then {others:,}\n")
    for name, number in tokens(recognizer).items():
        sys.stdout.write(f"{name:34} {number:7,}\n")


if __name__ == "__main__":
    main()
