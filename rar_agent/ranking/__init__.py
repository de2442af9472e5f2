"""Rankers: order candidates given the query image."""

from rar_agent.ranking.asking import AskingRanker
from rar_agent.ranking.base import Ranker
from rar_agent.ranking.choice import ChoiceRanker
from rar_agent.ranking.fusion import fuse
from rar_agent.ranking.listwise import ListwiseRanker
from rar_agent.ranking.pairwise import PairwiseRanker
from rar_agent.ranking.parser import Parsed, parse_ranking
from rar_agent.ranking.retrieval import RetrievalRanker

__all__ = [
    "AskingRanker",
    "ChoiceRanker",
    "ListwiseRanker",
    "PairwiseRanker",
    "Parsed",
    "Ranker",
    "RetrievalRanker",
    "fuse",
    "parse_ranking",
]
