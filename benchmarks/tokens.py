"""Tokens and money an image, by prompt and provider: an estimate, for which nobody is asked.

    RAR_DATA=FOLDER python -m benchmarks.tokens [--side 512] [--photos 20] [--only-crops]

What is counted is what would be sent: the messages that `preview` gives, about test photos of
CUB-100 scaled to `--side` (they are smaller), from a memory of three exemplars a class. Pictures
cost what the providers document, text what CLIP's tokenizer of 49,408 words makes of it: theirs
would have to be downloaded. What a model thinks before it answers is billed as output and not in
here, nor what providers add for a JSON schema.

Before that the same for a picture's crops, so many a call: the first twelve boxes of pictures of
COCO-128 that have as many, in their own pixels, with the candidates that `imagenet-1k` has of five.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from statistics import fmean

from langchain_core.language_models import FakeListChatModel
from langchain_core.messages.ai import UsageMetadata
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image

from rar_agent.detection import crop
from rar_agent.encoders import load_encoder
from rar_agent.encoders.imagenet import imagenet_categories
from rar_agent.evaluation.naming import Namer
from rar_agent.graph.preview import preview
from rar_agent.images import Picture, admit
from rar_agent.memory import create_memory, open_memory
from rar_agent.models import ChatModel, Question
from rar_agent.models.prices import ListedPrice
from rar_agent.prompts import load_prompt
from rar_agent.ranking import CropsRanker
from rar_agent.settings import Settings, load_settings
from rar_agent.types import Category

PROMPTS = ("rank@1", "choice@1", "pairwise@1", "rank-described@1", "rank-exemplars@1")
ANSWERS = {
    "ranking": '{"ranking": ["A", "B", "C", "D", "E"]}',
    "letter": "A",
    "names": '{"names": ["Pine Warbler", "Palm Warbler", "House Wren", "Verdin", "Ovenbird"]}',
    "name": '{"name": "Pine Warbler"}',
}
DESCRIPTION = (
    "A small songbird with an olive back, a plain yellow breast, two white bars on each wing and "
    "a thin, pointed bill."
)
SHOTS = 3
CROPS, TOGETHER = 12, (1, 2, 3, 6, 12)
_NOBODY = ChatModel("nobody", FakeListChatModel(responses=[]))


def openai_patches(picture: Picture) -> int:
    """gpt-5-mini: patches of 32 pixels, at most 1,536, times 1.62.

    https://platform.openai.com/docs/guides/images-vision#calculating-costs; users measured 1.2:
    https://community.openai.com/t/gpt-5-mini-image-input-token-calculation-discrepancy-with-official-faq-formula/1344040
    """
    patches = ceil(picture.width / 32) * ceil(picture.height / 32)
    return ceil(min(patches, 1536) * 1.62)


def openai_tiles(picture: Picture) -> int:
    """gpt-5: 70, and 140 for each tile of 512 pixels; up to 768 pixels nothing is scaled.

    https://platform.openai.com/docs/guides/images-vision#calculating-costs
    """
    return 70 + 140 * ceil(picture.width / 512) * ceil(picture.height / 512)


def anthropic_patches(picture: Picture) -> int:
    """Patches of 28 pixels; about width times height over 750, as it was documented before.

    https://platform.claude.com/docs/en/build-with-claude/vision
    """
    return ceil(picture.width / 28) * ceil(picture.height / 28)


def gemini_tiles(picture: Picture) -> int:
    """Gemini 2.5: 258 up to 384 pixels a side, else 258 for each tile.

    https://ai.google.dev/gemini-api/docs/image-understanding
    """
    if max(picture.width, picture.height) <= 384:
        return 258
    unit = min(max(min(picture.width, picture.height) // 1.5, 256), 768)
    return 258 * ceil(picture.width / unit) * ceil(picture.height / unit)


def gemini_flat(picture: Picture) -> int:  # noqa: ARG001
    """Gemini 3: 1,120 for any picture, unless media_resolution says otherwise.

    https://ai.google.dev/gemini-api/docs/media-resolution
    """
    return 1120


def qwen_patches(picture: Picture) -> int:
    """Qwen2.5-VL: patches of 28 pixels, by the code that makes them, and two around them.

    `smart_resize` in transformers/models/qwen2_vl.
    """
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    height, width = smart_resize(picture.height, picture.width, 28)
    return int(height // 28 * (width // 28)) + 2


@dataclass(frozen=True)
class Model:
    """Where a question could go.

    Attributes:
        name: Of the model.
        provider: For its price; empty: one's own server.
        tokens: Of a picture.
    """

    name: str
    provider: str
    tokens: Callable[[Picture], int]

    def dollars(self, sent: float, received: float) -> float | None:
        """Price of so many tokens; None on one's own server."""
        if not self.provider:
            return None
        usage = UsageMetadata(
            input_tokens=round(sent), output_tokens=round(received), total_tokens=0
        )
        return ListedPrice(self.name, provider=self.provider).dollars(usage)


MODELS = (
    Model("gpt-5-mini", "openai", openai_patches),
    Model("gpt-5", "openai", openai_tiles),
    Model("claude-haiku-4-5", "anthropic", anthropic_patches),
    Model("gemini-2.5-flash", "google", gemini_tiles),
    Model("gemini-3.8-flash", "google", gemini_flat),
    Model("Qwen2.5-VL", "", qwen_patches),
)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--photos", type=int, default=20)
    parser.add_argument("--only-crops", action="store_true")
    given = parser.parse_args()
    data = Path(os.environ["RAR_DATA"]) / "cub100"
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(home=folder, image_side=given.side, device="cpu")
        _print("crops a call, calls, pictures, text tokens", *(model.name for model in MODELS))
        _crops(settings, data.parent / "coco128", given.photos)
        if given.only_crops:
            return
        for name, description in (("plain", ""), ("described", DESCRIPTION)):
            _teach(settings, data / "train", name, description)
        photos = list(_photos(data / "test", given.photos, given.side))
        _print("prompt, pictures, text tokens", *(model.name for model in MODELS))
        for prompt in PROMPTS:
            memory = "described" if "described" in prompt else "plain"
            asked = load_settings(settings, memory=memory)
            _print(*_row(prompt, [_questions(asked, photo, prompt) for photo in photos]))
        birds = [category.name for category in open_memory(settings.home, "plain").categories]
        things = [category.name for category in imagenet_categories()]
        for options in (birds, things, []):
            prompt = "alone@1" if options else "guess@1"
            known = [Category(name=name) for name in options]
            namer = Namer(_NOBODY, load_prompt(prompt, settings.home), "", known, given.side)
            of = f"{prompt} of {len(options):,} names" if options else prompt
            _print(*_row(of, [[namer.question(admit(photo))] for photo in photos]))


def _teach(settings: Settings, folder: Path, name: str, description: str) -> None:
    taught = [
        (_category(place.name, description), sorted(place.glob("*.jpg"))[:SHOTS])
        for place in sorted(folder.iterdir())
    ]
    create_memory(
        settings.home, name, load_encoder("builtin", settings), taught, domain="bird species"
    )


def _category(folder: str, description: str) -> Category:
    name = folder.partition(".")[2] or folder
    return Category(name=name.replace("_", " "), description=description)


def _photos(folder: Path, count: int, side: int) -> Iterator[Image.Image]:
    """One of each of so many classes, scaled up to the side."""
    places = sorted(folder.iterdir())
    for place in places[:: max(1, len(places) // count)][:count]:
        with Image.open(sorted(place.glob("*.jpg"))[0]) as image:
            scale = side / max(image.size)
            size = round(image.width * scale), round(image.height * scale)
            yield image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _questions(settings: Settings, photo: Image.Image, prompt: str) -> list[Question]:
    found = load_prompt(prompt, settings.home)
    return list(preview(settings, admit(photo), found, None, None).questions)


def _crops(settings: Settings, data: Path, count: int) -> None:
    """What all crops of a picture take, so many in a call."""
    known = load_settings(settings, memory="imagenet-1k", k=5)
    one = load_prompt("rank-crop@1", settings.home)
    pictures = list(_pictures_with_boxes(data, count))
    shown = [[preview(known, admit(c), one, None, None).candidates for c in p] for p in pictures]
    several, domain = load_prompt("rank-crops@1", settings.home), "objects and animals"
    for together in TOGETHER:
        ranker = CropsRanker(_NOBODY, one, domain, several=several, together=together)
        seeds = list(range(CROPS))
        asked = [ranker.questions_all(p, c, seeds) for p, c in zip(pictures, shown, strict=True)]
        calls = len(asked[0])
        letters = json.loads(ANSWERS["ranking"])["ranking"]
        answer = json.dumps({str(n): letters for n in range(1, together + 1)})
        received = calls * _text_tokens(answer if together > 1 else ANSWERS["ranking"])
        _print(*_cells(f"{together}, {calls}", asked, received))


def _pictures_with_boxes(data: Path, count: int) -> Iterator[list[Image.Image]]:
    """The first crops of pictures that have enough, taken evenly."""
    said = json.loads((data / "instances.json").read_text())
    boxes = {
        each["file_name"]: [a["bbox"] for a in said["annotations"] if a["image_id"] == each["id"]]
        for each in said["images"]
    }
    enough = [name for name, found in boxes.items() if len(found) >= CROPS]
    for name in enough[:: max(1, len(enough) // count)][:count]:
        with Image.open(data / name) as image:
            yield [crop(image.convert("RGB"), tuple(box)) for box in boxes[name][:CROPS]]


def _row(prompt: str, asked: list[list[Question]]) -> Iterator[str]:
    """Means over the photos of what all questions about one take."""
    kinds = {"choice": "letter", "pairwise": "letter", "alone": "names", "guess": "name"}
    answer = ANSWERS[kinds.get(prompt.partition("@")[0], "ranking")]
    received = fmean(len(questions) for questions in asked) * _text_tokens(answer)
    yield from _cells(prompt, asked, received)


def _cells(of: str, asked: list[list[Question]], received: float) -> Iterator[str]:
    """Means over the photos of what is sent, and its price with so many tokens received."""
    texts, pictures = [], []
    for questions in asked:
        parts = [part for q in questions for message in q.messages for part in message.parts]
        texts.append(sum(_text_tokens(part) for part in parts if isinstance(part, str)))
        pictures.append([part for part in parts if isinstance(part, Picture)])
    text = fmean(texts)
    yield f"{of}, {fmean(map(len, pictures)):.1f}, {text:.0f}"
    for model in MODELS:
        shown = fmean(sum(map(model.tokens, own)) for own in pictures)
        dollars = model.dollars(text + shown, received)
        money = "" if dollars is None else f", ${1000 * dollars:.2f}"
        yield f"{text + shown:,.0f}{money}"


def _text_tokens(text: str) -> int:
    return len(_tokenizer().encode(text))


@cache
def _tokenizer() -> SimpleTokenizer:
    return SimpleTokenizer()


def _print(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
