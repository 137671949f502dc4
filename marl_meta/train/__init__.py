"""Training runs: build what a config names, loop, checkpoint, resume."""

from marl_meta._callable import make_callable
from marl_meta.train.run import resume, train

__all__ = ["resume", "train"]

make_callable(__name__, train)
