"""What the page asks of the rest: recognizers by what was chosen, and what may be chosen."""

from __future__ import annotations

import asyncio
import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rar_agent.errors import InputError, RarError
from rar_agent.explained import sent_page
from rar_agent.graph.preview import watched, way_of
from rar_agent.graph.services import WAYS
from rar_agent.images import AdmittedImage, ImageStore, Policy, admit
from rar_agent.memory import Memory, list_memories, memory_folder, open_memory
from rar_agent.memory.format.generation import read_manifest
from rar_agent.memory.format.origin import is_address, refuse_address
from rar_agent.memory.ready import READY
from rar_agent.prompts import check, find_prompts, load_prompt, read_prompt
from rar_agent.recognizer import Recognizer
from rar_agent.settings import MOST_CANDIDATES, Settings, load_settings
from rar_agent.types import Detections, Recognition

if TYPE_CHECKING:
    from rar_agent.detection import Proposal
    from rar_agent.prompts import Prompt

_KEPT = 8  # recognizers; their encoders are the process's
_KS = range(1, MOST_CANDIDATES + 1)


@dataclass(frozen=True)
class Choice:
    """What an image is asked with.

    Attributes:
        memory: Name of the memory.
        k: Candidates.
        asks: Whether the settings' model ranks.
        prompt: `name@version`, where it does.
    """

    memory: str
    k: int
    asks: bool
    prompt: str


@dataclass(frozen=True)
class Answer:
    """A recognition, and what went to a model for it.

    Attributes:
        recognition: The result.
        sent: HTML of what was sent and what came back.
        model: That was set to rank, whether it was asked or not; None: none.
    """

    recognition: Recognition
    sent: str
    model: str | None


@dataclass(frozen=True)
class Found:
    """Detections, and what went to a model for them.

    Attributes:
        detections: The result.
        sent: HTML of what was sent and what came back; empty where nothing could be recognised.
        model: See `Answer`.
    """

    detections: Detections
    sent: str
    model: str | None


class _Named(io.BytesIO):
    """Bytes that messages call by their file's name."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


class Desk:
    """Memories, prompts and recognizers of one set of settings. Thread-safe.

    Whatever comes from the page is checked here: it is a browser's, not only our page's.

    Args:
        settings: What the command was started with.
        uploads: Folder of what browsers uploaded; no other file is read for them.
    """

    def __init__(self, settings: Settings, uploads: Path) -> None:
        self.settings = settings.for_others
        self._uploads = uploads.resolve()
        self._store = ImageStore()
        self._recognizers: OrderedDict[tuple[str, bool, str], Recognizer] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def model(self) -> str | None:
        """The model that may rank."""
        return self.settings.model

    def memories(self) -> list[str]:
        """Names of the memories that may be asked."""
        own = {self.settings.memory} if is_address(self.settings.memory) else set()
        return sorted({*list_memories(self.settings.home), *READY, *own}, key=str.casefold)

    def teachable(self) -> list[str]:
        """Names of the memories that may be taught."""
        return [name for name in list_memories(self.settings.home) if self._is_teachable(name)]

    def _is_teachable(self, name: str) -> bool:
        try:
            manifest = read_manifest(memory_folder(self.settings.home, name))
        except RarError:
            return False
        return not manifest.fixed and manifest.state == "ready"

    def prompts(self) -> list[str]:
        """References of the prompts that are valid and ask about a photo."""
        checked = (
            (found.reference, check(read_prompt(found.path), found.path)[0])
            for found in find_prompts(self.settings.home)
        )
        outputs = {output for way in WAYS.values() for output in way.outputs}
        return [name for name, prompt in checked if prompt and prompt.output in outputs]

    def prompt(self, reference: object) -> Prompt:
        """A prompt that was chosen.

        Raises:
            NotFoundError: There is none of that name.
            ConfigurationError: It is not valid.
        """
        return load_prompt(str(reference), self.settings.home)

    def choice(self, memory: object, k: object, ranked_by: object, prompt: object) -> Choice:
        """What was chosen on the page.

        Args:
            memory: Its name.
            k: Candidates.
            ranked_by: The settings' model, or nothing for retrieval alone.
            prompt: Its reference; nothing: the settings' one.

        Raises:
            InputError: Something else than is offered.
        """
        if not isinstance(memory, str) or not memory:
            raise InputError("No memory is chosen.", "Choose one.")
        refuse_address(memory, self.settings.memory)
        if isinstance(k, bool) or not isinstance(k, int | float) or k not in _KS:
            raise InputError(f"{k} is no number of candidates.", f"Choose 1 to {MOST_CANDIDATES}.")
        if ranked_by and ranked_by != self.model:
            raise InputError(
                f"Model '{ranked_by}' is not offered.", "Start rar-agent ui with --model."
            )
        chosen = str(prompt or self.settings.ranking_prompt)
        return Choice(memory, int(k), bool(ranked_by), chosen)

    def upload(self, given: object) -> Path:
        """The file that a browser uploaded.

        Args:
            given: What the browser says of it, `{"path": …}`.

        Raises:
            InputError: It is no upload, or is gone.
        """
        path = Path(str(given.get("path") or "") if isinstance(given, dict) else "").resolve()
        if not path.is_relative_to(self._uploads) or not path.is_file():
            raise InputError("There is no such photo here any more.", "Add it again.")
        return path

    def photo(self, given: object) -> AdmittedImage:
        """The photo that a browser uploaded, checked and decoded.

        Raises:
            InputError: None was given, or it is gone.
            ImageError: It is no image within the limits.
        """
        if not given:
            raise InputError("There is no photo yet.", "Drop, choose, paste or take one.")
        path, limit = self.upload(given), self.settings.max_bytes
        with path.open("rb") as file:
            data = _Named(file.read(limit + 1), path.name)
        return admit(data, Policy.of(self.settings))

    def memory(self, name: object) -> Memory:
        """A memory as it is now.

        Raises:
            InputError: None is chosen.
            NotFoundError: There is none of that name.
        """
        return self.recognizer(self.choice(name, 1, None, None)).memory

    def recognizer(self, choice: Choice) -> Recognizer:
        """The recognizer of a choice, with what its memory was taught meanwhile.

        Raises:
            NotFoundError: There is no such memory or prompt.
            ConfigurationError: The model or the prompt cannot be loaded.
        """
        key = choice.memory, choice.asks, choice.prompt if choice.asks else ""
        with self._lock:
            found = self._recognizers.pop(key, None) or self._made(choice)
            self._recognizers[key] = found
            while len(self._recognizers) > _KEPT:
                self._recognizers.popitem(last=False)
            found.refresh()
        return found

    def _made(self, choice: Choice) -> Recognizer:
        settings = self.settings.model_copy(update={"memory": choice.memory})
        if choice.asks:
            prompt = self.prompt(choice.prompt)
            settings = load_settings(
                settings, prompt=choice.prompt, ranker=way_of(prompt, settings)
            )
        else:
            settings = settings.model_copy(update={"model": None, "base_url": None})
        open_memory(settings.home, settings.memory)  # a name that is no memory's is not kept
        made = Recognizer(settings=settings)
        made.services.store = self._store
        return made

    async def recognise(self, image: AdmittedImage, choice: Choice) -> Answer:
        """Recognise an image; who is cancelled cancels what is asked of a model.

        Raises:
            RarError: As `Recognizer.recognize`.
        """
        recognizer = await asyncio.to_thread(self.recognizer, choice)
        with watched(recognizer.services) as seen:
            recognition = await recognizer.arecognize(image, k=choice.k)
        model = self.model if choice.asks else None
        return Answer(recognition, sent_page(recognition, seen, "h4"), model)

    async def detect(
        self, image: AdmittedImage, choice: Choice, boxes: Sequence[Proposal]
    ) -> Found:
        """Recognise what is in boxes of an image; see `recognise`.

        Raises:
            RarError: As `Recognizer.detect`.
        """
        recognizer = await asyncio.to_thread(self.recognizer, choice)
        with watched(recognizer.services) as seen:
            detections = await recognizer.adetect(image, boxes, k=choice.k)
        model = self.model if choice.asks else None
        known = [one.recognition for one in detections.detections if one.recognition]
        asked = [one for one in known if one.trace.model] or known
        return Found(detections, sent_page(asked[0], seen, "h4") if asked else "", model)
