"""The typed configuration of a training run: what may be set, its type and bounds, and what it means.

The values live in `configs/` and nowhere else; `load_config` composes them with overrides such as
`game=harvest policy.hidden=128 train.steps=2e6 seed=1 name=first`.
"""

from marl_meta.config.loading import load_config
from marl_meta.config.sections import (
    BY_GRADIENTS,
    AlgorithmConfig,
    Config,
    GradientConfig,
    LeagueConfig,
    MetaConfig,
    TeamConfig,
    TrackingConfig,
)

__all__ = [
    "BY_GRADIENTS",
    "AlgorithmConfig",
    "Config",
    "GradientConfig",
    "LeagueConfig",
    "MetaConfig",
    "TeamConfig",
    "TrackingConfig",
    "load_config",
]
