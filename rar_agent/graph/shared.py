"""The process's services, for runs that bring none: a graph server's."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from rar_agent.errors import InputError
from rar_agent.forks import Lock
from rar_agent.graph.services import WAYS, Services
from rar_agent.images import ImageStore
from rar_agent.memory.format.origin import refuse_address
from rar_agent.prompts import find_prompt
from rar_agent.settings import load_settings


class Wanted(NamedTuple):
    """What a run may choose; None: as the settings say."""

    memory: str | None = None
    ranker: str | None = None
    prompt: str | None = None


_MOST = 32  # kept, of what clients choose; each has its memory's arrays open
_known: OrderedDict[tuple[Wanted, int], Services] = OrderedDict()
_newest: dict[Wanted, Services] = {}
_store = ImageStore()
_lock = Lock()


def shared_services(wanted: Wanted, generation: int | None = None) -> Services:
    """The services for what a run chooses.

    Every string is taken for one that a model chose, so `RAR_ROOTS` says what may be read; images
    are decoded as `Settings.for_others` says.

    Args:
        wanted: What the run chooses.
        generation: Of the memory, that the run began with; None: the newest, as the run begins.

    Raises:
        InputError: There is no such ranker, memory or prompt.
        ConfigurationError: A setting is not valid, or a model cannot be loaded.
    """
    if wanted.ranker is not None and wanted.ranker not in WAYS:
        raise InputError(f"Ranker {wanted.ranker!r} is unknown.", f"Give {', '.join(WAYS)}.")
    if wanted.memory is not None:
        refuse_address(wanted.memory, load_settings().memory)
    with _lock:
        found = _known.get((wanted, generation)) if generation is not None else None
        found = found or _newest.get(wanted)
        if found is None or (generation is None and found.outdated):
            settings = load_settings(**wanted._asdict()).for_others
            if wanted.prompt:
                find_prompt(wanted.prompt, settings.home)
            found = Services(settings, store=_store)
            _ = found.memory, found.ranker  # what cannot be used is not kept
            _newest[wanted] = found
        key = (wanted, found.memory.manifest.generation)
        _known[key] = found
        _known.move_to_end(key)
        while len(_known) > _MOST:
            (old, _), dropped = _known.popitem(last=False)
            if _newest.get(old) is dropped:
                del _newest[old]
        return found
