"""`rar-agent memory fit | compact`."""

from __future__ import annotations

from rar_agent.cli.options import Name, NoFit, Ram, Recall, gigabytes


def fit(name: Name) -> None:
    """Choose anew how a memory's categories are scored, and calibrate."""
    from rar_agent.cli.progress import busy
    from rar_agent.cli.show import out
    from rar_agent.cli.tables import scoring
    from rar_agent.memory import fit_memory_again
    from rar_agent.settings import load_settings

    with busy("leaving exemplars out"):
        memory = fit_memory_again(load_settings().home, name)
    out.print(scoring(memory), soft_wrap=True)


def compact(
    name: Name,
    recall: Recall = None,
    ram: Ram = None,
    no_fit: NoFit = False,
) -> None:
    """Merge a memory's segments, reclaim what was removed, index it where it is large."""
    from rar_agent.cli.progress import Bar
    from rar_agent.cli.show import out
    from rar_agent.cli.tables import segments
    from rar_agent.memory import compact_memory
    from rar_agent.memory.teaching.indexing import RECALL
    from rar_agent.settings import load_settings
    from rar_agent.words import counted

    with Bar("indexing") as bar:
        done = compact_memory(
            load_settings().home,
            name,
            "never" if no_fit else "auto",
            RECALL if recall is None else recall,
            None if ram is None else gigabytes(ram, "--ram"),
            bar.update,
        )
    if done.migrated:
        out.print(f"{name}: brought from format version 1 to 2")
    before, after = done.segments
    reclaimed = counted(done.reclaimed, "entry")
    out.print(f"{name}: {counted(before, 'segment')} became {after}, {reclaimed} reclaimed")
    out.print(segments(done.memory))
