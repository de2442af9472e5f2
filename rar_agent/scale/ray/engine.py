"""The engine: what `engine="ray"` does."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rar_agent.graph.asked import Asked
from rar_agent.images import AdmittedImage, ImageSource
from rar_agent.memory.format.generation import stamp
from rar_agent.memory.readers import Reader
from rar_agent.memory.teaching.seeing import Seeing, Work
from rar_agent.recognizer import Recognizer
from rar_agent.scale.ray.cluster import attached, load_ray
from rar_agent.scale.ray.encoding import Encoding, Load, loading
from rar_agent.scale.ray.pipeline import Workers, finished
from rar_agent.scale.ray.purse import Purse
from rar_agent.scale.ray.recognising import Recognising, results_of, try_failures_again
from rar_agent.scale.ray.run import Run
from rar_agent.scale.ray.teaching import SeeingByRay, await_result
from rar_agent.scale.ray.worker import Doing, Job
from rar_agent.scale.ray.written import written
from rar_agent.settings import Settings, load_settings
from rar_agent.types import Failure, Recognition

_FORMAT = 2
_TAUGHT, _TAUGHT_BY_GPU = 64, 256
"""Images of a shard that is encoded: the most that a worker that dies takes with it."""
_ASKED = 32
"""Images of a shard that is recognised; here each is kept by itself."""
_NO_MATTER = frozenset(
    {"batch_size", "cache_mb", "device", "encode_waiting", "encode_window_ms", "home", "log"}
    | {"log_level", "max_cost", "model_requests", "model_retries", "model_timeout_s"}
    | {"ray_address", "ray_folder", "ray_gpus", "ray_patience_s", "ray_workers"}
)
"""Settings with which a run may go on that was begun with others."""

Begin = Callable[[Run], Doing]


@dataclass(frozen=True)
class RayEngine:
    """Ray Data, for `create_memory`, `add_to_memory` and `Recognizer.stream`.

    Attributes:
        settings: `ray_*` of them say where and how; default: read as ever.
        load: Loads the encoder in an actor, where a name does not: one of your own.
    """

    settings: Settings = field(default_factory=load_settings)
    load: Load | None = None

    @contextmanager
    def seeing(self, work: Work, memory: Path, reader: Reader) -> Iterator[Seeing]:
        """See `memory.teaching.seeing.Engine`.

        Raises:
            BusyError: Another process encodes the same.
            ConfigurationError: Ray is not installed or cannot be reached, a node lacks what it
                needs, or the folder of runs is not shared.
            InputError: A shard ends all its workers.
        """
        load_ray()
        mark = work.encoder.fingerprint
        parts = [mark.identity, mark.precision, repr(work.policy), work.views, work.thumbnails]
        size = _TAUGHT_BY_GPU if self.settings.ray_gpus else _TAUGHT
        key = _hash(size, memory.name, reader.identity, *parts)
        run = Run(self._place / f"teach-{key}", ".npz", size)
        load = self.load or loading(work.encoder.name, self.settings)
        encoding = Encoding(load, mark, work.policy, work.views, work.thumbnails)
        with run.held() as token:
            with closing(self._done(run, token, lambda _: encoding.begin)) as done:
                yield SeeingByRay(run, reader, done)
            run.remove()

    def stream(
        self, recognizer: Recognizer, images: Iterable[ImageSource | AdmittedImage], asked: Asked
    ) -> Iterator[Recognition | Failure]:
        """Recognise many images in actors; the results in order, as `Recognizer.stream` has them.

        A run that was interrupted goes on where the same images are asked about in the same way;
        one that ended is forgotten.

        Raises:
            BusyError: Another process does the same.
            ConfigurationError: As for `seeing`; or the memory is another on a node.
            RarError: As the recognizer's, before anything is begun.
        """
        load_ray()
        services, settings = recognizer.services, recognizer.settings
        memory, ranker, _ = services.memory, services.ranker, services.encoder  # or say why not
        seen = stamp(memory.folder)
        decides = settings.model_dump_json(exclude=set(_NO_MATTER))
        configuration = _hash(decides, sorted(asked.items()), seen, ranker.prompt_hash)
        most = settings.model_requests if ranker.asks else None

        def begin(actors: int) -> Begin:
            own = settings
            if most:  # the limits are the whole run's
                own = own.model_copy(update={"model_requests": most // actors})
            if self.settings.ray_address:  # SQLite's file is of one machine; the journals are not
                own = own.model_copy(update={"cache_mb": 0})
            purse = Purse(own.max_cost) if most and own.max_cost else None
            return Recognising(own, seen, asked, configuration, purse).begin

        with self._listed(configuration, images) as (run, token):
            try_failures_again(run, configuration)
            with closing(self._done(run, token, begin, most)) as done:
                for number in range(run.shards):
                    await_result(run, number, done)
                    yield from results_of(run, number, configuration)
            run.remove()

    @property
    def _place(self) -> Path:
        place = self.settings.ray_folder or self.settings.home / "ray"
        return place.expanduser().absolute()

    @contextmanager
    def _listed(
        self, configuration: str, images: Iterable[ImageSource | AdmittedImage]
    ) -> Iterator[tuple[Run, str]]:
        """The run of these images, listed and held: one that was begun, or a new one."""
        digest = hashlib.sha256(configuration.encode())

        def told() -> Iterator[ImageSource | AdmittedImage]:
            for image in images:
                digest.update(written(image))
                yield image

        draft = Run(self._place / f"new-{secrets.token_hex(8)}", "", _ASKED)
        try:
            draft.write_down(told())
            run = Run(self._place / f"recognize-{digest.hexdigest()[:32]}", ".done", _ASKED)
            with run.held() as token:
                run.take_over(draft)
                draft.remove()
                yield run, token
        finally:
            draft.remove()

    def _done(
        self,
        run: Run,
        token: str,
        begin: Callable[[int], Begin],
        most: int | None = None,
    ) -> Generator[int]:
        """Have done what is missing of a run; begins when it is first asked.

        Args:
            run: Listed by then.
            token: That workers have to find in it.
            begin: From the number of actors to what loads what they need.
            most: Actors at most, beside what the settings say.
        """
        settings = self.settings
        missing = run.missing()
        if not missing:
            return
        run.forget_tries()
        with attached(settings.ray_address):
            workers = Workers(settings.ray_workers, settings.ray_gpus)
            actors = min(workers.number(len(missing)), most or len(missing))
            job = Job(run, token, begin(actors), str(Path.cwd()), settings.ray_patience_s)
            yield from finished(job, missing, actors, settings.ray_gpus)


def make_engine(**overrides: Any) -> RayEngine:  # noqa: ANN401 - as load_settings
    """The engine, as the settings say, but for some."""
    return RayEngine(load_settings(**overrides))


def _hash(*parts: object) -> str:
    said = json.dumps([_FORMAT, *map(str, parts)])
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32]
