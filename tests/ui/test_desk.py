"""What the page asks of the rest: only what is offered, only what was uploaded."""

import pytest

from rar_agent.errors import ConfigurationError, ImageError, InputError, NotFoundError, RarError
from rar_agent.memory import add_to_memory, delete_memory
from rar_agent.prompts import write_next
from tests.conftest import draw
from tests.ui.conftest import named_first


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ((None, 5, None, None), "No memory"),
        ((["colours"], 5, None, None), "No memory"),
        (("colours", 0, None, None), "0 is no number"),
        (("colours", 27, None, None), "27 is no number"),
        (("colours", 2.5, None, None), "2.5 is no number"),
        (("colours", "5", None, None), "5 is no number"),
        (("colours", True, None, None), "True is no number"),
        (("colours", float("nan"), None, None), "nan is no number"),
        (("colours", 5, "openai:gpt-5", None), "not offered"),
    ],
)
def test_what_is_not_offered_is_refused(desk, chosen, says):
    with pytest.raises(InputError, match=says):
        desk.choice(*chosen)


@pytest.mark.parametrize("name", ["nowhere", "../colours", "/etc", "a/b", "colours\0"])
def test_a_name_that_is_no_memorys_is_a_sentence_and_not_kept(desk, name):
    for _ in range(20):
        with pytest.raises(RarError):
            desk.memory(name)
    assert not desk._recognizers


def test_a_prompt_that_is_not_there_is_a_sentence(desk_of, server):
    desk = desk_of(model="m", base_url=server.url)
    for prompt in ("../../x@1", "rank@99", "nothing"):
        with pytest.raises(NotFoundError):
            desk.recognizer(desk.choice("colours", 5, "m", prompt))


def test_only_valid_prompts_are_offered(desk, own_home):
    written = write_next("mine", "rank@1", own_home)
    assert "mine@1" in desk.prompts()
    assert "agent@1" not in desk.prompts()  # asks nothing about a photo
    written.path.write_text("name: mine\n")
    assert "mine@1" not in desk.prompts()
    with pytest.raises(ConfigurationError, match=r"mine/1.yaml"):
        desk.prompt("mine@1")


def test_a_photo_is_an_upload_and_no_other_file(desk, upload, uploads, tmp_path):
    photo = desk.photo(upload(draw("red", 1), "Ein Vögelchen.png"))
    assert (photo.name, photo.rgb.size) == ("Ein Vögelchen.png", (96, 96))
    draw("red", 1).save(tmp_path / "other.png")
    (uploads / "link.png").symlink_to(tmp_path / "other.png")
    for path in (tmp_path / "other.png", uploads / "../other.png", uploads / "link.png", uploads):
        with pytest.raises(InputError, match="no such photo"):
            desk.photo({"path": str(path)})
    for given in ({"path": None}, {"path": 3}, {"url": "http://x"}, "photo.png", [1], 7):
        with pytest.raises(InputError, match="no such photo"):
            desk.photo(given)
    with pytest.raises(InputError, match="no photo yet"):
        desk.photo(None)


def test_a_photo_is_within_the_limits(desk_of, upload):
    with pytest.raises(ImageError, match=r"photo.png.*limit is 100"):
        desk_of(max_bytes=100).photo(upload(draw("red", 1)))
    with pytest.raises(ImageError, match=r"photo.png.*limit is 100"):
        desk_of(max_pixels=100).photo(upload(draw("red", 1)))
    with pytest.raises(ImageError, match=r"letter.png"):
        desk_of().photo(upload(b"<svg onload=alert(1)>", "letter.png"))


async def test_with_a_model_and_without(desk_of, server, upload):
    desk = desk_of(model="test-model", base_url=server.url)
    server.answer = named_first("blue")
    photo = desk.photo(upload(draw("green", 77)))
    alone = await desk.recognise(photo, desk.choice("colours", 4, None, None))
    assert (alone.model, server.requests) == (None, [])
    assert alone.recognition.label == "green"
    assert len(alone.recognition.categories) == 4
    assert "Nothing was sent anywhere" in alone.sent
    ranked = await desk.recognise(photo, desk.choice("colours", 3, "test-model", "describe@1"))
    assert ranked.recognition.trace.prompt == "describe@1"
    assert len(server.requests) == 1
    assert "1 request to openai:test-model" in ranked.sent
    one = await desk.recognise(photo, desk.choice("colours", 3, "test-model", "choice@1"))
    assert one.recognition.trace.ranker == "choice"


async def test_what_is_taught_meanwhile_is_known(desk, builtin, own_home, upload):
    photo = desk.photo(upload(draw("yellow", 7)))
    choice = desk.choice("colours", 3, None, None)
    before = await desk.recognise(photo, choice)
    images = {"yellow": [draw("yellow", i) for i in range(5)]}
    add_to_memory(own_home, "colours", builtin, images)
    after = await desk.recognise(photo, choice)
    assert before.recognition.categories[0].category.name != "yellow"
    assert after.recognition.label == "yellow"
    delete_memory(own_home, "colours")
    with pytest.raises(NotFoundError):
        await desk.recognise(photo, choice)


def test_which_memories_are_offered(desk, own_home):
    assert desk.memories() == ["colours", "imagenet-1k"]
    assert desk.teachable() == ["colours"]
    (own_home / "memories" / "broken").mkdir()
    (own_home / "memories" / "broken" / "CURRENT").write_text("?")
    assert desk.teachable() == ["colours"]
    with pytest.raises(RarError):
        desk.memory("broken")


def test_few_recognizers_are_kept(desk_of, server):
    desk = desk_of(model="m", base_url=server.url)
    for prompt in desk.prompts():
        desk.recognizer(desk.choice("colours", 5, "m", prompt))
    assert len(desk._recognizers) == min(8, len(desk.prompts()))
    again = desk.choice("colours", 5, "m", desk.prompts()[-1])
    assert desk.recognizer(again) is desk.recognizer(again)
