"""Long work that is never lost and never done twice: a journal, and what runs by it."""

from rar_agent.batch.journal import Entry, Journal, read_journal
from rar_agent.batch.runner import Outcome, run

__all__ = ["Entry", "Journal", "Outcome", "read_journal", "run"]
