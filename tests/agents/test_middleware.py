"""Handles of a conversation: with the bare tool, with attach(), with the middleware."""

import base64
import gc
import re
import sqlite3

import numpy as np
import pytest
from langchain.agents import create_agent
from langchain.tools import tool
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from PIL import Image

from rar_agent import AttachedImagesMiddleware, attach
from rar_agent.agents import kept
from rar_agent.errors import ImageError
from tests.agents.conftest import block, encoded, model, tool_messages
from tests.conftest import draw

THREAD = {"configurable": {"thread_id": "1"}}
RED, GREEN, BLUE = (draw(colour, 99) for colour in ("red", "green", "blue"))


@pytest.fixture
def settings(recognizer):
    return recognizer.settings


@pytest.fixture
def agent(discs_tool, settings):
    """An agent with the middleware, whose model answers so."""

    def make(*answers, tools=(), saver=None, show=False):
        return create_agent(
            model(*answers),
            tools=[discs_tool, *tools],
            middleware=[AttachedImagesMiddleware(show, settings)],
            checkpointer=saver,
        )

    return make


def said(state):
    return [message.content for message in tool_messages(state)]


def test_messages_keep_references_and_the_tool_finds_the_images(agent, settings):
    content = [{"type": "text", "text": "Which is the second?"}, block(RED), block(GREEN)]
    chat = agent({"image": "image_2"}, "done")
    state = chat.invoke({"messages": [HumanMessage(content=content)]})
    assert state["messages"][0].content == [
        {"type": "text", "text": "Which is the second?"},
        {"type": "text", "text": "[attached image: image_1]"},
        {"type": "text", "text": "[attached image: image_2]"},
    ]
    assert said(state)[0].startswith("Answer: green discs")
    assert "attached_images" not in state  # nobody outside is given it, or sets it
    forged = {"messages": [HumanMessage("?")], "attached_images": {"image_1": {"sha256": "0" * 64}}}
    [told] = said(agent({"image": "image_1"}, "done").invoke(forged))
    assert "Ask the user to attach" in told


def test_the_model_sees_the_images_only_if_asked(discs_tool, settings):
    content = [block(RED), {"type": "image", "url": "https://example.com/x.png"}]
    for show in (False, True):
        chat = model("done")
        middleware = [AttachedImagesMiddleware(show, settings)]
        state = create_agent(chat, tools=[discs_tool], middleware=middleware).invoke(
            {"messages": [HumanMessage(content=content)]}
        )
        [[seen]] = chat.seen
        kinds = [item["type"] for item in seen.content]
        assert kinds == (["text", "image"] * 2 if show else ["text"] * 2)
        assert len(state["messages"][0].content) == 2
    assert seen.content[1]["mime_type"] == "image/jpeg"  # without its metadata
    assert seen.content[3]["url"] == "https://example.com/x.png"


def test_a_conversation_goes_on_after_a_restart(agent, settings, tmp_path):
    file = tmp_path / "threads.sqlite"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        agent("hello", saver=saver).invoke({"messages": [HumanMessage([block(RED)])]}, THREAD)
    kept._store.cache_clear()  # a new process begins with nothing in memory
    gc.collect()
    with SqliteSaver.from_conn_string(str(file)) as saver:
        chat = agent({"image": "image_1"}, "done", {"image": "image_2"}, "done", saver=saver)
        state = chat.invoke({"messages": [HumanMessage("Which was it?")]}, THREAD)
        assert said(state)[0].startswith("Answer: red discs")
        state = chat.invoke({"messages": [attach(BLUE, settings=settings)]}, THREAD)
        assert said(state)[1].startswith("Answer: blue discs")  # it went by image_1, and is renamed
        assert state["messages"][-4].text == "[attached image: image_2]"


def test_a_handle_means_nothing_in_another_thread(agent):
    saver = InMemorySaver()
    agent("hello", saver=saver).invoke({"messages": [HumanMessage([block(RED)])]}, THREAD)
    other = {"configurable": {"thread_id": "2"}}
    chat = agent({"image": "image_1"}, "done", saver=saver)
    [told] = tool_messages(chat.invoke({"messages": [HumanMessage("Which?")]}, other))
    assert told.status == "error"
    assert "no image_1 in this conversation" in told.content


def test_messages_go_on_without_their_state(agent):
    """Where the caller keeps them, or a graph whose node the agent is."""
    first = agent("hello").invoke({"messages": [HumanMessage([block(RED)]), HumanMessage("?")]})
    messages = [*first["messages"], HumanMessage([block(BLUE)])]
    chat = agent({"image": "image_1"}, {"image": "image_2"}, "done")
    assert [text[:16] for text in said(chat.invoke({"messages": messages}))] == [
        "Answer: red disc",
        "Answer: blue dis",
    ]
    outer = StateGraph(MessagesState)
    outer.add_node("agent", agent("hello", {"image": "image_1"}, "done"))
    outer.add_edge(START, "agent")
    graph = outer.compile(checkpointer=InMemorySaver())
    graph.invoke({"messages": [HumanMessage([block(GREEN)])]}, THREAD)
    [told] = said(graph.invoke({"messages": [HumanMessage("Which was it?")]}, THREAD))
    assert told.startswith("Answer: green discs")


@pytest.mark.parametrize(
    "forged", ["x", ["x"], {"x": {"url": "y"}}, {"image_1": "x"}, {"image_1": {"sha256": 5}}]
)
def test_what_clients_write_into_the_state(agent, forged):
    chat = agent("hello", {"image": "image_1"}, {"image": "image_2"}, "x", saver=InMemorySaver())
    chat.invoke({"messages": [HumanMessage("hi")]}, THREAD)
    chat.update_state(THREAD, {"attached_images": forged})
    told = said(chat.invoke({"messages": [HumanMessage([block(RED)])]}, THREAD))
    assert any(text.startswith("Answer: red discs") for text in told)


def test_a_branch_has_its_own_names(agent):
    chat = agent("a", "b", "c", *[{"image": "image_2"}, "x"] * 2, saver=InMemorySaver())
    chat.invoke({"messages": [HumanMessage([block(RED)])]}, THREAD)
    begun = chat.get_state(THREAD).config
    for picture, answer in ((GREEN, "green"), (BLUE, "blue")):
        chat.invoke({"messages": [HumanMessage([block(picture)])]}, begun)
        if answer == "green":
            green = chat.get_state(THREAD).config
    for place, answer in ((THREAD, "blue"), (green, "green")):
        state = chat.invoke({"messages": [HumanMessage("The second?")]}, place)
        assert said(state)[-1].startswith(f"Answer: {answer} discs")


def test_the_model_s_own_messages_are_left_as_they_are(discs_tool, settings):
    chat = model("[attached image: image_1]", "done")  # providers take no images of an assistant
    middleware = [AttachedImagesMiddleware(True, settings)]
    made = create_agent(chat, tools=[discs_tool], middleware=middleware)
    state = made.invoke({"messages": [HumanMessage([block(RED)])]})
    made.invoke({"messages": [*state["messages"], HumanMessage("?")]})
    assert chat.seen[-1][1].content == "[attached image: image_1]"


def test_names_stay_when_messages_go(agent):
    saver = InMemorySaver()
    chat = agent("a", "b", {"image": "image_2"}, "c", {"image": "image_1"}, "d", saver=saver)
    first = chat.invoke({"messages": [HumanMessage([block(RED)])]}, THREAD)
    chat.invoke({"messages": [HumanMessage([block(GREEN)])]}, THREAD)
    chat.update_state(THREAD, {"messages": [RemoveMessage(first["messages"][0].id)]})
    state = chat.invoke({"messages": [HumanMessage("the second")]}, THREAD)
    assert said(state)[-1].startswith("Answer: green discs")
    state = chat.invoke({"messages": [HumanMessage("the first")]}, THREAD)
    assert said(state)[-1].startswith("Answer: red discs")


def camera(name, answer):
    return tool(name, description="Takes a photo.")(answer)


def test_images_in_tool_messages_have_handles_too(agent):
    tools = [
        camera("left", lambda: [{"type": "text", "text": "here"}, block(BLUE)]),
        camera(
            "right",
            lambda: Command(
                update={"messages": [ToolMessage(content=[block(GREEN)], tool_call_id="r")]}
            ),
        ),
    ]
    tools.append(
        camera(
            "back",
            lambda: [
                Command(
                    update={
                        "messages": [
                            ToolMessage(content=[block(draw("black", 99))], tool_call_id="b")
                        ]
                    }
                )
            ],
        )
    )
    names = [tool.name for tool in tools]
    calls = [{"name": n, "args": {}, "id": n[0], "type": "tool_call"} for n in names]
    saver = InMemorySaver()
    asked = [{"image": f"image_{number}"} for number in (2, 3, 4)]
    chat = agent(AIMessage("", tool_calls=calls), *asked, "x", tools=tools, saver=saver)
    state = chat.invoke({"messages": [HumanMessage([block(RED)])]}, THREAD)
    assert [re.findall(r"image_\d", str(text)) for text in said(state)[:3]] == [
        ["image_2"],
        ["image_3"],
        ["image_4"],
    ]
    assert [text.split()[1] for text in said(state)[3:]] == ["blue", "green", "black"]
    held = [str(s.values) for s in chat.get_state_history(THREAD) if s.metadata["step"] > 0]
    assert not any("iVBOR" in values for values in held)


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"type": "image", "file_id": "file-1"}, "file id"),
        ({"type": "image", "url": "https://example.com/x.png"}, "RAR_ALLOW_URLS"),
        ({"type": "image", "base64": "QUJD", "mime_type": "image/png"}, "format"),
        ({"type": "image", "base64": "%%%", "mime_type": "image/png"}, "base64"),
        ({"type": "image", "url": "/etc/passwd"}, "RAR_ROOTS"),
        ({"type": "image_url", "image_url": "https://example.com/x.png"}, "RAR_ALLOW_URLS"),
        ({"type": "input_image", "file_id": "file-2"}, "file id"),
    ],
)
@pytest.mark.parametrize("bare", [True, False])
def test_blocks_without_bytes_say_what_to_do(agent, discs_tool, item, says, bare):
    answers = ({"image": "image_1"}, {"image": "image_2"}, "done")
    chat = create_agent(model(*answers), tools=[discs_tool]) if bare else agent(*answers)
    content = [item, block(RED)]
    first, second = tool_messages(chat.invoke({"messages": [HumanMessage(content=content)]}))
    assert first.status == "error"
    assert says in first.content
    assert second.content.startswith("Answer: red discs")


def test_attached_images_and_the_bare_tool(discs_tool, settings):
    first = attach(RED, encoded(GREEN), text="Which is the second?", settings=settings)
    assert first.text == ("[attached image: image_1][attached image: image_2]Which is the second?")
    chat = create_agent(model({"image": "image_2"}, "x"), tools=[discs_tool])
    state = chat.invoke({"messages": [first]})
    assert said(state)[0].startswith("Answer: green discs")
    third = attach(BLUE, to=state, settings=settings)
    messages = [*state["messages"], third, HumanMessage([block(draw("orange", 99))])]
    again = create_agent(model({"image": "image_3"}, {"image": "image_4"}, "x"), tools=[discs_tool])
    assert [text[:16] for text in said(again.invoke({"messages": messages}))[1:]] == [
        "Answer: blue dis",
        "Answer: orange d",
    ]


def test_a_name_given_twice_is_never_guessed(discs_tool, settings):
    messages = [attach(RED, settings=settings), attach(BLUE, settings=settings)]
    chat = create_agent(model({"image": "image_1"}, "x"), tools=[discs_tool])
    [told] = tool_messages(chat.invoke({"messages": messages}))
    assert told.status == "error"
    assert "two images" in told.content


def test_nothing_is_attached_of_what_is_no_image(settings, tmp_path):
    with pytest.raises(ImageError, match="is not a file"):
        attach(RED, tmp_path / "nope.jpg", settings=settings)
    assert attach(text="hello", settings=settings).additional_kwargs == {}


def test_an_image_that_has_expired(agent, recognizer, settings, caplog):
    message = attach(draw("purple", 7), settings=settings)
    for file in (settings.home / "images").iterdir():
        file.unlink()
    kept._store.cache_clear()
    gc.collect()
    [told] = said(agent({"image": "image_1"}, "x").invoke({"messages": [message]}))
    assert "no longer kept. Ask the user to attach the image itself." in told
    assert f"place={settings.home}/images" in caplog.text  # where another home was meant


async def test_async(agent, settings):
    chat = agent({"image": "image_1"}, "done", show=True)
    state = await chat.ainvoke({"messages": [HumanMessage([block(RED)])]})
    assert said(state)[0].startswith("Answer: red discs")
    assert state["messages"][0].text == "[attached image: image_1]"


@pytest.fixture(scope="module")
def large():
    """A PNG of 20 MB."""
    noise = np.random.default_rng(0).integers(0, 256, (2_600, 2_600, 3), np.uint8)
    data = encoded(Image.fromarray(noise))
    assert len(data) > 20_000_000
    return data


def sizes(file):
    """Bytes of each checkpoint with what was written beside it, by step."""
    with sqlite3.connect(file) as db:
        assert db.execute("SELECT DISTINCT checkpoint_ns FROM checkpoints").fetchall() == [("",)]
        rows = db.execute(
            "SELECT json_extract(metadata, '$.step'), length(checkpoint) + COALESCE((SELECT"
            " sum(length(value)) FROM writes w WHERE w.checkpoint_id = c.checkpoint_id), 0)"
            " FROM checkpoints c"
        ).fetchall()
    return dict(rows)


def run(chat, message):
    return chat.invoke({"messages": [message]}, THREAD)


def test_checkpoints_stay_small(agent, discs_tool, settings, large, tmp_path):
    data = base64.b64encode(large).decode()
    image = {"type": "image", "base64": data, "mime_type": "image/png"}
    answers = ({"image": "image_1"}, "done")
    for name in ("attached", "middleware"):
        with SqliteSaver.from_conn_string(str(tmp_path / name)) as saver:
            if name == "attached":
                chat = create_agent(model(*answers), tools=[discs_tool], checkpointer=saver)
                state = run(chat, attach(large, text="What is it?", settings=settings))
            else:
                state = run(agent(*answers, saver=saver), HumanMessage(content=[image]))
        assert "Not recognised" in said(state)[0]
    attached, swapped = sizes(tmp_path / "attached"), sizes(tmp_path / "middleware")
    assert max(attached.values()) < 10_000
    assert max(size for step, size in swapped.items() if step > 0) < 10_000
    assert max(swapped.values()) > 20_000_000  # what the caller sent is there as it was sent
