"""What there is to say of many detections together, without keeping them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rich.console import Group
from rich.text import Text

from rar_agent.cli.show import MOST_REASONS
from rar_agent.types import Detections, Failure, Usage, sum_usage
from rar_agent.words import counted, spent


@dataclass
class Tally:
    """Sums over images.

    Attributes:
        images: All of them.
        lost: Those that failed.
        boxes: Of the others.
        any_failed: Whether an image or a box did.
    """

    images: int = 0
    lost: int = 0
    boxes: int = 0
    any_failed: bool = False
    _asked: int = 0
    _usage: Usage = field(default_factory=Usage)
    _proposer: str = ""
    _means: str = ""
    _memory: str = ""
    _reasons: Counter[str] = field(default_factory=Counter)

    def add(self, one: Detections | Failure) -> None:
        """One image more."""
        self.images += 1
        if isinstance(one, Failure):
            self.lost += 1
            self.any_failed = True
            return
        self.boxes += len(one.detections)
        self.any_failed |= any(box.failure for box in one.detections)
        self._asked += one.asked
        self._usage = sum_usage([self._usage, one.usage])
        self._proposer = self._proposer or one.proposer
        for trace in (box.recognition.trace for box in one.detections if box.recognition):
            self._means = self._means or trace.probability_means
            self._memory = self._memory or trace.memory
            if trace.degraded:
                self._reasons[trace.reason] += 1

    def summary(self, seconds: float, model: str | None = None) -> Group:
        """All of it, what it took last.

        Args:
            seconds: That it took.
            model: That was set to rank, whether it was asked or not.
        """
        lines = []
        if self._memory:
            lines.append(Text(f"probability: {self._means}", style="dim"))
            lines.append(Text(f"memory: {self._memory}", style="dim"))
        for why, number in self._reasons.most_common(MOST_REASONS):
            said = f"degraded to the retrieval order, {counted(number, 'box')}: {why}"
            lines.append(Text(said, style="yellow"))
        if (more := len(self._reasons) - MOST_REASONS) > 0:
            said = f"… and for {counted(more, 'other reason')}; see --json"
            lines.append(Text(said, style="yellow"))
        what = counted(self.boxes, "box")
        if self.images > 1:
            what += f" of {counted(self.images - self.lost, 'image')}"
        by = f", proposed by {self._proposer}" if self._proposer else ""
        if self._asked:
            asked = f"{model} was asked about {counted(self._asked, 'box')}"
            ranked = f"{asked}, {spent(self._usage)}"
        else:
            ranked = f"retrieval alone, {model or 'no model'} was {'not ' if model else ''}asked"
        if self.lost:
            lines.append(Text(f"{counted(self.lost, 'image')} failed", style="red"))
        lines.append(Text(f"{what} in {seconds:.1f} s{by}; {ranked}", style="dim"))
        return Group(*lines)
