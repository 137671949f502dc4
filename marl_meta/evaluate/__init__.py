"""Evaluation: what teams earn on variants that they have never met, and how sure that is."""

from marl_meta._callable import make_callable
from marl_meta.evaluate.ground import ThirdPartyGame
from marl_meta.evaluate.results import Evaluation
from marl_meta.evaluate.run import evaluate

__all__ = ["Evaluation", "ThirdPartyGame", "evaluate"]

make_callable(__name__, evaluate)
