"""The field guide and the agent that asks it, with a scripted model; and the examples."""

import importlib.util
import os

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from rar_agent import Recognizer, attach
from rar_agent.agents import AgentContext, build_agent, make_field_guide
from rar_agent.errors import ConfigurationError
from rar_agent.graph.context import RefusedError
from rar_agent.images import isolated
from rar_agent.memory import create_memory, read_folder
from tests.agents.conftest import ScriptedModel, block, encoded, model, tool_messages
from tests.conftest import draw
from tests.openai_server import Reply, tool_call

THREAD = {"configurable": {"thread_id": "1"}}


def call(name, **arguments):
    return AIMessage(
        "", tool_calls=[{"name": name, "args": arguments, "id": name, "type": "tool_call"}]
    )


GUIDED = (
    call("ask_field_guide", image="image_2", question="Which disc?"),
    call("recognize_image", image="image_1"),
    call("describe_category", category="blue discs"),
    "Blue discs, for they are blue.",
    "It is blue discs, says the guide.",
)


def example(request, name):
    path = request.config.rootpath / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_agent_asks_its_guide_and_answers_with_evidence(recognizer):
    chat = model(*GUIDED)
    saver = InMemorySaver()
    agent = build_agent(chat, recognizer, checkpointer=saver)
    content = [{"type": "text", "text": "The second?"}, block(draw("red", 99))]
    content.append(block(draw("blue", 99)))
    state = agent.invoke({"messages": [HumanMessage(content=content)]}, THREAD)
    [answered] = tool_messages(state)
    assert answered.content == "The field guide says: Blue discs, for they are blue."
    [found] = answered.artifact["recognitions"]
    assert found["categories"][0]["category"]["name"] == "blue discs"
    assert state["messages"][-1].text == "It is blue discs, says the guide."
    asked, guided, described, told, last = chat.seen
    assert asked[0].text.startswith("You help people find out")
    assert "6 coloured discs" in asked[0].text
    assert guided[0].text.startswith("You are a field guide to 6 coloured discs.")
    assert guided[1].text == "[attached image: image_1]Which disc?"
    assert described[-1].text.startswith("Answer: blue discs")
    assert "6 photos" in told[-1].text
    assert last[-1].text == answered.content
    assert "iVBOR" not in str(chat.seen)  # no image is sent to this model


def test_a_guide_is_told_which_boxes_are_meant(recognizer):
    boxes = [[0, 0, 0.5, 1], [0.5, 0, 1, 1]]
    chat = model(
        call("ask_field_guide", image="image_1", question="Which discs?", boxes=boxes),
        call("recognize_image", image="image_1", boxes=boxes),
        "Red and red.",
        "Both are red.",
    )
    agent = build_agent(chat, recognizer)
    state = agent.invoke({"messages": [HumanMessage([block(draw("red", 99))])]})
    [answered] = tool_messages(state)
    assert chat.seen[1][-1].text.endswith(
        "Which discs?\nboxes: [[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]]"
    )
    [found] = answered.artifact["recognitions"]
    assert len(found["detections"]) == 2
    wrong = model(call("ask_field_guide", image="image_1", boxes=[[0, 0, 96, 96]]), "Sorry.")
    [told] = tool_messages(
        build_agent(wrong, recognizer).invoke({"messages": state["messages"][:1]})
    )
    assert told.status == "error"
    assert "Divide pixels" in told.content


def test_instructions_are_a_file_that_may_be_edited_meanwhile(place, recognizer, tmp_path):
    settings = recognizer.settings.model_copy(update={"agent_prompt": "mine@1"})
    own = place / "prompts" / "mine" / "1.yaml"
    own.parent.mkdir(parents=True)
    written = "name: mine\nversion: 1\noutput: instructions\nmessages:\n"
    written += "  - {role: system, content: 'About {{{count}}} {{{domain}}}'}\n"
    own.write_text(written)
    chat = model("hello", "again")
    agent = build_agent(chat, Recognizer(settings=settings))
    agent.invoke({"messages": [HumanMessage("hi")]})
    own.write_text(written.replace("About", "Only about"))
    os.utime(own, (1, 1))
    agent.invoke({"messages": [HumanMessage("hi")]})
    assert [seen[0].text for seen in chat.seen] == [
        "About 6 coloured discs",
        "Only about 6 coloured discs",
    ]
    wrong = settings.model_copy(update={"agent_prompt": "rank@1"})
    with pytest.raises(ConfigurationError, match="instructs no agent"):
        build_agent(model("x"), Recognizer(settings=wrong)).invoke(
            {"messages": [HumanMessage("hi")]}
        )


def test_the_run_chooses_the_memory(recognizer):
    chat = model(*GUIDED)
    agent = build_agent(chat, recognizer)
    images = [encoded(draw(colour, 99)) for colour in ("red", "blue")]
    message = attach(*images, settings=recognizer.settings)
    state = agent.invoke({"messages": [message]}, context={"memory": "other"})
    [answered] = tool_messages(state)
    assert answered.artifact["recognitions"][0]["trace"]["memory"] == "other"
    assert "6 shapes" in chat.seen[0][0].text
    assert "6 shapes" in chat.seen[1][0].text


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ({"memory": "nosuch"}, "There is: discs, other"),
        ({"memory": ["discs"]}, "'memory' = "),
        ({"ranker": "dice"}, "Give listwise"),
        ({"prompt": "nosuch@1"}, "nosuch@1"),
    ],
)
def test_a_run_that_chooses_what_is_not_there(recognizer, context, says):
    agent = build_agent(model("hello"), recognizer)
    with pytest.raises(RefusedError, match=says) as refused:
        agent.invoke({"messages": [HumanMessage("hi")]}, context=context)
    assert isinstance(refused.value, ValueError)  # or a server's client is not told


def test_a_guide_in_an_agent_with_a_context_of_its_own(recognizer):
    guide = make_field_guide(model({"image": "image_1"}, "Red."), recognizer)
    agent = create_agent(model(call("ask_field_guide", image="image_1"), "x"), tools=[guide])
    message = HumanMessage([block(draw("red", 9))])
    [told] = tool_messages(agent.invoke({"messages": [message]}, context={"user": "me"}))
    assert told.content == "The field guide says: Red."


class Looping(ScriptedModel):
    """Calls its tool for ever."""

    def _generate(self, messages, *args, **kwargs):
        self.seen.append(messages)
        again = call("recognize_image", image="image_1")
        return ChatResult(generations=[ChatGeneration(message=again)])


def test_a_guide_that_comes_to_no_end(recognizer):
    looping = Looping(messages=iter([]), seen=[])
    guide = make_field_guide(looping, recognizer)
    agent = create_agent(model(call("ask_field_guide", image="image_1"), "x"), tools=[guide])
    message = HumanMessage([block(draw("red", 9))])
    [told] = tool_messages(agent.invoke({"messages": [message]}))
    assert told.status == "error"
    assert "no answer" in told.content
    assert len(looping.seen) < 20


def test_a_guide_whose_model_fails(recognizer, server):
    server.script = [Reply("no", status=500)]
    settings = recognizer.settings.model_copy(
        update={"agent_model": "m", "agent_base_url": server.url, "model_retries": 0}
    )
    guide = make_field_guide(None, Recognizer(settings=settings))
    agent = create_agent(model(call("ask_field_guide", image="image_1"), "x"), tools=[guide])
    message = HumanMessage([block(draw("red", 9))])
    [told] = tool_messages(agent.invoke({"messages": [message]}))
    assert told.status == "error"
    assert "model failed" in told.content


def test_the_guides_steps_are_not_in_the_conversation(recognizer):
    saver = InMemorySaver()
    message = HumanMessage([block(draw(colour, 99)) for colour in ("red", "blue")])
    build_agent(model(*GUIDED), recognizer, checkpointer=saver).invoke(
        {"messages": [message]}, THREAD
    )
    assert [*saver.storage["1"]] == [""]  # no namespace of another graph


def test_a_guide_that_cannot_see_the_photo_says_so(recognizer):
    guide = make_field_guide(model(), recognizer)
    agent = create_agent(model(call("ask_field_guide", image="image_1"), "x"), tools=[guide])
    [told] = tool_messages(agent.invoke({"messages": [HumanMessage("What is it?")]}))
    assert told.status == "error"
    assert "Ask the user to attach the image." in told.content


async def test_async(recognizer):
    agent = build_agent(model(*GUIDED), recognizer)
    content = [block(draw("red", 99)), block(draw("blue", 99))]
    state = await agent.ainvoke({"messages": [HumanMessage(content=content)]})
    assert state["messages"][-1].text == "It is blue discs, says the guide."


def test_a_model_by_name_is_loaded_when_it_is_called(recognizer, server):
    nameless = build_agent(None, recognizer)
    with pytest.raises(ConfigurationError, match="No model is named"):
        nameless.invoke({"messages": [HumanMessage("hi")]})
    server.script = [Reply("hello")]
    settings = recognizer.settings.model_copy(
        update={"agent_model": "some-model", "agent_base_url": server.url}
    )
    agent = build_agent(None, Recognizer(settings=settings))
    assert agent.invoke({"messages": [HumanMessage("hi")]})["messages"][-1].text == "hello"
    assert server.requests[0]["model"] == "some-model"


@pytest.mark.parametrize("isolate", ["auto", "0"])
@pytest.mark.parametrize("given", [False, True])
def test_who_decodes_attached_images(recognizer, place, monkeypatch, given, isolate):
    """Without a recognizer of the program's own it answers others, as one that is served does."""
    monkeypatch.setenv("RAR_HOME", str(place))
    monkeypatch.setenv("RAR_MEMORY", "discs")
    monkeypatch.setenv("RAR_ISOLATE", isolate)
    isolated._workers.close()
    agent = build_agent(model("hello"), recognizer if given else None)
    agent.invoke({"messages": [HumanMessage([block(draw("red", 99))])]})
    assert len(isolated._workers._all) == (isolate == "auto" and not given)


@pytest.mark.parametrize("given", [False, True])
def test_who_is_told_where_exemplars_lie(recognizer, place, discs, monkeypatch, given):
    monkeypatch.setenv("RAR_HOME", str(place))
    monkeypatch.setenv("RAR_MEMORY", "discs")
    asking = [call(name, image="image_1") for name in ("ask_field_guide", "recognize_image")]
    script = (*asking, "Red discs.", "Red.")
    for chosen in (None, AgentContext(memory="other")):
        agent = build_agent(model(*script), recognizer if given else None)
        sent = {"messages": [HumanMessage([block(draw("red", 99))])]}
        told = str(list(agent.stream(sent, subgraphs=True, context=chosen)))
        assert "'source': '" in told
        assert (str(discs) in told) == given


@pytest.fixture
def own(tmp_path, builtin, discs):
    create_memory(tmp_path / "own", "discs", builtin, read_folder(discs), domain="discs")
    return Recognizer("discs", home=tmp_path / "own", device="cpu")


def test_the_example_with_a_field_guide(request, recognizer, tmp_path, server):
    photo = tmp_path / "photo.png"
    draw("blue", 99).save(photo)
    server.script = [
        tool_call("ask_field_guide", image="image_1"),
        tool_call("recognize_image", image="image_1"),
        Reply("Blue discs."),
        Reply("The guide says blue discs."),
    ]
    settings = recognizer.settings.model_copy(update={"base_url": server.url})
    state = example(request, "field_guide").ask(
        "some-model", Recognizer(settings=settings), photo, "What?"
    )
    assert state["messages"][-1].text == "The guide says blue discs."
    tools = [[t["function"]["name"] for t in body["tools"]] for body in server.requests]
    assert tools[0] == ["ask_field_guide"]
    assert tools[1] == ["recognize_image", "list_memories", "describe_category"]


def test_the_example_that_is_taught(request, own, tmp_path):
    photos = [tmp_path / f"{i}.png" for i in (1, 2)]
    for seed, photo in enumerate(photos):
        draw("yellow", 40 + seed).save(photo)

    def propose():
        return call("teach_category", category="yellow discs", images=["image_1"])

    both = propose()
    both.tool_calls.append({**both.tool_calls[0], "id": "again"})
    chat = model(
        propose(),
        "As you like.",
        both,
        "Learnt.",
        call("ask_field_guide", image="image_2"),
        call("recognize_image", image="image_1"),
        "Yellow discs.",
        "Yellow discs!",
    )
    lines = iter([f"@{photos[0]} yellow discs", "n", "do", "y", "n", f"@{photos[1]} what?", ""])
    said = []
    example(request, "teaching").converse(chat, own, lambda _: next(lines), said.append)
    proposal = "Teach memory 'discs' 1 photo of 'yellow discs', a new category."
    assert said == [proposal, "As you like.", proposal, proposal, "Learnt.", "Yellow discs!"]
    rejected, recognised = (chat.seen[i][-1].text for i in (1, 6))
    assert "rejected" in rejected
    one, other = sorted(message.text for message in chat.seen[3][-2:])
    assert "learnt 1 of 'yellow discs'" in one
    assert "rejected" in other
    assert recognised.startswith("Answer: yellow discs")


def test_approval_through_a_graph_server_s_form(own):
    """As Studio and other front ends resume LangChain's own human-in-the-loop middleware."""
    teach = call("teach_category", category="yellow discs", images=["image_1"])
    agent = build_agent(model(teach, "Learnt."), own, teach=True, checkpointer=InMemorySaver())
    message = attach(draw("yellow", 40), settings=own.settings)
    state = agent.invoke({"messages": [message]}, THREAD)
    [asked] = state["__interrupt__"]
    assert asked.value["review_configs"][0]["allowed_decisions"] == ["approve", "edit", "reject"]
    assert len(own.memory.categories) == 6
    edited = {"name": "teach_category", "args": {"category": "lemon discs"}}
    decision = {"type": "edit", "edited_action": edited}
    state = agent.invoke(Command(resume={"decisions": [decision]}), THREAD)
    assert "learnt 1 of 'lemon discs'" in tool_messages(state)[0].text
    assert own.memory.categories.find("lemon discs") is not None


@pytest.mark.live
@pytest.mark.skipif(not os.environ.get("RAR_LIVE_MODEL"), reason="RAR_LIVE_MODEL names no model")
def test_with_a_real_model(request, photo):
    state = example(request, "field_guide").ask(
        os.environ["RAR_LIVE_MODEL"], Recognizer(), photo, "What exactly is this?"
    )
    assert "egyptian" in state["messages"][-1].text.lower()
    assert tool_messages(state)
