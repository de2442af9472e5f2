"""A cluster: attached to, or started on this machine for as long as it is needed."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rar_agent.errors import ConfigurationError

OBJECT_STORE = 200_000_000
"""Bytes of the object store that is started here; only numbers of shards go through it."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would report to Ray's makers
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}
_ANSWER_S = 5.0  # for a connection; Ray itself would go on trying for minutes


@contextmanager
def attached(address: str | None) -> Iterator[None]:
    """Be attached to Ray: what was started here is ended, what was there is left.

    Where this process is attached already, it stays so, and `address` is not looked at.

    Args:
        address: `auto`, `ray://HOST:PORT` or `HOST:PORT`; None: start one here, for this process,
            that listens on loopback alone.

    Raises:
        ConfigurationError: Ray is not installed, or the cluster cannot be reached.
    """
    ray = load_ray()
    if ray.is_initialized():
        yield
        return
    with _quiet(ray):
        try:
            _begin(ray, address)
            yield
        finally:
            ray.shutdown()


def load_ray() -> Any:  # noqa: ANN401 - it is an extra
    """The package, told to be quiet where it is imported for the first time.

    Raises:
        ConfigurationError: It is not installed.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigurationError(
            "The engine 'ray' needs Ray, which is not installed.",
            "Run: pip install 'rar-agent[ray]'",
        ) from error
    return ray


def _begin(ray: Any, address: str | None) -> None:  # noqa: ANN401
    if address and ":" in address:
        _require_answer(address)
    said: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        said |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
    try:
        with _no_stderr(), _on_loopback(ray, address is None):
            ray.init(address="local" if address is None else address, **said)
    except Exception as error:  # ConnectionError, ValueError, RuntimeError, gRPC's own
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:300].rstrip('.')}"
        if address:
            raise _unreachable(address, why) from error
        raise ConfigurationError(
            f"Ray cannot be started here: {why}.", "Look into /tmp/ray/session_latest/logs."
        ) from error


def _require_answer(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
    except (OSError, ValueError) as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The Ray cluster at '{address}' cannot be reached: {why}.",
        "Check the address (--ray-address, RAR_RAY_ADDRESS), that Ray is of the same version "
        "there, and that this user has the cluster's token (for ray://, with "
        "RAY_AUTH_MODE=token).",
    )


@contextmanager
def _on_loopback(ray: Any, wanted: bool) -> Iterator[None]:  # noqa: ANN401
    """Have Ray take 127.0.0.1 for this machine, as it does on macOS, and listen there alone."""
    constants = ray._private.ray_constants
    before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = before and not wanted
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _quiet(ray: Any) -> Iterator[None]:  # noqa: ANN401
    """Keep off the terminal what Ray logs, and what its daemons say: that it would print anyway."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.data")]
    levels = [logger.level for logger in loggers]
    worker = ray._private.worker
    printing = getattr(worker, "print_to_stdstream", None)
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        worker.print_to_stdstream = lambda *_, **__: None
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        worker.print_to_stdstream = printing


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Lose what is written to standard error meanwhile, by C++ too: which log level was set."""
    before = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)
