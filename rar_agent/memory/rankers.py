"""Ranking models that were calibrated beside a memory: found, kept, and when they do not hold."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rar_agent.memory.format.drift_record import DriftRecord
from rar_agent.memory.format.location import memory_folder
from rar_agent.memory.format.manifest import RankerRecord
from rar_agent.memory.memory import STALE, Memory
from rar_agent.memory.teaching.draft import Draft
from rar_agent.memory.teaching.teach import changing

_TEXTS = 100  # categories whose texts are looked at again


@dataclass(frozen=True)
class Way:
    """A way of asking a model, which a record is about.

    Attributes:
        model: `provider:name`.
        server: Where it is asked, see `server_hash`; None where that is not known.
        ranker: Name of the ranker.
        prompt_hash: Of the prompt.
        orders: In how many the options are shown.
        image_side: Longest side of the photo as the model sees it, in pixels.
        exemplars: Shown of each candidate, at most, where the prompt shows any.
    """

    model: str
    server: str | None
    ranker: str
    prompt_hash: str
    orders: int
    image_side: int
    exemplars: int

    def differs(self, record: RankerRecord) -> list[str]:
        """What a record of the model is not about, in words; empty where it is of this way."""
        server = record.server if self.server is None else self.server
        same = {
            "at this server": server == record.server,
            f"as a {self.ranker} ranker": self.ranker == record.ranker,
            "with the prompt as it is now": self.prompt_hash == record.prompt_hash,
            "with so many orders": self.orders == record.orders,
            "with photos of this size": self.image_side == record.image_side,
            "with so many exemplars shown": record.exemplars in (None, self.exemplars),
        }
        return [what for what, is_same in same.items() if not is_same]


def server_hash(server: str) -> str:
    """What a record keeps of a server: an address may hold secrets."""
    return hashlib.sha256(server.encode()).hexdigest()[:16]


def find_ranker(memory: Memory, way: Way) -> tuple[RankerRecord | None, str]:
    """What is known of a way of asking a model beside a memory, or why nothing that holds is."""
    why = f"the model was not calibrated on memory '{memory.name}'"
    records = [record for record in memory.manifest.rankers if record.model == way.model]
    if not records:
        return None, why
    nearest = min(records, key=lambda record: len(way.differs(record)))
    if different := way.differs(nearest):
        return None, f"{why} {', '.join(different)}"
    why = changed(memory, nearest)
    return (None, why) if why else (nearest, "")


def changed(memory: Memory, record: RankerRecord) -> str:
    """Why a record does not hold for a memory as it is now; empty where it does.

    Up to a tenth of the exemplars may be others, and of the categories' texts.
    """
    if prior := memory.manifest.prior:
        return f"the model was calibrated without the memory's {prior}"
    if not is_current(memory, record) or not memory.calibrated:
        return "the memory changed much since the model was calibrated on it"
    if record.scoring != scoring_of(memory):
        return f"the memory scored by {record.scoring or 'other means'} when it was calibrated"
    now = _texts(memory, list(record.texts))
    others = sum(now.get(number) != text for number, text in record.texts.items())
    if not record.texts or others / len(record.texts) > STALE:
        return "names, aliases or descriptions changed since the model was calibrated"
    return ""


def is_current(memory: Memory, record: RankerRecord | DriftRecord) -> bool:
    """Whether at most a tenth of the exemplars were learnt or removed since."""
    images = [s.entries["id"] for s in memory.entries.segments if s.ref.modality == "image"]
    later = np.concatenate(
        [np.empty(0, np.int64), *(ids[ids >= record.next_entry] for ids in images)]
    )
    new = int((~np.isin(later, memory.entries.removed)).sum())
    gone = record.entries + new - memory.image_count
    return (new + gone) / max(1, record.entries) <= STALE


def scoring_of(memory: Memory) -> str:
    """What scores a memory's candidates, in a word or two."""
    fit = memory.manifest.fit
    if fit is None:
        return ""
    return f"{fit.method} and texts" if fit.parameters.get("text_weight") else fit.method


def texts_of(memory: Memory) -> dict[int, str]:
    """Hashes of the texts of up to 100 categories by id, evenly drawn."""
    ids = memory.categories.ids
    drawn = ids[np.unique(np.linspace(0, len(ids) - 1, min(_TEXTS, len(ids))).astype(int))]
    return _texts(memory, drawn.tolist())


def _texts(memory: Memory, numbers: list[int]) -> dict[int, str]:
    """Hashes of the texts of categories by id; those that are gone are left out."""
    columns = memory.categories.columns(np.array(numbers, np.int64))
    found = {}
    for number, column in zip(numbers, columns.tolist(), strict=True):
        if column >= 0:
            category = memory.categories[column]
            texts = repr((category.name, category.aliases, category.description))
            found[number] = hashlib.sha256(texts.encode()).hexdigest()[:8]
    return found


@contextmanager
def keeping_ranker(home: Path, name: str) -> Iterator[Callable[[RankerRecord], Memory]]:
    """Hold a memory for writing; gives what writes a record into it, see `keep_ranker`.

    Readers are not held up. What is found may have cost money: so nobody comes in between.

    Raises:
        NotFoundError: There is no such memory.
        InputError: It is a ready memory.
        BusyError: Somebody else is writing to it.
    """
    with changing(memory_folder(home, name)) as memory:
        yield lambda record: _keep(memory, record)


def keep_ranker(home: Path, name: str, record: RankerRecord) -> Memory:
    """Write what was found of a model, in place of what was known of the same way of asking it.

    What was known by earlier texts of its prompt, or does not hold any more, goes too.

    Raises:
        NotFoundError: There is no such memory.
        InputError: It is a ready memory.
        BusyError: Somebody else is writing to it.
    """
    with keeping_ranker(home, name) as keep:
        return keep(record)


def _keep(memory: Memory, record: RankerRecord) -> Memory:
    def key(one: RankerRecord) -> tuple[object, ...]:
        shown = one.orders, one.image_side, one.exemplars
        return one.model, one.server, one.ranker, one.prompt, *shown

    others = [
        other
        for other in memory.manifest.rankers
        if key(other) != key(record) and not changed(memory, other)
    ]
    draft = Draft.after(memory)
    draft.rankers = (*others, record)
    return draft.commit("ready", "never")
