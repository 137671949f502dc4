"""How a team adapts by gradients: plain values, as `team.json` holds them and a config sets them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from marl_meta.config.sections import MOST_STEPS, Width
from marl_meta.types import UserError

Inner = Literal["policy", "prediction", "both"]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Above = Annotated[float, Field(gt=0.0)]
Steps = Annotated[int, Field(ge=1, le=MOST_STEPS)]


class Plan(BaseModel):
    """How parameters of a game follow from experience of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["steps", "latent", "finetune"]
    """steps: gradient steps; latent: steps in a latent that decodes to parameters (LEO); finetune: PPO with Adam."""
    adapt: tuple[str, ...] = Field(min_length=1)
    """Parts or patterns of names of the parameters that adapt (`meta.parameters.PARTS`)."""
    inner: Inner
    """policy: steps along the policy gradient; prediction: of rewards, own changes and displacements; both: the sum, of
    which predictions alone move a context."""
    fit: Literal["steps", "exact"] = "steps"
    """How predictions move a context: by gradient steps, or to the mean of its posterior (`meta.fitting`)."""
    experience: Literal["episode", "trial"]
    """After each episode steps on it from where the last ended, or steps on the whole trial from the start."""
    steps: Steps
    """Steps after each episode."""
    gamma: Unit
    """Discount per step."""
    gae_lambda: Unit
    """Lambda of generalised advantage estimation."""
    clip: Above = 0.2
    """How far a probability ratio counts that has moved from 1 since the experience was made."""
    window: Steps
    """At most so many episodes of the trial are kept."""
    predictor: Width = 32
    """Width of what predicts."""
    displaces: bool = False
    """Whether it also predicts what is displaced; teams of earlier versions do not."""
    rate: Above = 1e-3
    """Adam's step size, for finetune."""
    max_norm: Above = 0.5
    """Each game's gradient is scaled down to this norm, for finetune."""
    value_weight: float = Field(default=0.5, ge=0.0)
    """Weight of the value loss, for finetune."""
    entropy: float = Field(default=0.0, ge=0.0)
    """Weight of the entropy bonus, for finetune."""
    latent: Width = 16
    """Width of the latent."""
    tuning: Annotated[int, Field(ge=0, le=MOST_STEPS)] = 0
    """Steps on the decoded parameters themselves after those in the latent."""

    @property
    def reads(self) -> int:
        """How many of the newest episodes each adaptation reads, at most."""
        return 1 if self.experience == "episode" else self.window

    @property
    def updates(self) -> int:
        """How many times parameters move after each episode."""
        if self.fit == "exact":
            return 1 if self.inner == "prediction" else 1 + self.steps
        return self.steps + self.tuning

    @property
    def predicts(self) -> bool:
        """Whether anything of it reads what happened: predictions, or the code of a latent."""
        return self.inner != "policy" or self.kind == "latent"


def read_plan(values: Any, where: str) -> Plan:
    """Return the plan that plain values describe; `where` names them in complaints (UserError)."""
    try:
        return Plan.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{where} does not say how the team adapts: {key}: {first['msg']}.") from None
