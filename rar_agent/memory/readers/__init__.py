"""What a memory is taught from: folders, tables, data sets, shards, names, Python."""

from rar_agent.memory.readers.annotations import AnnotationsReader, read_categories
from rar_agent.memory.readers.chain import chain
from rar_agent.memory.readers.dataset import DatasetReader
from rar_agent.memory.readers.draw import draw
from rar_agent.memory.readers.folder import SUFFIXES, FolderReader, read_folder
from rar_agent.memory.readers.given import Given, SampleReader
from rar_agent.memory.readers.names import NamesReader, names_reader, read_names
from rar_agent.memory.readers.sample import Reader, Sample
from rar_agent.memory.readers.shards import ShardReader
from rar_agent.memory.readers.table import TableReader

__all__ = [
    "SUFFIXES",
    "AnnotationsReader",
    "DatasetReader",
    "FolderReader",
    "Given",
    "NamesReader",
    "Reader",
    "Sample",
    "SampleReader",
    "ShardReader",
    "TableReader",
    "chain",
    "draw",
    "names_reader",
    "read_categories",
    "read_folder",
    "read_names",
]
