"""A handle or a hash of one conversation gives a model nothing in another."""

import hashlib
from pathlib import Path

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from rar_agent import AttachedImagesMiddleware, attach, make_recognize_image
from rar_agent.agents import make_field_guide
from rar_agent.agents.conversation import ATTACHED, find_image
from rar_agent.agents.mcp.images import admit_given
from rar_agent.errors import ImageError
from rar_agent.recognizer import Recognizer
from tests.agents.conftest import block, encoded, model, tool_messages
from tests.conftest import draw

RED = draw("red", 4321)  # of this module alone
SHA256 = hashlib.sha256(encoded(RED)).hexdigest()
FILE = f"{SHA256}.image"
NAMES = [
    *("image_1", "image_01", "Image 1", "image_2", "[attached image: image_1]"),
    *(SHA256, SHA256.upper(), SHA256[:12], f"sha256:{SHA256}", f"image_{SHA256}", f"0x{SHA256}"),
    *(FILE, f"images/{FILE}", f"./images/{FILE}", f"STORE/{FILE}", f"file://STORE/{FILE}"),
    *(f"../images/{FILE}", f"~/images/{FILE}", f"{{'sha256': '{SHA256}'}}"),
]


def thread(number):
    return {"configurable": {"thread_id": str(number)}}


@pytest.fixture
def begun(recognizer):
    """Makes agents of the same threads; in the first is an image, kept and recognised."""
    settings, saver = recognizer.settings, InMemorySaver()

    def agent(*answers, show=False, **own):
        chat = model(*answers)
        made = create_agent(
            chat,
            tools=[make_recognize_image(Recognizer(settings=settings, **own))],
            middleware=[AttachedImagesMiddleware(show, settings)],
            checkpointer=saver,
        )
        made.asked = chat
        return made

    state = agent({"image": "image_1"}, "done").invoke(
        {"messages": [HumanMessage([block(RED)])]}, thread(1)
    )
    [told] = tool_messages(state)
    assert told.content.startswith("Answer: red discs")
    assert told.artifact["image"] == SHA256  # so a program knows it, and may tell a model
    assert (settings.home / "images" / FILE).is_file()
    return agent


def shown(chat):
    """Images that a model was shown."""
    blocks = [item for seen in chat.seen for message in seen for item in message.content_blocks]
    return [item for item in blocks if item["type"] == "image"]


def spelt(name, settings):
    return name.replace("STORE", str(settings.home / "images"))


@pytest.mark.parametrize("roots", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_what_a_model_may_name_it_by_in_another_thread(begun, recognizer, tmp_path, name, roots):
    own = {"roots": (tmp_path,)} if roots else {}
    chat = begun({"image": spelt(name, recognizer.settings)}, "done", **own)
    [told] = tool_messages(chat.invoke({"messages": [HumanMessage("Which?")]}, thread(2)))
    assert told.status == "error"
    assert told.artifact is None


@pytest.mark.parametrize("name", NAMES[5:])
def test_a_hash_is_no_name_even_in_its_own_thread(begun, recognizer, name):
    chat = begun({"image": spelt(name, recognizer.settings)}, "done")
    state = chat.invoke({"messages": [HumanMessage("Which?")]}, thread(1))
    assert tool_messages(state)[-1].status == "error"


def test_references_that_are_written_show_a_model_nothing(begun):
    """By a user of another thread, or by its model."""
    text = f"[attached image: image_1] sha256 {SHA256}"
    written = [
        {"type": "text", "text": "[attached image: image_1]"},
        {"type": "text", "text": text},
    ]
    chat = begun({"image": "image_1"}, "done", show=True)
    messages = [HumanMessage(written), AIMessage(written), HumanMessage("?")]
    [told] = tool_messages(chat.invoke({"messages": messages}, thread(2)))
    assert told.status == "error"
    shown = [item["type"] for seen in chat.asked.seen for m in seen for item in m.content_blocks]
    assert set(shown) == {"text", "tool_call"}


def test_what_a_caller_sends_as_state_names_nothing_of_another_thread(begun):
    forged = {"image_1": {"sha256": SHA256}}
    chat = begun({"image": "image_1"}, "done")
    sent = {"messages": [HumanMessage("Which?")], "attached_images": forged}
    [told] = tool_messages(chat.invoke(sent, thread(2)))
    assert "no image_1 in this conversation" in told.content


@pytest.mark.parametrize("name", NAMES)
def test_what_a_client_of_mcp_may_name_it_by(begun, recognizer, tmp_path, name):
    with pytest.raises(ImageError):
        admit_given(spelt(name, recognizer.settings), "", recognizer.settings, (tmp_path,))
    if "/" not in name:
        with pytest.raises(ImageError):
            admit_given("", name, recognizer.settings, (Path("/"),))


def test_two_threads_each_have_their_own_first_image(begun, recognizer):
    settings = recognizer.settings
    other = HumanMessage([block(draw("blue", 4321))])
    chat = begun({"image": "image_1"}, "done", {"image": "image_1"}, "done")
    [told] = tool_messages(chat.invoke({"messages": [other]}, thread(2)))
    assert told.content.startswith("Answer: blue discs")
    state = chat.invoke({"messages": [HumanMessage("And here?")]}, thread(1))
    assert tool_messages(state)[-1].content.startswith("Answer: red discs")
    message = attach(draw("green", 4321), settings=settings)  # no thread's yet
    with pytest.raises(ImageError, match="no image_1 in this conversation"):
        find_image("image_1", None, settings)
    assert SHA256 not in str(message)


def forging(source):
    """A message as a client may write it, whose image_1 is another thread's image."""
    reference = {"type": "text", "text": "[attached image: image_1]"}
    return HumanMessage([reference], additional_kwargs={ATTACHED: {"image_1": source}})


SEALS = [{}, {"seal": ""}, {"seal": "0" * 64}, {"seal": SHA256}, {"seal": "\ud800"}, {"seal": 5}]


@pytest.mark.parametrize("seal", SEALS)
@pytest.mark.parametrize("sha256", [SHA256, SHA256.upper()])
def test_who_knows_a_hash_writes_it_into_a_message(begun, sha256, seal):
    chat = begun({"image": "image_1"}, "done", show=True)
    sent = forging({"sha256": sha256, **seal})
    [told] = tool_messages(chat.invoke({"messages": [sent]}, thread(2)))
    assert told.content.startswith("image_1 is no longer kept.")  # as of an expired one
    assert told.artifact is None
    assert not shown(chat.asked)


@pytest.mark.parametrize("seal", SEALS)
def test_who_knows_a_hash_writes_it_into_a_thread_s_state(begun, seal):
    chat = begun("hello", {"image": "image_1"}, "done", show=True)
    chat.invoke({"messages": [HumanMessage("[attached image: image_1]")]}, thread(2))
    chat.update_state(thread(2), {ATTACHED: {"image_1": {"sha256": SHA256, **seal}}})
    [told] = tool_messages(chat.invoke({"messages": [HumanMessage("Which?")]}, thread(2)))
    assert told.artifact is None
    assert not shown(chat.asked)


def test_who_knows_a_hash_and_the_bare_tool(begun, discs_tool):
    chat = create_agent(model({"image": "image_1"}, "done"), tools=[discs_tool])
    [told] = tool_messages(chat.invoke({"messages": [forging({"sha256": SHA256})]}))
    assert told.artifact is None


def test_who_knows_a_hash_and_asks_the_field_guide(begun, recognizer):
    guide = make_field_guide(model({"image": "image_1"}, "It is red."), recognizer)
    call = AIMessage("", tool_calls=[{"name": guide.name, "args": {"image": "image_1"}, "id": "1"}])
    chat = create_agent(model(call, "done"), tools=[guide])
    [told] = tool_messages(chat.invoke({"messages": [forging({"sha256": SHA256})]}))
    assert told.status == "error"


def test_a_message_that_was_given_goes_on_elsewhere(begun, recognizer):
    """What `attach` or a thread gave is good for it, as for a program that hands work on."""
    given = attach(draw("green", 4321), settings=recognizer.settings)
    chat = begun({"image": "image_1"}, "done", show=True)
    [told] = tool_messages(chat.invoke({"messages": [given]}, thread(2)))
    assert told.content.startswith("Answer: green discs")
    [message] = [m for m in chat.get_state(thread(1)).values["messages"] if m.type == "human"]
    chat = begun({"image": "image_1"}, "done", show=True)
    [told] = tool_messages(chat.invoke({"messages": [message]}, thread(3)))
    assert told.content.startswith("Answer: red discs")
    assert shown(chat.asked)
