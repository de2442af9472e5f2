"""The error tree, split by who must act.

Every error says what was wrong, with the value, and what to do about it. `exit_code` is the
command line's exit status for it.
"""

from __future__ import annotations


class RarError(Exception):
    """Base of every error that rar-agent raises on purpose.

    Attributes:
        message: What was wrong, with the value.
        fix: What to do about it; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(f"{message} {fix}".strip())
        self.message = message
        self.fix = fix

    def __reduce__(self) -> tuple[type[RarError], tuple[str, str]]:
        return type(self), (self.message, self.fix)


class InputError(RarError):
    """The caller gave something that cannot be used: an argument, a file, a name."""

    exit_code = 2


class ImageError(InputError):
    """Bytes that are not an image within the limits, or a source that may not be read."""


class NotFoundError(InputError):
    """A memory, category, prompt or file that does not exist."""


class ConfigurationError(RarError):
    """Settings, an installation or weights on disk have to change first."""

    exit_code = 3


class FingerprintMismatchError(ConfigurationError):
    """A memory was made by another encoder than the one that is loaded."""


class ServerError(ConfigurationError):
    """A server that keeps memories cannot be asked, or refuses."""


class BusyError(ConfigurationError):
    """Another process is writing to the memory."""


class ProviderError(RarError):
    """A model provider failed, after its own retries."""

    exit_code = 4


class BudgetError(ProviderError):
    """The limit on what may be spent is reached, so a model was not asked."""


class DamagedDataError(RarError):
    """Stored data is damaged or of an unknown format."""

    exit_code = 5
