"""A run's folder: what is to be done, in shards, and what of it is done."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rar_agent.durable import replace_file
from rar_agent.errors import BusyError, ConfigurationError
from rar_agent.locks import locked
from rar_agent.scale.ray.written import Sent, written

SHARD_BYTES = 32_000_000
"""Of a shard's list, which holds images that lie in no file."""


def mark_of(lines: Iterable[bytes]) -> str:
    """What tells a list from others: the images of it, and the states of their files."""
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


@dataclass(frozen=True)
class Run:
    """The folder of one run; driver and workers see the same.

    A shard is known by its number alone, and its result is one file, written whole and then named:
    so a shard that is done twice is one result.

    Attributes:
        folder: Where everything lies.
        suffix: Of results.
        shard: Images of a shard at most.
    """

    folder: Path
    suffix: str
    shard: int

    def write_down(self, images: Iterable[Sent]) -> None:
        """Write down what is to be done, shard by shard; of shards that changed, forget results."""
        number, lines, size = 0, list[bytes](), 0
        for line in map(written, images):
            if lines and (len(lines) == self.shard or size + len(line) > SHARD_BYTES):
                self._write_list(number, lines)
                number, lines, size = number + 1, [], 0
            lines.append(line)
            size += len(line)
        if lines:
            self._write_list(number, lines)
            number += 1
        self._write(self._listed, json.dumps({"shards": number}).encode())

    def take_over(self, draft: Run) -> None:
        """Have what a draft lists, unless it is listed; this is held, and the draft is emptied."""
        if self._listed.exists():
            return
        with self._writing(self.folder):
            shutil.rmtree(self.folder / "lists", ignore_errors=True)
            if draft.shards:
                (draft.folder / "lists").rename(self.folder / "lists")
            draft._listed.rename(self._listed)

    @property
    def shards(self) -> int:
        """How many there are, once they are listed."""
        return int(json.loads(self._listed.read_bytes())["shards"])

    def lines(self, number: int) -> list[bytes]:
        """What a shard is to read."""
        return self._list(number).read_bytes().splitlines()

    def mark(self, number: int) -> str:
        """What tells a shard's list from others."""
        return mark_of(self.lines(number))

    def result(self, number: int) -> Path:
        """The file of a shard's result."""
        return self.folder / "done" / f"{number:08d}{self.suffix}"

    def keep(self, number: int, data: bytes) -> None:
        """Write a shard's result."""
        self._write(self.result(number), data)
        self.before(number).unlink(missing_ok=True)

    def before(self, number: int) -> Path:
        """A result of the same list of which something is to be tried again, where there is one."""
        return self.result(number).with_suffix(".before")

    def reopen(self, number: int) -> None:
        """Have a shard done again that has a result, of which its worker may keep something."""
        self.result(number).replace(self.before(number))

    def forget(self, number: int) -> None:
        """Have a shard done again from nothing."""
        self.result(number).unlink(missing_ok=True)
        self.before(number).unlink(missing_ok=True)

    def finished(self) -> set[int]:
        """Shards with a result."""
        return {int(file.stem) for file in (self.folder / "done").glob(f"*{self.suffix}")}

    def missing(self) -> list[int]:
        """Shards without a result."""
        return sorted(set(range(self.shards)) - self.finished())

    def try_again(self, number: int) -> int:
        """Count a try of a shard; returns which one it is, from 1."""
        this, tries = 1, self.folder / "tries"
        while (tries / f"{number:08d}-{this}").exists():
            this += 1
        self._write(tries / f"{number:08d}-{this}", b"")
        return this

    def forget_tries(self) -> None:
        """Begin to count anew."""
        shutil.rmtree(self.folder / "tries", ignore_errors=True)

    @contextmanager
    def held(self) -> Iterator[str]:
        """Hold the run, which one process drives at a time.

        Yields:
            What workers have to find in it, to show that they see this folder.

        Raises:
            BusyError: Another process drives it.
            ConfigurationError: The folder cannot be written, or locks do not work there.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self.folder / "driver.lock", 0))
            except TimeoutError as error:
                raise BusyError(
                    f"Another process does the same work, in {self.folder}.", "Wait until it ends."
                ) from error
            token = secrets.token_hex(8)
            self._write(self._probe, token.encode())
            yield token

    def require_seen(self, token: str, node: str) -> None:
        """Check, in a worker, that this is the folder that the driver sees.

        Raises:
            ConfigurationError: It is not.
        """
        found = ""
        with suppress(OSError):
            found = self._probe.read_text()
        if found != token:
            raise ConfigurationError(
                f"Node {node} does not see the folder that work is handed out in, {self.folder}.",
                "Set RAR_RAY_FOLDER (and RAR_HOME, to recognise) to a folder that all nodes share.",
            )

    def remove(self) -> None:
        """All is done, and was taken over; a run that others may see is held meanwhile."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _listed(self) -> Path:
        return self.folder / "listed.json"

    @property
    def _probe(self) -> Path:
        return self.folder / "probe"

    def _list(self, number: int) -> Path:
        return self.folder / "lists" / f"{number:08d}.jsonl"

    def _write_list(self, number: int, lines: Iterable[bytes]) -> None:
        data, file = b"".join(lines), self._list(number)
        if not file.exists() or file.read_bytes() != data:
            self.forget(number)
            self._write(file, data)

    def _write(self, path: Path, data: bytes) -> None:
        with self._writing(path.parent):
            replace_file(path, data)

    @contextmanager
    def _writing(self, folder: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                f"'{folder}' cannot be written: {error.strerror}.",
                "Make room, or set RAR_RAY_FOLDER to a folder that can be written.",
            ) from error
