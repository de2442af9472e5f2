"""What a run may choose, and what its nodes need: the runtime context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import InstanceOf, TypeAdapter, ValidationError
from pydantic.json_schema import SkipJsonSchema

from rar_agent.errors import InputError
from rar_agent.graph.services import Services
from rar_agent.graph.shared import Wanted, shared_services
from rar_agent.memory.search import Method

if TYPE_CHECKING:
    from langgraph.runtime import Runtime


@dataclass(frozen=True)
class Context:
    """Given with a run; every field may be left out.

    Attributes:
        memory: Name of the memory to ask; None: the settings' one.
        ranker: How the model ranks, `listwise`, `choice` or `pairwise`; None: as the settings say.
        prompt: To rank with, as `name@version`; None: the settings' one.
        k: Candidates to retrieve; None: the settings' number.
        method: `fitted`, or the paper's `knn`.
        coverage: Share of images whose category is to be among the candidates, in place of `k`;
            None: the settings' one.
        only: Names of branches or categories that may be answered; empty: all.
        where: Metadata that categories must have to be answered; see `memory.taxonomy.Where`.
        services: Live objects of a caller in the same process, which say what memory, ranker and
            prompt there are; None: shared ones, which take every string for one that a model chose.
    """

    memory: str | None = None
    ranker: str | None = None
    prompt: str | None = None
    k: int | None = None
    method: Method = "fitted"
    coverage: float | None = None
    only: tuple[str, ...] = ()
    where: dict[str, Any] | None = None
    services: SkipJsonSchema[InstanceOf[Services]] | None = None


_ANY = TypeAdapter(Context)  # a server's client may send anything


def context_of(runtime: Runtime[Context]) -> Context:
    """The run's context; a run without one gets the defaults.

    Raises:
        RefusedError: A graph server's client gave a field of another type.
    """
    context = runtime.context or Context()
    if isinstance(context.services, Services):
        return context
    try:
        return _ANY.validate_python({**vars(context), "services": None})
    except ValidationError as error:
        wrong = error.errors()[0]
        given = repr(wrong["input"])[:100]
        raise RefusedError(
            f"'{wrong['loc'][0]}' = {given} in the context is not valid: {wrong['msg']}."
        ) from error


def services_of(context: Context, generation: int | None = None) -> Services:
    """The live objects of a run.

    Args:
        context: The run's.
        generation: Of the memory, that the run began with; None where it begins.

    Raises:
        ConfigurationError: Settings, encoder or model cannot be loaded.
        NotFoundError: There is no such memory.
    """
    if isinstance(context.services, Services):  # a server's client could send anything here
        return context.services
    return shared_services(Wanted(context.memory, context.ranker, context.prompt), generation)


class RefusedError(InputError, ValueError):
    """What a graph server's client gave cannot be used.

    Of other errors than Python's own, such a server tells its clients nothing but the name.
    """


@contextmanager
def refusing(context: Context) -> Iterator[None]:
    """Tell the client of a graph server what is wrong with what it gave.

    Raises:
        RefusedError: It cannot be used, and the run has no caller in this process.
    """
    try:
        yield
    except InputError as error:
        if isinstance(context.services, Services):
            raise
        raise RefusedError(error.message, error.fix) from error
