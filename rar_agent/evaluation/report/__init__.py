"""Reports that people look at: a page that needs nothing else, Markdown, JSON."""

from rar_agent.evaluation.metrics.curves import Curves
from rar_agent.evaluation.report.write import Paths, write_report

__all__ = ["Curves", "Paths", "write_report"]
