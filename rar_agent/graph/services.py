"""The live objects that nodes use, each loaded once, when first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import proxy

import numpy as np

from rar_agent.detection.proposers import Limits, Proposer, load_proposer
from rar_agent.encoders import Encoder, FloatArray, load_encoder
from rar_agent.encoders.base import Pixels
from rar_agent.errors import ImageError, NotFoundError
from rar_agent.forks import Lock
from rar_agent.graph.cascade import Cascade, load_cascade
from rar_agent.graph.embeddings import Embedding, Embeddings
from rar_agent.graph.pictures import exemplar_images
from rar_agent.graph.places import Places, within
from rar_agent.images import AdmittedImage, Authority, ImageStore, Policy, admit
from rar_agent.memory import Memory, memory_folder, open_memory
from rar_agent.memory.drift import recorded, require_recorded
from rar_agent.memory.format.generation import stamp
from rar_agent.memory.rankers import server_hash
from rar_agent.prompts import Live, Prompt, load_prompt
from rar_agent.ranking import (
    AskingRanker,
    ChoiceRanker,
    CropsRanker,
    ListwiseRanker,
    PairwiseRanker,
    Ranker,
    RetrievalRanker,
)
from rar_agent.settings import Settings
from rar_agent.telemetry import events, part

if TYPE_CHECKING:  # the providers' packages take a second to import
    from rar_agent.models import ChatModel

WAYS: Mapping[str, type[AskingRanker]] = {
    way.name: way for way in (ListwiseRanker, ChoiceRanker, PairwiseRanker)
}
"""Rankers that ask a model, by name."""

_log = events(__name__)


class Services:
    """Store, memory, encoder and ranker of one set of settings. Thread-safe.

    Args:
        settings: Which memory, model, device, limits.
        authority: Whose word a string naming an image is.
        store: Where admitted images are looked up; default: one in memory.
        proposer: Proposes boxes; default: the settings' one.

    Attributes:
        places: Of single images that are read and not encoded yet. `embed` takes one for its
            caller; who reads an image for it should take it before.
        remote: Whether answers go elsewhere, and say no folder of exemplars; may be set.
    """

    def __init__(
        self,
        settings: Settings,
        authority: Authority = "model",
        store: ImageStore | None = None,
        proposer: Proposer | None = None,
    ) -> None:
        self.settings = settings
        self.policy = Policy.of(settings, authority)
        self.store = store or ImageStore()
        self._authority: Authority = authority
        self.remote = authority == "model"
        self._proposer = self._given_proposer = proposer
        self._lock = Lock()
        self._memory: Memory | None = None
        self._stamp = b""
        self._encoder: Encoder | None = None
        self._model: ChatModel | None = None
        self._rankers: dict[tuple[str, bool], Callable[[], Ranker]] = {}
        self._crops_ranker: Callable[[], CropsRanker] | None = None
        self._server: str | None = None
        self._cascades: dict[str, Cascade] = {}
        self._embedded: Embeddings | None = None
        self.places = Places(settings.encode_waiting)

    def anew(self) -> Services:
        """The same, with nothing loaded but the images."""
        found = Services(self.settings, self._authority, self.store, self._given_proposer)
        found.remote = self.remote
        return found

    @property
    def memory(self) -> Memory:
        """The memory that is asked.

        Raises:
            NotFoundError: There is none of that name.
        """
        with self._lock:
            if self._memory is None:
                folder = memory_folder(self.settings.home, self.settings.memory)
                before = stamp(folder)
                self._memory = open_memory(self.settings.home, self.settings.memory)
                self._stamp = before or stamp(folder)  # a ready memory is made when it is opened
                _log.info(
                    "memory opened",
                    memory=self._memory.name,
                    generation=self._memory.manifest.generation,
                    categories=self._memory.category_count,
                    entries=len(self._memory.entries),
                )
            return self._memory

    @property
    def outdated(self) -> bool:
        """Whether the memory was opened, and has been taught, changed or deleted since."""
        opened = self._memory
        return opened is not None and stamp(opened.folder) != self._stamp

    @property
    def encoder(self) -> Encoder:
        """The memory's encoder, checked against its fingerprint.

        Raises:
            FingerprintMismatchError: What is on disk is another encoder than the memory's.
            ConfigurationError: It runs in int8, and what that costs is not on record.
        """
        with self._lock:
            if self._encoder is None:
                memory = self.memory
                known = recorded(memory)
                encoder = load_encoder(memory.manifest.encoder.name, self.settings, known)
                memory.fingerprint.require(
                    encoder.fingerprint,
                    f"Memory '{memory.name}'",
                    "Restore the weights it was made with, or create the memory again.",
                )
                require_recorded(memory, encoder.fingerprint)
                self._encoder = encoder
            return self._encoder

    @property
    def ranker(self) -> Ranker:
        """The ranker that the settings ask for: that of the settings with a model, else retrieval.

        It ranks by its prompt as the file is now, see `prompts.Live`; so take it anew for each
        image.

        Raises:
            ConfigurationError: The model or its prompt cannot be loaded.
        """
        return self._ranker(self.settings.ranking_prompt, divided=False)

    def ranker_of(self, cascade: Cascade) -> Ranker:
        """The same ranker, with what is fitted of its liking for letters divided out."""
        prompt = self.settings.ranking_prompt
        return self._ranker(prompt, divided=bool(cascade.record and cascade.record.prior))

    @property
    def crop_ranker(self) -> Ranker:
        """Likewise, for the crop of one box."""
        return self._ranker(self.settings.crop_ranking_prompt, divided=False)

    @property
    def crops_ranker(self) -> CropsRanker | None:
        """Asks about several crops at once; None where nobody does."""
        settings, model = self.settings, self.chat_model
        if model is None or settings.ranker != "listwise" or settings.crops_together == 1:
            return None
        with self._lock:
            if self._crops_ranker is None:
                own = proxy(self)  # in a cycle, a memory would keep its files open for long
                self._crops_ranker = Live(
                    settings.crops_prompt,
                    settings.home,
                    lambda several: own._several(model, several),
                ).get
            return self._crops_ranker()

    def _several(self, model: ChatModel, several: Prompt) -> CropsRanker:
        settings, memory = self.settings, self.memory
        return CropsRanker(
            model,
            load_prompt(settings.crop_ranking_prompt, settings.home),
            memory.manifest.domain,
            settings.orders,
            exemplar_images(memory, Policy.of(settings)),
            image_side=settings.image_side,
            several=several,
            together=settings.crops_together,
        )

    def _ranker(self, prompt: str, divided: bool) -> Ranker:
        with self._lock:
            if (prompt, divided) not in self._rankers:
                self._rankers[prompt, divided] = self._load_ranker(prompt, divided)
            return self._rankers[prompt, divided]()

    def _load_ranker(self, prompt: str, divided: bool) -> Callable[[], Ranker]:
        model, settings = self.chat_model, self.settings
        if model is None:
            retrieval = RetrievalRanker()
            return lambda: retrieval
        own = proxy(self)  # likewise
        return Live(
            prompt,
            settings.home,
            lambda prompt: own.asking_ranker(settings.ranker, model, prompt, divided),
        ).get

    @property
    def chat_model(self) -> ChatModel | None:
        """The model that ranks; None where the settings name none.

        Raises:
            ConfigurationError: It cannot be loaded.
        """
        settings = self.settings
        if settings.model is None and settings.base_url is None:
            return None
        with self._lock:
            if self._model is None:
                from rar_agent.models import load_chat_model  # a second of imports

                self._model = load_chat_model(settings)
                self._server = server_hash(self._model.server)
            return self._model

    def asking_ranker(
        self, way: str, model: ChatModel, prompt: Prompt, divided: bool = False
    ) -> AskingRanker:
        """A ranker of this memory's candidates.

        Args:
            way: Its name, one of `WAYS`.
            model: That is asked.
            prompt: To ask with.
            divided: Whether what is fitted of its liking for letters is divided out.

        Raises:
            ConfigurationError: This way cannot read what the prompt asks for.
        """
        settings, memory = self.settings, self.memory
        pictures = exemplar_images(memory, Policy.of(settings))
        record = self.cascade(prompt.sha256).record if divided else None
        return WAYS[way](
            model,
            prompt,
            memory.manifest.domain,
            settings.orders,
            pictures,
            record.prior if record else (),
            settings.image_side,
        )

    def cascade(self, prompt_hash: str) -> Cascade:
        """How the model that is asked with a prompt works together with retrieval."""
        with self._lock:
            if prompt_hash not in self._cascades:
                self._cascades[prompt_hash] = load_cascade(
                    self.memory, prompt_hash, self.settings, self._server
                )
            return self._cascades[prompt_hash]

    @property
    def proposer(self) -> Proposer | None:
        """Who proposes boxes; None where nobody does.

        Raises:
            ConfigurationError: It cannot be loaded.
        """
        with self._lock:
            settings = self.settings
            if self._proposer is None and settings.proposer:
                limits = Limits(most=settings.proposer_boxes)
                self._proposer = load_proposer(
                    settings.proposer, settings, limits, settings.proposer_labels
                )
            return self._proposer

    @property
    def server(self) -> str:
        """Hash of where the model is asked; empty where none is loaded."""
        return self._server or ""

    def order_seed(self, sha256: str) -> int:
        """Of the order of options: the same image is shown the same way, others otherwise."""
        return self.settings.seed * 1_000_003 + int(sha256[:8], 16)

    def image(self, sha256: str, named: str) -> AdmittedImage:
        """The image of a hash; admitted again by name where the store has dropped it meanwhile.

        A model, or a client, that gives a hash has to name the image, too: a hash is no permission.

        Args:
            sha256: Its hash, or for a first time what names it.
            named: What names it.

        Raises:
            ImageError: It may not be read, is no image within the limits, or is another by now.
        """
        own = self._authority == "caller"
        with suppress(NotFoundError):
            image = self.store.get(sha256)
            if own or image.name == named:
                return image
        image = admit(named, self.policy)
        if sha256 not in (named, image.sha256):
            raise ImageError(
                f"'{image.name}' has changed since it was asked about.", "Ask about it again."
            )
        self.store.put(image if own else replace(image, name=named))  # in full
        return image

    @property
    def detail(self) -> int:
        """Pixels of an image's shorter side that the encoder, or the model that ranks, sees.

        Raises:
            FingerprintMismatchError: What is on disk is another encoder than the memory's.
            ConfigurationError: The model or its prompt cannot be loaded.
        """
        seen = self.encoder.detail
        return max(seen, self.settings.image_side) if seen and self.ranker.asks else seen

    def embed(self, image: AdmittedImage) -> tuple[FloatArray, FloatArray]:
        """Embedding of one image, (1, d), and its length before normalisation, (1,).

        Images that are asked for at the same time are encoded together, see `Embeddings`.
        """
        embeddings = self._embeddings
        if known := embeddings.known(image):
            self.places.give_back()
            return _row(known)
        with self.places.place(), part("encode", images=1, device=self.encoder.device):
            prepared = self.encoder.prepare(image.rgb)
            return _row(embeddings.embed(image, prepared))

    async def aembed(self, image: AdmittedImage) -> tuple[FloatArray, FloatArray]:
        """Like `embed`, for coroutines; none holds a thread while its image waits."""
        embeddings = self._embedded
        if embeddings is None:  # loading takes seconds
            embeddings = await within.run(lambda: self._embeddings)
        if known := embeddings.known(image):
            self.places.give_back()
            return _row(known)
        async with self.places.aplace():
            with part("encode", images=1, device=self.encoder.device):
                prepared = await within.run(self.encoder.prepare, image.rgb)
                return _row(await embeddings.aembed(image, prepared))

    def embed_all(
        self, images: Sequence[AdmittedImage], prepared: Sequence[Pixels] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Encode images in batches, (n, d) and (n,), and remember them for `embed`.

        Args:
            images: n of them.
            prepared: What the encoder made of each, where that was done already.
        """
        with part("encode", images=len(images), device=self.encoder.device):
            return self._embeddings.embed_all(images, prepared)

    @property
    def _embeddings(self) -> Embeddings:
        with self._lock:
            if self._embedded is None:
                settings = self.settings
                self._embedded = Embeddings(
                    self.encoder, settings.batch_size, settings.encode_window_ms / 1000
                )
            return self._embedded


def _row(embedding: Embedding) -> tuple[FloatArray, FloatArray]:
    vector, norm = embedding
    return vector[None], np.array([norm], np.float32)
