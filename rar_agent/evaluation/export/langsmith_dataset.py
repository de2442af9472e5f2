"""A run as a data set of LangSmith: an example an image in a cell."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from rar_agent.errors import ConfigurationError, ProviderError
from rar_agent.evaluation.export.lines import rights
from rar_agent.evaluation.publish import pictures_of
from rar_agent.evaluation.record import Record
from rar_agent.evaluation.report.samples import WAYS, answer_of
from rar_agent.evaluation.report.thumbnails import Picture
from rar_agent.evaluation.report.write import cautions
from rar_agent.evaluation.run import read_run
from rar_agent.settings import Settings
from rar_agent.words import counted

if TYPE_CHECKING:
    from langsmith import Client

_TOGETHER = 100
"""Examples of a request, at most."""
_QUALITY = 90


@dataclass(frozen=True)
class Upload:
    """What would be sent, and where to; nothing is, yet.

    Attributes:
        name: Of the data set.
        description: Of it, with what has to be said beside every figure.
        metadata: Of it.
        records: An example each.
        picture: Where pictures come from; None: none are sent.
        client: Of LangSmith, as its variables say.
    """

    name: str
    description: str
    metadata: Mapping[str, Any]
    records: Sequence[Record]
    picture: Picture | None
    client: Client = field(repr=False)

    @property
    def leaves(self) -> str:
        """What leaves this machine, in words."""
        count = counted(len(self.records), "example")
        pictures = (
            "and the pictures, as JPEGs without what their files say beside them"
            if self.picture
            else "no pictures"
        )
        return (
            f"To {self.client.api_url}, data set '{self.name}': {count} with names of image files, "
            "their sha256, names of categories, answers and what the model wrote, versions of "
            f"software; {pictures}."
        )

    def send(self) -> tuple[int, str]:
        """Send what is not there yet.

        Returns:
            Examples that were sent, and where people see the data set.

        Raises:
            ConfigurationError: LangSmith refuses the key.
            ProviderError: It cannot be reached, or fails.
        """
        with _told():
            client = self.client
            if client.has_dataset(dataset_name=self.name):
                dataset = client.read_dataset(dataset_name=self.name)
            else:
                dataset = client.create_dataset(
                    self.name, description=self.description, metadata=dict(self.metadata)
                )
            there = {example.id for example in client.list_examples(dataset_id=dataset.id)}
            missing = [one for one in self.records if self._id(one) not in there]
            for start in range(0, len(missing), _TOGETHER):
                examples = [self._example(one) for one in missing[start : start + _TOGETHER]]
                client.create_examples(dataset_id=dataset.id, examples=examples)
            return len(missing), dataset.url or self.client.api_url

    def _id(self, record: Record) -> UUID:
        """The same each time, so that nothing is there twice."""
        return uuid5(NAMESPACE_URL, f"rar-agent:{self.name}:{record.cell}:{record.sample}")

    def _example(self, record: Record) -> dict[str, Any]:
        from langsmith.schemas import ExampleCreate

        truth = next(n for n in ("reference_outputs", "outputs") if n in ExampleCreate.model_fields)
        candidates = record.retrieval.names if record.retrieval else ()
        asked = record.ranking or record.asked_alone
        example = {
            "id": self._id(record),
            "inputs": {
                "image": record.sample,
                "sha256": record.sha256,
                "candidates": list(candidates),
            },
            truth: {"category": record.truth},
            "metadata": {
                "cell": record.cell,
                "answers": {
                    way: list(answer.names) for way in WAYS if (answer := answer_of(record, way))
                },
                "right": rights(record),
                "asked": asked.model_dump(mode="json", exclude_defaults=True) if asked else None,
            },
        }
        pixels = self.picture(record.sample) if self.picture else None
        if pixels is not None:
            bare, held = pixels.copy(), io.BytesIO()
            bare.info = {}  # Pillow writes a JPEG's comment again
            bare.save(held, "JPEG", quality=_QUALITY)
            attached = {"mime_type": "image/jpeg", "data": held.getvalue()}
            example["attachments"] = {"image": attached}
        return example


def prepare_upload(
    folder: Path, settings: Settings, name: str | None = None, images: bool = False
) -> Upload:
    """Read a run for LangSmith; nothing is sent.

    Args:
        folder: The run's.
        settings: Where the data set is.
        name: Of LangSmith's data set; default: the suite's and the run's, so that the same goes on.
        images: Whether pictures are sent too.

    Raises:
        NotFoundError: It is no run's folder.
        DamagedDataError: Its journal cannot be read.
    """
    from langsmith import Client
    from langsmith.utils import LangSmithMissingAPIKeyWarning

    run, records, failed = read_run(folder)
    suite, code = run["suite"], run["configuration_hash"]
    said = [suite["description"], *cautions(run, len(records) + len(failed))]
    with warnings.catch_warnings():  # who needs a key says so when it is missed
        warnings.simplefilter("ignore", LangSmithMissingAPIKeyWarning)
        client = Client(auto_batch_tracing=False)
    return Upload(
        name=name or f"{suite['name']}-{code[:8]}",
        description=" ".join(filter(None, said)),
        metadata={"suite": suite["name"], "run": code, "rar-agent": run["versions"]["rar-agent"]},
        records=records,
        picture=pictures_of(suite, settings) if images else None,
        client=client,
    )


@contextmanager
def _told() -> Iterator[None]:
    """LangSmith's errors as ours."""
    from langsmith.utils import LangSmithAuthError, LangSmithError
    from requests import RequestException

    try:
        yield
    except LangSmithAuthError as error:
        raise ConfigurationError(
            "LangSmith refuses the key, or there is none.", "Set LANGSMITH_API_KEY."
        ) from error
    except (LangSmithError, RequestException) as error:
        raise ProviderError(
            f"LangSmith failed: {' '.join(str(error).split())[:300]}",
            "Look at LANGSMITH_ENDPOINT, and try again: what it has is not sent twice.",
        ) from error
