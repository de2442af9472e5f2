"""Steps of a soak that teach and forget, each checked by what the memory answers afterwards."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

from fuzz.soak_ground import (
    GROWING,
    TAUGHT,
    Ground,
    Key,
    Said,
    learnt,
    name_of,
    names_in,
    pictures,
)
from fuzz.soak_jobs import begin
from rar_agent.agents.teaching import prepare
from rar_agent.agents.teaching import teach as teach_as_agents_do
from rar_agent.errors import BusyError
from rar_agent.images import admit
from rar_agent.memory import (
    add_to_memory,
    compact_memory,
    open_memory,
    remove_from_memory,
    rename_category,
    verify_memory,
)

_MOST = 8  # exemplars of a category
_FEWEST = 3  # categories that stay
_DRAWN = 24  # drawings of a colour that may be taught


def teach(ground: Ground, random: Random) -> None:
    """Teach exemplars, some of them known: the answer follows, and nothing is learnt twice."""
    name, new, again = _lesson(ground, random)
    given = [*new, *again]
    random.shuffle(given)
    if random.random() < 0.3 and given:
        lesson = prepare(ground.growing, name, [admit(learnt(key)) for key in given])
        done = teach_as_agents_do(ground.growing, lesson)
        added, known = done.added, done.known
    else:
        report = add_to_memory(ground.home, GROWING, ground.encoder, pictures({name: given}))
        added, known = report.added, report.known
    ground.knows.setdefault(name, []).extend(new)
    right = (len(new), len(again))
    ground.ledger.expect((added, known) == right, f"{name}: {added} and {known}, not {right}")
    ground.ledger.exchanged(given, given[: added + known])
    _follows(ground, random, name)
    census(ground)


def forget(ground: Ground, random: Random) -> None:
    """Forget a category: it is never answered again."""
    if len(ground.knows) <= _FEWEST:
        teach(ground, random)
        return
    name = random.choice(sorted(ground.knows))
    keys = ground.knows.pop(name)
    remove_from_memory(ground.home, GROWING, [name])
    ground.ledger.exchanged([name], [name])
    ground.growing.refresh()
    answers = [ground.growing.recognize(learnt(key)) for key in keys[:3]]
    ground.ledger.expect(name not in names_in(answers), f"{name} was forgotten, and is answered")
    census(ground)


def forget_exemplar(ground: Ground, random: Random) -> None:
    """Forget an exemplar: it speaks for nothing again."""
    some = sorted(name for name, keys in ground.knows.items() if len(keys) > 1)
    if not some:
        teach(ground, random)
        return
    name = random.choice(some)
    key = random.choice(ground.knows[name])
    entry = _entry(ground, key)
    ground.ledger.expect(entry is not None, f"{key} is not its own nearest exemplar")
    if entry is None:
        return
    remove_from_memory(ground.home, GROWING, entries=[entry])
    ground.knows[name].remove(key)
    ground.ledger.exchanged([key], [key])
    ground.growing.refresh()
    ground.ledger.expect(_entry(ground, key) is None, f"{key} was forgotten, and is shown")
    census(ground)


def rename(ground: Ground, random: Random) -> None:
    """Rename a category, and back: the answer follows."""
    name = random.choice(sorted(ground.knows))
    for old, new in ((name, f"{name}, renamed"), (f"{name}, renamed", name)):
        rename_category(ground.home, GROWING, old, new, lambda: ground.encoder)
        ground.growing.refresh()
        found = names_in([ground.growing.recognize(learnt(ground.knows[name][0]))])
        ground.ledger.expect(new in found and old not in found, f"{old} renamed {new}: {found}")
    ground.ledger.exchanged([name] * 2, [name] * 2)
    census(ground)


def compact(ground: Ground, random: Random) -> None:
    """Compact: every answer stays, every file is whole."""
    keys = [random.choice(keys) for keys in ground.knows.values()]
    before = [Said.of(ground.growing.recognize(learnt(key))) for key in keys]
    compact_memory(ground.home, GROWING)
    ground.growing.refresh()
    after = [Said.of(ground.growing.recognize(learnt(key))) for key in keys]
    same = all(new.best == old.best for old, new in zip(before, after, strict=True))
    ground.ledger.expect(same, "compaction changed an answer")
    ground.ledger.exchanged(["compact"], ["compact"])
    verify_memory(ground.home, GROWING)
    census(ground)


def two_writers(ground: Ground, random: Random) -> None:
    """Two teach at the same time: each is done, or told; none is lost."""
    lessons = []
    for name in random.sample(sorted(ground.knows), 2):
        free = _free(ground, name)
        lessons.append((name, random.sample(free, min(2, len(free)))))

    def write(lesson: tuple[str, list[Key]]) -> bool:
        name, keys = lesson
        try:
            add_to_memory(ground.home, GROWING, ground.encoder, pictures({name: keys}))
        except BusyError:
            return False
        return True

    some = [lesson for lesson in lessons if lesson[1]]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(write, some))
    ground.ledger.fault("two writers")
    ground.ledger.exchanged([n for n, _ in some], [n for (n, _), _ in zip(some, done, strict=True)])
    for (name, keys), written in zip(some, done, strict=True):
        if written:
            ground.knows[name].extend(keys)
    census(ground)


def busy(ground: Ground, random: Random) -> None:
    """Another process writes: who asks meanwhile is told; killed, it holds nothing."""
    folder = ground.growing.memory.folder
    name, new, again = _lesson(ground, random)
    with begin("hold", ground.home, folder) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            add_to_memory(ground.home, GROWING, ground.encoder, pictures({name: new or again}))
            told = "nothing"
        except BusyError as error:
            told = str(error)
        ground.ledger.expect(f"process {holder.pid} " in told, f"told {told}")
        holder.kill()
    ground.ledger.fault("a busy memory")
    add_to_memory(ground.home, GROWING, ground.encoder, pictures({name: new or again}))
    ground.knows.setdefault(name, []).extend(new)
    ground.ledger.exchanged(["busy", "free"], ["busy", "free"])
    _follows(ground, random, name)
    census(ground)


def killed_writer(ground: Ground, random: Random) -> None:
    """A process that teaches is killed: what it said is there, and at most one lesson more."""
    lessons: list[tuple[str, Key]] = []
    for colour in TAUGHT:
        name = name_of(colour)
        if name in ground.knows:
            lessons += [(name, key) for key in _free(ground, name)[:3]]
    random.shuffle(lessons)
    given = [f"{name}/{colour}/{seed}" for name, (colour, seed) in lessons]
    said: list[str] = []
    with begin("teach", ground.home, GROWING, *given) as writer:
        assert writer.stdout is not None
        for _ in range(random.randint(0, max(0, len(lessons) - 2))):
            said.append(writer.stdout.readline().strip())
        writer.kill()
        said += [line.strip() for line in writer.stdout if line.endswith("\n")]
    ground.ledger.fault("a writer killed")
    ground.ledger.expect(said == given[: len(said)], f"said {said}")
    for name, key in lessons[: len(said)]:
        ground.knows[name].append(key)
    ground.ledger.exchanged(said, said)
    verify_memory(ground.home, GROWING)
    ground.growing.refresh()
    if len(said) < len(lessons):  # the one under way is there, or not
        name, key = lessons[len(said)]
        if _counts(ground).get(name) == len(ground.knows[name]) + 1:
            ground.knows[name].append(key)
    census(ground)


def census(ground: Ground) -> None:
    """Compare what the memory knows with what it must know."""
    ground.growing.refresh()
    right = {name: len(keys) for name, keys in ground.knows.items()}
    for found in (_counts(ground), _counts(ground, anew=True)):
        ground.ledger.expect(found == right, f"the memory knows {found}, not {right}")


def _counts(ground: Ground, anew: bool = False) -> dict[str, int]:
    memory = open_memory(ground.home, GROWING) if anew else ground.growing.memory
    return {one.name: memory.exemplar_count(n) for n, one in enumerate(memory.categories)}


def _free(ground: Ground, name: str) -> list[Key]:
    """Drawings that a category could still be taught."""
    known = ground.knows.get(name, [])
    colour = name.removesuffix(" discs")
    keys = [(colour, seed) for seed in range(_DRAWN) if (colour, seed) not in known]
    return keys[: max(0, _MOST - len(known))]


def _lesson(ground: Ground, random: Random) -> tuple[str, list[Key], list[Key]]:
    """A category, new drawings of it, and some that it knows."""
    name = name_of(random.choice(TAUGHT))
    known, free = ground.knows.get(name, []), _free(ground, name)
    least = 0 if known else 2
    new = random.sample(free, min(len(free), max(least, random.randint(0, 3))))
    again = random.sample(known, min(len(known), max(1 - len(new), random.randint(0, 2))))
    return name, new, again


def _follows(ground: Ground, random: Random, name: str) -> None:
    """Ask a memory about what it was just taught."""
    ground.growing.refresh()
    key = random.choice(ground.knows[name])
    ground.ledger.expect(_entry(ground, key) is not None, f"{key} was taught, and is not found")
    nearest = Said.of(ground.growing.recognize(learnt(key), method="knn")).best
    ground.ledger.expect(nearest == name, f"{key} was taught, and is called {nearest}")


def _entry(ground: Ground, key: Key) -> int | None:
    """The exemplar that is a drawing itself; None where no category shows it."""
    result = ground.growing.recognize(learnt(key))
    near = [one for category in result.categories for one in category.exemplars]
    same = [one for one in near if one.similarity > 1 - 1e-5]
    return same[0].entry if same else None


STEPS: dict[str, tuple[Callable[[Ground, Random], None], float]] = {
    "teach": (teach, 14),
    "forget": (forget, 7),
    "forget an exemplar": (forget_exemplar, 7),
    "rename": (rename, 2),
    "compact": (compact, 4),
    "two writers": (two_writers, 3),
    "busy memory": (busy, 2),
    "writer killed": (killed_writer, 1),
}
"""By kind, with how often they come beside the others."""
