"""Rankers: order candidates given the query image."""

from rar_agent.ranking.asking import AskingRanker
from rar_agent.ranking.base import Ranker
from rar_agent.ranking.choice import ChoiceRanker
from rar_agent.ranking.crop_answers import parse_crops
from rar_agent.ranking.crops import CropsRanker
from rar_agent.ranking.fusion import fuse
from rar_agent.ranking.listwise import ListwiseRanker
from rar_agent.ranking.pairwise import PairwiseRanker
from rar_agent.ranking.parser import Parsed, parse_ranking
from rar_agent.ranking.picture_budget import choose_boxes, gain_of_asking
from rar_agent.ranking.retrieval import RetrievalRanker

__all__ = [
    "AskingRanker",
    "ChoiceRanker",
    "CropsRanker",
    "ListwiseRanker",
    "PairwiseRanker",
    "Parsed",
    "Ranker",
    "RetrievalRanker",
    "choose_boxes",
    "fuse",
    "gain_of_asking",
    "parse_crops",
    "parse_ranking",
]
