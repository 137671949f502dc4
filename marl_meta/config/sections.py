"""What may be set in a training run: each key's type, bounds and meaning. Nothing here knows a game or an algorithm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from marl_meta.config.complaints import validated
from marl_meta.resources import find, read_yaml
from marl_meta.types import UserError
from marl_meta.wording import listed, one_line


def _whole(value: object) -> object:
    """Return the int that a whole float (2e6) means, and anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(value: object) -> object:
    """Return the text of a number (`name=7`), and anything else as it is."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Positive = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
NotNegative = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
WIDEST, DEEPEST, MOST_LATENTS, MOST_EXAMPLES, MOST_STEPS = 16_384, 64, 64, 100_000, 10_000
"""Beyond these nothing could be trained: widths of networks, their layers, latents of every kind of entity, examples of
past tasks, and inner steps. They keep a mistyped number, or a file of somebody else, from taking all memory or time."""
Width = Annotated[int, Field(ge=1, le=WIDEST), BeforeValidator(_whole)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Decay = Annotated[float, Field(gt=0.0, lt=1.0)]
Weight = Annotated[float, Field(ge=0.0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=120), BeforeValidator(_text)]


YOUNGER_KEYS: dict[tuple[str, ...], dict[str, Any]] = {
    ("game",): {"sides": {}},
    ("policy",): {"alike": False},
    ("meta", "gradient"): {"context_rate": None, "fit": "steps"},
}
"""Keys that older run folders do not have, by where they belong: with these values all is as it was without them."""
YOUNGER = ("league",)
"""Groups that a config.json need not have, for it may be of a run that was started before there were such: its run has
none."""


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )


class GameConfig(_Section):
    """Which game is played, under which rules, and how many at once."""

    family: Annotated[str, Field(min_length=1)]
    """Name of a family, path of a family.yaml, or `pettingzoo` for a third-party game."""
    split: Name | None
    """Split of the family whose variants are drawn; null plays `rules`."""
    rules: dict[str, Any]
    """Rules that differ from the family's defaults, the same in all games."""
    num_games: Positive
    """Games that run at once (B)."""
    episodes_per_trial: Positive
    """Episodes of one variant that are played in a row (K)."""
    entry_point: str | None
    """`package.module:callable` that makes the PettingZoo game, parallel or turn-based, for `pettingzoo` only."""
    kwargs: dict[str, Any]
    """Arguments of the entry point."""
    observation_schema: str | None = Field(alias="schema")
    """Name or YAML file of the schema that says what a third-party observation means; null keeps it as it is."""
    sides: dict[str, str]
    """Teams of a third-party game by pattern of agents' names ({player_0: red}); a team called * is an agent's own.
    Agents that no pattern fits form the team of their kind, or, where they move in turns, are each on its own."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        third_party = self.family == "pettingzoo"
        if third_party and self.entry_point is None:
            raise ValueError(
                "game=pettingzoo needs game.entry_point, such as mpe2.simple_spread_v3:parallel_env, which is not set"
            )
        named = self.entry_point is not None or self.observation_schema is not None
        if not third_party and (named or self.kwargs or self.sides):
            raise ValueError(
                "game.entry_point, game.kwargs, game.schema and game.sides are allowed with game=pettingzoo only, "
                f"not with {self.family!r}"
            )
        if self.split is not None and self.rules:
            raise ValueError("allowed is either game.split, which draws the rules, or game.rules, which fixes them")
        return self


class PolicyConfig(_Section):
    """The relational policy."""

    encoder: Literal["graph", "flat"]
    """graph: attention over entities; flat: a perceptron over all of them side by side, for games up to one size."""
    hidden: Width
    """Width of the network (H), a multiple of `heads`."""
    heads: Positive
    """Attention heads."""
    layers: Annotated[int, Field(ge=1, le=DEEPEST), BeforeValidator(_whole)]
    """Message-passing layers."""
    recurrent: Literal["gru", "none"]
    """Whether agents have a memory."""
    memory: Literal["heads", "query"]
    """Where memory enters: the heads, after attention, or the query of a second attention."""
    alike: bool
    """Whether kinds that differ only by their place in a hidden ordering are told apart by what is known alone."""
    critic: Literal["own", "central", "told"]
    """What the value head sees: the agent's own view, the whole game, or the agent's own view and the hidden rules."""
    path: Literal["auto", "dense", "sparse"]
    """Which of the two equal computations of a layer is used; auto takes dense for small graphs."""
    trial_inputs: bool
    """Whether the policy is told its previous action, reward and episode end."""
    clock: bool
    """Whether the policy is told how many steps of the trial have passed; then an end by time is an end, and nothing is
    expected beyond it."""

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"policy.hidden must be a multiple of policy.heads, not {self.hidden} with {self.heads}")
        return self


class AlgorithmConfig(_Section):
    """Proximal policy optimisation (Schulman et al. 2017)."""

    name: Literal["ppo"]
    """The algorithm."""
    gamma: Fraction
    """Discount per step."""
    gae_lambda: Fraction
    """Lambda of generalised advantage estimation."""
    clip: Annotated[float, Field(gt=0.0, lt=1.0)]
    """How far the probability ratio may move from 1."""
    epochs: Positive
    """Passes over each batch of experience."""
    minibatches: Positive
    """Parts that a batch is split into, along the games."""
    learning_rate: Annotated[float, Field(gt=0.0)]
    """Adam's step size at the start."""
    schedule: Literal["linear", "constant", "cosine"]
    """How the learning rate goes from its first to its final value over `train.steps`."""
    final_learning_rate: Weight
    """Adam's step size at the end; unused by a constant schedule."""
    entropy: Weight
    """Weight of the entropy bonus at the start."""
    entropy_final: Weight
    """Weight of the entropy bonus at the end, reached linearly."""
    value_weight: Weight
    """Weight of the value loss."""
    value_clip: Annotated[float, Field(gt=0.0)] | None
    """How far a value may move from its old estimate, in normalised units; null for no limit."""
    max_grad_norm: Annotated[float, Field(gt=0.0)] | None
    """Gradients are scaled down to this norm; null for no limit."""
    target_kl: Annotated[float, Field(gt=0.0)] | None
    """An update stops early when the policy has moved this far; null never stops."""
    normalise_value: bool
    """Whether value targets are scaled by their running mean and deviation."""
    normalise_advantage: bool
    """Whether advantages are scaled over each batch."""


class BeliefConfig(_Section):
    """How a learner infers hidden rules from what happens."""

    hidden: Width
    """Width of its networks."""
    memory: Width
    """Width of the memory for each kind of entity (D)."""
    events: Literal["contacts", "all"]
    """contacts: what is touched or displaced is evidence; all: every entity at every step."""
    read: Literal["head", "matching", "prototypes"]
    """How a belief is read: by a head, or from an episodic memory by matching or by prototypes."""
    examples: Annotated[int, Field(ge=1, le=MOST_EXAMPLES), BeforeValidator(_whole)]
    """Examples of past tasks that the episodic memory keeps of each rule."""
    learning_rate: Annotated[float, Field(gt=0.0)]
    """Adam's step size at the start; it falls to a tenth."""
    epochs: Positive
    """Passes over each batch of experience."""
    minibatches: Positive
    """Parts that a batch is split into, along the games."""
    latents: Annotated[int, Field(ge=1, le=MOST_LATENTS), BeforeValidator(_whole)]
    """Numbers of every kind of entity that are inferred in place of the rules, for varibad."""


class GradientConfig(_Section):
    """How a team adapts by gradient steps on what it lived through, and how that is learnt."""

    kind: Literal["steps", "latent", "finetune"]
    """steps: plain gradient steps; latent: steps in a latent that decodes to parameters; finetune: PPO with Adam."""
    adapt: Annotated[list[str], Field(min_length=1)]
    """What adapts: parts (all, policy_head, heads, edges, norms, context) or patterns of parameters' names."""
    context: Annotated[int, Field(ge=0, le=WIDEST), BeforeValidator(_whole)]
    """Features of the nodes of each kind of entity that are left to adaptation (part `context`)."""
    inner: Literal["policy", "prediction", "both"]
    """Loss of inner steps: the policy gradient's; that of predictions, which alone moves a context; both."""
    fit: Literal["steps", "exact"]
    """How predictions move a context: by gradient steps, or at once to the mean of its posterior, in closed form."""
    experience: Literal["episode", "trial"]
    """Steps on the last episode, going on; or on the whole trial, from the start."""
    window: Annotated[int, Field(ge=1, le=MOST_STEPS), BeforeValidator(_whole)]
    """Newest episodes of a trial that are kept for adapting."""
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS), BeforeValidator(_whole)]
    """Inner steps after each episode."""
    rate: Annotated[float, Field(gt=0.0)]
    """Size of the inner steps: of each adapted tensor a rate is learnt that starts here; for finetune, Adam's."""
    context_rate: Annotated[float, Field(gt=0.0)] | None
    """The same of a context, which starts at nothing and has farther to go than weights; null: as `rate`."""
    order: Literal["first", "second"]
    """Which derivatives of the inner loss the outer gradient takes into account."""
    outer: Literal["adapted", "reptile"]
    """adapted: improve what plays after adapting; reptile: move towards where adapting leads."""
    penalty: Weight
    """Weight of the divergence from the policies that played."""
    prediction_weight: Weight
    """Weight of the error of predictions after adapting, for an inner loss that predicts."""
    predictor: Width
    """Width of the network that predicts."""
    latent: Width
    """Width of the latent, for kind latent."""
    tuning: Annotated[int, Field(ge=0, le=MOST_STEPS), BeforeValidator(_whole)]
    """Steps on the decoded parameters themselves, for kind latent."""
    latent_noise: Weight
    """How much of the noise of latents, and of what they decode to, is drawn in training, for kind latent."""
    latent_kl: Weight
    """Weight of the code's divergence from N(0, 1), in training, for kind latent."""
    latent_penalty: Weight
    """Weight of how far inner steps lead away from the code, for kind latent."""
    orthogonality: Weight
    """Weight of how far the decoder's columns are from orthogonal, for kind latent."""


BY_GRADIENTS = ("maml", "anil", "partial", "reptile", "cavia", "leo")
"""Meta-learners that learn to adapt by gradients."""


class MetaConfig(_Section):
    """How the team comes to know the hidden rules of a variant."""

    name: Literal[
        "none", "rl2", "belief", "varibad", "episodic", "oracle",
        "maml", "anil", "partial", "reptile", "cavia", "leo", "finetune", "scratch",
    ]  # fmt: skip
    """none: it does not; rl2: recurrent memory over a trial; belief: it infers them; varibad: it infers what explains
    rewards and changes, though nobody knows the rules; episodic: it infers them from remembered tasks; oracle: it is
    told; maml, anil, partial, reptile, cavia, leo: it learns to adapt by gradients; finetune, scratch: gradients,
    without learning to."""
    tell: Literal["never", "first", "always"]
    """Whether hidden rules are told in training; first: in a share of the games that falls from all to `tell_share`."""
    tell_steps: Positive
    """Env-steps after which no more games would be told, for `first`."""
    tell_share: Fraction
    """Share of the games that are told to the end, for `first`: they teach what to do with what others find out."""
    curiosity: Weight
    """Reward for becoming certain of a hidden rule (less entropy of the belief); it falls to 0 over the run."""
    auxiliary: Weight
    """Weight of the loss of guessing the hidden rules from what the network sees and remembers, in training alone."""
    belief: BeliefConfig
    """How hidden rules are inferred, for belief."""
    gradient: GradientConfig
    """How it adapts by gradients, for those that do."""

    @property
    def by_gradients(self) -> bool:
        """Whether the team learns to adapt by gradients."""
        return self.name in BY_GRADIENTS


class ScheduleConfig(_Section):
    """How often each variant of the split is played: all alike, or by what is earned on it."""

    name: Literal["uniform", "progress", "regret"]
    """uniform: all alike; progress: by how returns change; regret: by how far they are from the best so far."""
    uniform_share: Fraction
    """Share of the trials whose variants are drawn uniformly all the same, for progress and regret."""
    fast_decay: Decay
    """Of the running average of a variant's returns that shows what is earned now, a trial."""
    slow_decay: Decay
    """Of the one that shows what was earned before, for progress; larger."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.slow_decay <= self.fast_decay:
            raise ValueError(
                f"schedule.slow_decay must be larger than schedule.fast_decay, not {self.slow_decay} with "
                f"{self.fast_decay}"
            )
        return self


class LeagueConfig(_Section):
    """Against whom the learners play some of their games: past selves, and players that stay as they are."""

    name: Literal["none", "uniform", "prioritised"]
    """none: nobody; uniform: all members of the league as often; prioritised: those who win against us more often."""
    share: Annotated[float, Field(gt=0.0, le=1.0)]
    """Share of the games that are played against members: the last of each thread's games, one at least."""
    opponents: Positive
    """Different members that play at a time, in each thread's share of the games."""
    every: Positive
    """Iterations between two snapshots of the learners."""
    rotate: Positive
    """Iterations after which opponents are drawn anew."""
    size: Annotated[int, Field(ge=2), BeforeValidator(_whole)]
    """Most snapshots that are members; beyond it they are thinned out, but for the first and the newest."""
    anchors: list[str]
    """Members from beginning to end: `random`, names of scripted players, folders of saved teams, zoo:NAME."""


class TeamConfig(_Section):
    """Who plays one team of the game. A team that is not named learns, with a learner of its own."""

    controller: Literal["learn", "frozen", "scripted", "random"] = "learn"
    """learn: trained here; frozen: a saved team; scripted: a hand-written player; random: uniform legal actions."""
    learner: Name | None = None
    """Teams with the same learner share its parameters; null means a learner called like the team."""
    team: str | None = None
    """Folder of a saved team, for controller `frozen`; for `learn`, the team to start from."""
    scripted: str | None = None
    """Name of the family's scripted player, for controller `scripted`."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        needs = {"frozen": "team", "scripted": "scripted"}.get(self.controller)
        takes = {"learn": ("learner", "team"), "frozen": ("team",), "scripted": ("scripted",)}.get(self.controller, ())
        if needs and getattr(self, needs) is None:
            raise ValueError(f"controller {self.controller!r} needs the key {needs!r} beside it")
        for key in ("learner", "team", "scripted"):
            if getattr(self, key) is not None and key not in takes:
                raise ValueError(f"controller {self.controller!r} takes {listed(takes)} beside it, not {key!r}")
        return self


class TrackingConfig(_Section):
    """Where metrics go besides the run folder."""

    wandb: Literal["auto", "online", "offline", "off"]
    """auto: online where a key is set and the host answers, else offline, else off."""
    project: Annotated[str, Field(min_length=1)]
    """W&B project."""
    group: str | None
    """W&B group: the experiment that this run belongs to."""


class TrainConfig(_Section):
    """How long, on what, and what is kept."""

    steps: Positive
    """Env-steps in total: one for each game at each step."""
    horizon: Positive
    """Steps of each game between two updates (T)."""
    checkpoint_iterations: NotNegative
    """A checkpoint after so many iterations; 0 for none by count."""
    checkpoint_seconds: Weight
    """A checkpoint after so many seconds; 0 for none by time."""
    keep: Positive
    """Newest checkpoints that are kept."""
    device: Literal["cpu", "cuda", "auto"]
    """Where the networks run."""
    threads: NotNegative
    """Shares of the games, each of which a core plays and learns from: in a process of its own in runs of 200,000
    env-steps or more without a league, else in a thread. 0 is as many as there are cores, with 16 games each at least,
    and 8 at most. A run's numbers depend on how many shares there are, and not on who works on them."""
    evaluate_every: NotNegative
    """An evaluation after so many iterations; 0 for none."""
    replays: NotNegative
    """Games recorded at each evaluation and at the end, to be watched with `marl-meta watch`; 0 for none."""


class Config(_Section):
    """One training run."""

    name: Name
    """Folder of the run in `runs_dir`."""
    seed: NotNegative
    """Everything random follows from it."""
    runs_dir: Annotated[Path, Field(strict=False)]
    """Where run folders lie."""
    game: GameConfig
    policy: PolicyConfig
    algorithm: AlgorithmConfig
    meta: MetaConfig
    schedule: ScheduleConfig
    league: LeagueConfig
    teams: dict[str, TeamConfig]
    """Who plays each team, by the name of the team."""
    tracking: TrackingConfig
    train: TrainConfig

    @property
    def run_dir(self) -> Path:
        """The run folder."""
        return self.runs_dir / self.name

    def to_json(self) -> str:
        """Return the text of a config.json: every value, indented."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = "config.json") -> Config:
        """Return the configuration that `to_json` wrote; `source` names the file in complaints (UserError)."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"{source} is not JSON: {one_line(error)}.") from error
        if isinstance(values, dict):
            for group in YOUNGER:
                values.setdefault(group, read_yaml(find("configs", f"{group}/none.yaml")))
            for path, usual in YOUNGER_KEYS.items():
                section: Any = values
                for key in path:
                    section = section.get(key) if isinstance(section, dict) else None
                if isinstance(section, dict):
                    section.update({**usual, **section})
        return validated(cls, values, f"{source}: ")
