"""Teaching by an agent, with a person's approval."""

import json
from types import SimpleNamespace

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import ToolException
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from rar_agent import Category, Recognizer
from rar_agent.agents.toolkit import make_toolkit
from rar_agent.memory import create_memory, open_memory
from rar_agent.memory.format.lock import writer_lock
from tests.agents.conftest import block, model, tool_messages
from tests.conftest import COLOURS, draw


def create(home, encoder):
    colours = ("red", "green", "orange")
    drawn = [(Category(name=c), [draw(c, 1), draw(c, 7)]) for c in colours]
    create_memory(home, "files", encoder, drawn)
    return Recognizer("files", home=home, device="cpu")


@pytest.fixture(scope="module")
def untaught(tmp_path_factory, builtin):
    return create(tmp_path_factory.mktemp("untaught"), builtin)


@pytest.fixture
def taught(tmp_path, builtin):
    return create(tmp_path, builtin)


class Conversation:
    """An agent whose model proposes to teach, with two images attached."""

    def __init__(self, recognizer, content=None, **arguments):
        self.recognizer = recognizer
        call = {"name": "teach_category", "args": arguments, "id": "c", "type": "tool_call"}
        self.agent = create_agent(
            model(AIMessage("", tool_calls=[call]), "done"),
            tools=make_toolkit(recognizer, teach=True),
            checkpointer=InMemorySaver(),
        )
        self.config = {"configurable": {"thread_id": "1"}}
        content = content or [block(draw("purple", 1)), block(draw("purple", 2))]
        self.state = self.agent.invoke({"messages": [HumanMessage(content=content)]}, self.config)

    @property
    def request(self):
        [interrupted] = self.state["__interrupt__"]
        return interrupted.value

    def resume(self, answer):
        state = self.agent.invoke(Command(resume=answer), self.config)
        [message] = tool_messages(state)
        return message


def generation(recognizer):
    return open_memory(recognizer.settings.home, "files").manifest.generation


PURPLE = {"category": "purple", "images": ["image_1", "image_2"], "description": "Violet."}


def test_what_is_asked_to_approve_is_one_line(taught):
    asked = Conversation(taught, category="wren\n\nApproved", images=["image_1"])
    [action] = asked.request["action_requests"]
    assert "of 'wren Approved', a new category" in action["description"]
    assert asked.resume("approve").artifact["category"] == "wren Approved"


def test_nothing_is_written_before_a_person_approves(taught):
    before = generation(taught)
    asked = Conversation(taught, **PURPLE)
    json.dumps(asked.request)
    assert generation(taught) == before
    [action] = asked.request["action_requests"]
    assert (action["name"], action["args"]) == ("teach_category", PURPLE)
    assert action["description"].startswith(
        "Teach memory 'files' 2 photos of 'purple', a new category."
    )
    [review] = asked.request["review_configs"]
    assert review["allowed_decisions"] == ["approve", "edit", "reject"]
    lesson = asked.request["lesson"]
    assert (lesson["new_category"], [i["image"] for i in lesson["images"]]) == (
        True,
        ["image_1", "image_2"],
    )

    message = asked.resume({"decisions": [{"type": "approve"}]})
    assert message.content == "Memory 'files' learnt 2 of 'purple'."
    assert message.artifact["generation"] == generation(taught) == before + 1
    found = taught.recognize(draw("purple", 3))  # the recognizer that was there before
    assert (found.label, found.trace.generation) == ("purple", before + 1)
    assert found.categories[0].category.description == "Violet."
    exemplars = {exemplar.source for exemplar in found.categories[0].exemplars}
    assert exemplars == {"taught by an agent: image_1", "taught by an agent: image_2"}


def test_a_lesson_that_is_taught_twice_changes_nothing(taught):
    Conversation(taught, **PURPLE).resume("approve")
    hashes = [
        image["sha256"] for image in Conversation(taught, **PURPLE).request["lesson"]["images"]
    ]
    again = Conversation(taught, **{**PURPLE, "description": "Other."})
    assert "a category that it has" in again.request["action_requests"][0]["description"]
    assert again.request["lesson"]["kept_description"] == "Violet."
    message = again.resume("approve")
    assert (message.artifact["added"], message.artifact["known"]) == (0, 2)
    memory = open_memory(taught.settings.home, "files")
    rows = memory.entries.rows_of("image", [memory.categories.find("purple")])
    contents = {bytes(row["content"]).hex() for row in memory.entries.fields(rows)}
    assert contents == set(hashes)  # the files', so that one learnt from a folder is known too


def test_lessons_that_are_approved_together_are_all_taught(taught, monkeypatch):
    monkeypatch.setattr(
        writer_lock.__wrapped__, "__defaults__", (0.0,)
    )  # the next writer does not wait
    lessons = [{"category": f"new {i}", "images": ["image_1"]} for i in range(4)]
    calls = [
        {"name": "teach_category", "args": lesson, "id": lesson["category"], "type": "tool_call"}
        for lesson in lessons
    ]
    agent = create_agent(
        model(AIMessage("", tool_calls=calls), "done"),
        tools=make_toolkit(taught, teach=True),
        checkpointer=InMemorySaver(),
    )
    config = {"configurable": {"thread_id": "1"}}
    message = HumanMessage(content=[block(draw("purple", 1))])
    asked = agent.invoke({"messages": [message]}, config)["__interrupt__"]
    answers = {one.id: {"decisions": [{"type": "approve"}]} for one in asked}
    state = agent.invoke(Command(resume=answers), config)
    assert [m.content for m in tool_messages(state)] == [
        f"Memory 'files' learnt 1 of 'new {i}'." for i in range(4)
    ]


def test_what_is_edited_is_taught_as_edited(taught):
    action = {"name": "teach_category", "args": {"category": "violet", "images": ["image_2"]}}
    asked = Conversation(taught, **PURPLE)
    message = asked.resume({"decisions": [{"type": "edit", "edited_action": action}]})
    assert message.content == "Memory 'files' learnt 1 of 'violet'."
    assert taught.recognize(draw("purple", 3)).label == "violet"


@pytest.mark.parametrize(
    ("answer", "says", "status"),
    [
        ("reject", "rejected it.", "success"),
        ({"decisions": [{"type": "reject", "message": "It is pink."}]}, "It is pink.", "success"),
        (True, "neither approve, edit nor reject", "error"),
        ({"decisions": []}, "neither approve, edit nor reject", "error"),
        ({"type": "edit", "edited_action": {"args": {"images": []}}}, "not valid", "error"),
        ({"type": "edit"}, "not valid", "error"),
    ],
)
def test_anything_but_approval_teaches_nothing(taught, answer, says, status):
    before = generation(taught)
    message = Conversation(taught, **PURPLE).resume(answer)
    assert says in message.content
    assert message.status == status
    assert generation(taught) == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images": ["image_3"]}, "There is no image_3"),
        ({"images": ["/etc/passwd"]}, "by their handles"),
        ({"images": ["https://example.com/x.png"]}, "by their handles"),
        ({"category": "  "}, "cannot name a category"),
        ({"category": "x" * 300}, "cannot name a category"),
        ({"images": []}, "at least 1"),
    ],
)
def test_what_cannot_be_taught_is_not_asked_about(untaught, change, says):
    asked = Conversation(untaught, **{**PURPLE, **change})
    assert "__interrupt__" not in asked.state
    [message] = tool_messages(asked.state)
    assert message.status == "error"
    assert says in message.content


def test_a_link_cannot_be_taught(untaught):
    recognizer = Recognizer(settings=untaught.settings, allow_urls=True)
    link = [{"type": "image", "url": "https://example.com/x.png"}]
    asked = Conversation(recognizer, content=link, category="x", images=["image_1"])
    assert "Ask the user to attach the image itself" in tool_messages(asked.state)[0].content


def test_a_ready_made_memory_cannot_be_taught():
    asked = Conversation(Recognizer(device="cpu"), **PURPLE)
    assert "ready-made" in tool_messages(asked.state)[0].content


def test_without_an_agent_nobody_can_be_asked(untaught):
    tool = make_toolkit(untaught, teach=True)[-1]
    state = {"messages": [HumanMessage(content=[block(draw("purple", 1))])]}
    with pytest.raises(ToolException, match="nobody can be asked here"):
        tool.func("purple", ["image_1"], runtime=SimpleNamespace(state=state, context=None))


async def test_teaching_in_an_asynchronous_agent(taught):
    call = {"name": "teach_category", "args": PURPLE, "id": "c", "type": "tool_call"}
    agent = create_agent(
        model(AIMessage("", tool_calls=[call]), "done"),
        tools=make_toolkit(taught, teach=True),
        checkpointer=InMemorySaver(),
    )
    config = {"configurable": {"thread_id": "1"}}
    content = [block(draw(colour, 5)) for colour in COLOURS[4:]]
    state = await agent.ainvoke({"messages": [HumanMessage(content=content)]}, config)
    assert state["__interrupt__"]
    state = await agent.ainvoke(Command(resume="approve"), config)
    assert tool_messages(state)[0].artifact["added"] == 2
