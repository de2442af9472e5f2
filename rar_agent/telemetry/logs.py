"""Events in the standard log, under the logger `rar_agent`: a name and fields, secrets masked."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from rar_agent.telemetry.redact import UNPRINTABLE, redacted
from rar_agent.telemetry.spans import current_trace

Form = Literal["text", "json"]

DEGRADED = "degraded to the retrieval order"
"""Event of an answer that a model should have ranked."""

_ROOT = logging.getLogger("rar_agent")
_ROOT.addHandler(logging.NullHandler())  # whoever uses the library says where its log goes


class Events:
    """Tells of events.

    Each record has the event's name as `event` and what belongs to it as `fields`; its message has
    both.

    Args:
        name: Of the module that tells.
    """

    def __init__(self, name: str) -> None:
        self._log = logging.getLogger(name)

    def info(self, event: str, **fields: object) -> None:
        """What an operator may want to know."""
        self._tell(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """What is not as it should be, and went on."""
        self._tell(logging.WARNING, event, fields)

    def error(self, event: str, error: BaseException, **fields: object) -> None:
        """What is a bug, with where it happened."""
        where = "".join(traceback.format_exception(error))
        self._tell(logging.ERROR, event, {**fields, "traceback": where})

    def _tell(self, level: int, event: str, fields: dict[str, object]) -> None:
        if not self._log.isEnabledFor(level):
            return
        plain = {name: _plain(value) for name, value in fields.items()}
        said = ", ".join(f"{name}={value}" for name, value in plain.items())
        told = {"event": event, "fields": plain}
        self._log.log(level, "%s: %s" if said else "%s%s", event, said, extra=told, stacklevel=3)


def events(name: str) -> Events:
    """The events of a module, told under its name."""
    return Events(name)


def _plain(value: object) -> bool | int | float | str | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    return redacted(str(value))


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": getattr(record, "event", None) or redacted(record.getMessage()),
            **getattr(record, "fields", {}),
            **current_trace(),
        }
        if record.exc_info:
            line["exception"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


class _Text(logging.Formatter):
    """`warning: what happened: field=value`; what a server said cannot steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        line = redacted(f"{record.levelname.lower()}: {super().format(record)}")
        return UNPRINTABLE.sub("?", line)


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at the time: a progress bar takes it over."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        """Stays what it is."""


_handler = _StandardError()


def _masked(record: logging.LogRecord) -> bool:
    record.msg, record.args = redacted(record.getMessage()), ()
    return True


def mask_log(name: str) -> None:
    """Mask secrets in what another library logs under a name."""
    logging.getLogger(name).addFilter(_masked)


def log_to_standard_error(form: Form, level: str) -> None:
    """Write the log of `rar_agent` to standard error, in a process of our own.

    Args:
        form: `text`, or `json`: one object a line.
        level: The least that is written.
    """
    _handler.setFormatter(_Json() if form == "json" else _Text())
    _handler.filters.clear()
    _ROOT.setLevel(level.upper())
    _ROOT.addHandler(_handler)  # once, however often


def log_no_degraded() -> None:
    """Leave degraded answers out of what is written there: the command shows them itself."""
    _handler.addFilter(lambda record: getattr(record, "event", "") != DEGRADED)
