"""BenchMARL's training speed, for where it is installed: IPPO with a graph network on VMAS's simple_spread."""

from __future__ import annotations

import tempfile
from typing import Any

_FEW, _MANY = 2, 6
"""Iterations of two trainings; the difference of their times has no start-up in it."""


def benchmarl_speed(num_games: int, horizon: int, epochs: int, minibatches: int) -> float:
    """Return agent-steps a second of rollout and update at our numbers of games, steps, epochs and minibatches.

    VMAS's own reward and physics; actor and critic are a graph layer between two MLPs of width 64.
    """
    seconds = {count: _train(count, num_games, horizon, epochs, minibatches) for count in (_FEW, _MANY)}
    return 3 * num_games * horizon * (_MANY - _FEW) / (seconds[_MANY] - seconds[_FEW])


def _train(iterations: int, num_games: int, horizon: int, epochs: int, minibatches: int) -> float:
    """Return the seconds that so many iterations took."""
    from benchmarl.algorithms import IppoConfig
    from benchmarl.environments import VmasTask
    from benchmarl.experiment import Experiment, ExperimentConfig

    task = VmasTask.SIMPLE_SPREAD.get_from_yaml()
    task.config["max_steps"] = horizon
    frames = num_games * horizon
    settings = ExperimentConfig.get_from_yaml()
    settings.prefer_continuous_actions = False
    settings.on_policy_collected_frames_per_batch = frames
    settings.on_policy_n_envs_per_worker = num_games
    settings.on_policy_n_minibatch_iters = epochs
    settings.on_policy_minibatch_size = frames // minibatches
    settings.max_n_iters, settings.max_n_frames = iterations, None
    settings.evaluation, settings.render, settings.loggers, settings.create_json = False, False, [], False
    with tempfile.TemporaryDirectory() as folder:
        settings.save_folder = folder
        experiment = Experiment(
            task=task,
            algorithm_config=IppoConfig.get_from_yaml(),
            model_config=_network(),
            critic_model_config=_network(),
            seed=0,
            config=settings,
        )
        experiment.run()
    return float(experiment.total_time)


def _network() -> Any:
    from benchmarl.models import GnnConfig, MlpConfig, SequenceModelConfig

    layers = [MlpConfig.get_from_yaml(), GnnConfig.get_from_yaml(), MlpConfig.get_from_yaml()]
    for layer in (layers[0], layers[2]):
        layer.num_cells = [64]
    return SequenceModelConfig(model_configs=layers, intermediate_sizes=[64, 64])
