"""Data sets: cards, loaders, and the checks that they are what they should be."""

from rar_agent.evaluation.datasets.card import Card, find_cards, load_card
from rar_agent.evaluation.datasets.check import Copies, find_copies
from rar_agent.evaluation.datasets.coop import read_shots
from rar_agent.evaluation.datasets.load import State, list_datasets, load_dataset, state_of

__all__ = [
    "Card",
    "Copies",
    "State",
    "find_cards",
    "find_copies",
    "list_datasets",
    "load_card",
    "load_dataset",
    "read_shots",
    "state_of",
]
