"""Runs for other tools: JSON lines, COCO's files, LangSmith's data sets, Inspect's logs."""

from rar_agent.evaluation.export.coco import write_coco
from rar_agent.evaluation.export.inspect_log import write_inspect_log
from rar_agent.evaluation.export.langsmith_dataset import Upload, prepare_upload
from rar_agent.evaluation.export.lines import write_lines

__all__ = ["Upload", "prepare_upload", "write_coco", "write_inspect_log", "write_lines"]
