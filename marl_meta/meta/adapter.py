"""What a team that adapts by gradients has besides its policy: where it starts, how far it steps, what it predicts.

Its parameters and the policy's are one dict by name: the policy's as the policy has them, `kind_context`, and below
`predictor.`, `rate.` and `leo.` those of this module. `Body` computes with such a dict, whoever holds it: the learner
that takes a gradient through it, or the controller that plays.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from marl_meta.meta.finetune import descend, is_moment, with_moments
from marl_meta.meta.fitting import Normal, Prior, normal_equations
from marl_meta.meta.inner import Loss, Order, adapt, each_task
from marl_meta.meta.leo import Leo, LeoAdapted, LeoNoise, adapt_by_latent, draw_noise
from marl_meta.meta.lived import Lived
from marl_meta.meta.parameters import Parameters, select
from marl_meta.meta.plan import Plan
from marl_meta.meta.policies import KIND_CONTEXT, run_policy, run_with_kind_contexts, shell
from marl_meta.nets.events import EventReader
from marl_meta.nets.inputs import PolicyInputs
from marl_meta.nets.policy import PolicyOutput, RelationalPolicy
from marl_meta.nets.prediction import Prediction, Predictor, Slopes
from marl_meta.rl.losses import clipped_surrogate, entropy
from marl_meta.rl.surrogates import masked_mean
from marl_meta.types import UserError

VALUE_SCALE = "value_scale"
_OWN = ("predictor", "rate", "leo", VALUE_SCALE)


LOUD = 3.0
"""How much larger the policy reads a context than predictions do: few steps make it too small to be told apart."""


class Adapter(nn.Module):
    """The parameters of a plan, for policies that read `inputs`; their names are those of `Body`'s dict."""

    kind_context: Tensor | None
    """[kinds,W] where every game's context starts: 0, or what a team was adapted to. It is not learnt."""
    value_scale: Tensor
    """[2] centre and scale of the critic's units."""

    def __init__(
        self, plan: Plan, inputs: PolicyInputs, policy: RelationalPolicy, first_rate: float = 0.1,
        context_rate: float | None = None,
    ) -> None:  # fmt: skip
        """`first_rate` is the size that inner steps begin with, those of a context with `context_rate` where given."""
        super().__init__()
        if inputs.design.critic != "own":
            raise UserError("A team that adapts by gradients plays by what it sees: policy.critic must be own.")
        self.plan = plan
        kinds = inputs.design.kinds or inputs.layout.kinds
        width = inputs.known_width
        self.register_buffer("value_scale", torch.tensor([0.0, 1.0]))
        self.reader = EventReader(inputs.layout, kinds) if plan.predicts else None
        self.register_buffer("kind_context", torch.zeros(len(kinds), width) if width else None)
        if plan.predicts and not width:
            raise UserError("A team that adapts by predictions needs a context: meta.gradient.context must be above 0.")
        if plan.fit == "exact" and (plan.kind != "steps" or plan.inner == "policy"):
            raise UserError(
                "meta.gradient.fit=exact is of a context that predictions move: meta.gradient.kind must be steps and "
                "meta.gradient.inner prediction or both."
            )
        starts = {name: tuple(value.shape) for name, value in policy.named_parameters()}
        if self.kind_context is not None:
            starts[KIND_CONTEXT] = tuple(self.kind_context.shape)
        self.adapted = tuple(select(starts, plan.adapt))
        """Names of the parameters that each game has for itself."""
        if plan.fit == "exact" and KIND_CONTEXT not in self.adapted:
            raise UserError("meta.gradient.fit=exact is of a context, which meta.gradient.adapt does not name.")
        self.predictor = None
        if self.reader is not None and plan.inner != "policy":
            self.predictor = Predictor(self.reader, width, plan.predictor, displaces=plan.displaces)
        self.prior = Prior(inputs.knowledge, kinds, width) if plan.fit == "exact" else None
        self.leo = None
        if plan.kind == "latent":
            assert self.reader is not None
            sample = self.reader.slots * self.reader.width
            self.leo = Leo(sample, plan.latent, {name: starts[name] for name in self.adapted}, first_rate)
            everything = self.parameters_with(policy)
            self.leo.share({name: everything[name] for name in self.adapted})
        rates = dict.fromkeys(self.adapted, first_rate) | ({KIND_CONTEXT: context_rate} if context_rate else {})
        self.rate = nn.ParameterDict({_key(name): torch.tensor(math.log(rates[name])) for name in self.adapted})
        """Logarithms of the sizes of the inner steps."""

    def parameters_with(self, policy: nn.Module) -> Parameters:
        """Return all parameters, the policy's and these, by name."""
        start = {} if self.kind_context is None else {KIND_CONTEXT: self.kind_context}
        own = {**dict(self.named_parameters()), VALUE_SCALE: self.value_scale}
        return {**dict(policy.named_parameters()), **own, **start}

    def rates(self) -> dict[str, float]:
        """Return the size of the inner steps of each tensor that adapts, by name; of a latent, their mean."""
        if self.plan.kind == "finetune":
            return dict.fromkeys(self.adapted, self.plan.rate)
        own = {name: float(self.rate[_key(name)].detach().exp()) for name in self.adapted}
        if self.leo is None:
            return own
        return {"latent": float(self.leo.rate.detach().mean()), **(own if self.plan.tuning else {})}

    @property
    def slots(self) -> tuple[int, int]:
        """Sizes of what a diary keeps of events; (0, 0) where nobody reads them."""
        return (self.reader.slots, self.reader.width) if self.reader is not None else (0, 0)


class Body:
    """The functions of a policy and an adapter under any parameters. Each thread needs one of its own."""

    def __init__(self, policy: RelationalPolicy, adapter: Adapter) -> None:
        self.plan, self.adapted = adapter.plan, adapter.adapted
        self._policy, self._prior = shell(policy), adapter.prior
        self._predictor = _Apart(copy.deepcopy(adapter.predictor).to("meta")) if adapter.predictor is not None else None
        self._leo = _Apart(copy.deepcopy(adapter.leo).to("meta")) if adapter.leo is not None else None

    def split(self, everything: Parameters) -> tuple[Parameters, Parameters]:
        """Return the parameters that adapt, and the others."""
        moving = {name: everything[name] for name in self.adapted}
        return moving, {name: value for name, value in everything.items() if name not in moving}

    def begin(self, everything: Parameters) -> Parameters:
        """Return what one game has for itself when a trial begins."""
        start, _ = self.split(everything)
        return with_moments(start) if self.plan.kind == "finetune" else start

    def play(self, parameters: Parameters, graph: Any, state: Tensor, starts: Tensor, legal: Tensor) -> PolicyOutput:
        """Return what the policy does under the parameters of one task, see `run_policy`."""
        own = {
            name: value for name, value in parameters.items()
            if name.split(".")[0] not in _OWN and not is_moment(name)
        }  # fmt: skip
        if KIND_CONTEXT in own:
            own[KIND_CONTEXT] = own[KIND_CONTEXT] * LOUD
        return run_policy(self._policy, own, graph, state, starts, legal)

    def play_each(
        self, parameters: Parameters, fixed: Parameters, graph: Any, state: Tensor, starts: Tensor, legal: Tensor
    ) -> PolicyOutput:
        """Return what `play` does in each of M tasks, whose own `parameters` and other inputs have leading M."""
        tables = parameters.get(KIND_CONTEXT)
        if tables is not None and self.adapted == (KIND_CONTEXT,) and not tables.requires_grad:
            weights = {name: value for name, value in fixed.items() if name.split(".")[0] not in _OWN}
            return run_with_kind_contexts(self._policy, weights, tables * LOUD, graph, state, starts, legal)

        def of_task(own: Parameters, inputs: tuple[Any, Tensor, Tensor, Tensor]) -> PolicyOutput:
            return self.play(own, *inputs)

        output: PolicyOutput = each_task(of_task, parameters, fixed, (graph, state, starts, legal))
        return output

    def judge_each(self, parameters: Parameters, fixed: Parameters, lived: Lived) -> PolicyOutput:
        """Return what `judge` does of each of M tasks [M,L,R,...]."""
        tasks, steps, rows = lived.weight.shape
        state = lived.weight.new_zeros(tasks, rows, self._policy.initial_state(1).shape[-1])
        starts = (torch.arange(steps) == 0).view(1, -1, 1).expand(tasks, steps, rows)
        return self.play_each(parameters, fixed, lived.graph, state, starts, lived.action_mask)

    def judge(self, parameters: Parameters, lived: Lived) -> PolicyOutput:
        """Return what the policy does in one task's episodes [L,R,...], each from a fresh memory."""
        steps, rows = lived.weight.shape
        state = lived.weight.new_zeros(rows, self._policy.initial_state(1).shape[-1])
        starts = (torch.arange(steps) == 0).unsqueeze(-1).expand(steps, rows)
        return self.play(parameters, lived.graph, state, starts, lived.action_mask)

    def read(self, everything: Parameters, lived: Lived) -> Lived:
        """Return experience [...] with what predictions read of it: none of that depends on what adapts."""
        if self._predictor is None:
            return lived
        return replace(lived, happened=self._predicting(everything, lambda module: module.read(lived.events)))

    def predict(self, parameters: Parameters, lived: Lived) -> Prediction:
        """Return predictions [L,R] of what came of the steps of one task, that were `read`."""
        assert lived.known is not None
        table = parameters[KIND_CONTEXT] + lived.known / LOUD
        own = (self._who(table, lived).unsqueeze(-1) * table).sum(-2, keepdim=True)
        known = torch.cat([table, own], -2)
        found: Prediction = self._predicting(parameters, lambda module: module(lived.happened, known))
        return found

    @staticmethod
    def _who(table: Tensor, lived: Lived) -> Tensor:
        """Return which kind agents are [L,R,kinds]; zeros where nobody is."""
        return lived.graph.own[..., 1 : 1 + table.shape[-2]]

    def prediction_loss(self, parameters: Parameters, lived: Lived) -> Tensor:
        """Return the mean squared error [] of predicted rewards, of changes, and of displacements in all."""
        assert lived.happened is not None
        found, change = self.predict(parameters, lived), lived.happened.change
        error = (found.reward - lived.reward).square()
        if change.shape[-1]:
            error = error + (found.change - change).square().mean(-1)
        if self.plan.displaces:
            error = error + (found.displaced - lived.happened.displaced).square().sum(-1)
        return masked_mean(error, lived.there > 0)

    def _predicting(self, parameters: Parameters, function: Any) -> Any:
        assert self._predictor is not None
        weights = {f"module.{name}": value for name, value in _below(parameters, "predictor.").items()}
        return torch.func.functional_call(self._predictor, weights, (function,), strict=True)

    def policy_loss(self, parameters: Parameters, lived: Lived) -> Tensor:
        """Return minus the surrogate [] of the policy gradient.

        On experience of the very parameters it is LVC (Rothfuss et al. 2019), whose first and second derivatives are
        right; where they have moved since, ratios are clipped as by PPO.
        """
        log_probs = torch.log_softmax(self.judge(parameters, lived).logits, -1)
        log_prob = log_probs.gather(-1, lived.action.unsqueeze(-1)).squeeze(-1)
        return masked_mean(
            clipped_surrogate(log_prob, lived.log_prob, lived.advantage, self.plan.clip), lived.weight > 0
        )

    def ppo_loss(self, parameters: Parameters, lived: Lived) -> Tensor:
        """Return the loss [] of one task that fine-tuning goes down: that of PPO, entropy bonus included."""
        output = self.judge(parameters, lived)
        log_probs = torch.log_softmax(output.logits, -1)
        log_prob = log_probs.gather(-1, lived.action.unsqueeze(-1)).squeeze(-1)
        centre, scale = parameters[VALUE_SCALE].unbind()
        error = output.value - (lived.target - centre) / scale
        loss = (
            clipped_surrogate(log_prob, lived.log_prob, lived.advantage, self.plan.clip)
            + 0.5 * self.plan.value_weight * error.square()
            - self.plan.entropy * entropy(log_probs)
        )
        return masked_mean(loss, lived.weight > 0)

    def inner_loss(self, parameters: Parameters, lived: Lived) -> Tensor:
        """Return the loss [] of one task that adapting goes down."""
        match self.plan.inner:
            case "policy":
                return self.policy_loss(parameters, lived)
            case "prediction":
                return self.prediction_loss(parameters, lived)
            case "both":
                return self.policy_loss(_with_context_kept(parameters), lived) + self.prediction_loss(parameters, lived)

    def after(self, everything: Parameters, now: Parameters, lived: Lived, order: Order) -> Parameters:
        """Return the parameters that M games have for themselves after an episode, of those they had [M,...].

        `lived` has rows side by side [M,L,R,...] and was `read`: that episode or the trial so far, as the plan says.
        """
        start, fixed = self.split(everything)
        loss: Loss = self.inner_loss
        if self.plan.kind == "latent":
            return self.by_latent(everything, lived, order).parameters
        if self.plan.kind == "finetune":
            return descend(
                self.ppo_loss, now, fixed, lived,
                steps=self.plan.steps, rate=self.plan.rate, max_norm=self.plan.max_norm,
            )  # fmt: skip
        tasks = len(lived.weight)
        if self.plan.experience == "trial":
            now = {name: value.expand(tasks, *value.shape) for name, value in start.items()}
        rates = {name: everything[f"rate.{_key(name)}"].exp() for name in now}
        if self.plan.fit == "exact":
            now = {**now, KIND_CONTEXT: self._fitted(now, fixed, lived, rates[KIND_CONTEXT], order)}
            if len(now) == 1:
                return now
            loss, rates[KIND_CONTEXT] = self._of_weights, torch.zeros(())
        return adapt(loss, now, [lived] * self.plan.steps, rates=rates, fixed=fixed, order=order)

    def _fitted(self, now: Parameters, fixed: Parameters, lived: Lived, rate: Tensor, order: Order) -> Tensor:
        """Return the contexts [M,kinds,W] that explain best what M tasks lived through, from those of `now`.

        The larger `rate` is, the farther they go: it is one over the variance of what predictions leave open.
        """
        assert self._prior is not None
        assert lived.known is not None

        def of_task(own: Parameters, its: Lived) -> Normal:
            found = self.predict(own, its)
            slopes: Slopes = self._predicting(own, lambda module: module.slopes(its.happened))
            return normal_equations(found, slopes, its, self._who(own[KIND_CONTEXT], its))

        context = now[KIND_CONTEXT]
        with torch.set_grad_enabled(torch.is_grad_enabled() and order == "second"):
            equations: Normal = each_task(of_task, {KIND_CONTEXT: context}, fixed, lived)
            carried = (LOUD * context + lived.known[:, 0, 0]).flatten(1)
            moved = self._prior.solved(equations, carried, LOUD, 1.0 / rate).view(context.shape)
        return context + moved

    def _of_weights(self, parameters: Parameters, lived: Lived) -> Tensor:
        """Return what is left to go down where a context has been fitted."""
        return self.policy_loss(_with_context_kept(parameters), lived)

    def by_latent(
        self, everything: Parameters, lived: Lived, order: Order, noise: LeoNoise | None = None
    ) -> LeoAdapted:
        """Return what adapting through the latent comes to; without `noise` by the means.

        A sample is a step, as the mean over the rows of what happened: pairs of samples are many.
        """
        assert self._leo is not None
        assert lived.events is not None
        start, fixed = self.split(everything)
        count = lived.there.sum(-1)
        samples = (lived.events * lived.there[..., None, None]).sum(2) / count.clamp(min=1.0)[..., None, None]
        samples, taken = samples.flatten(-2), count > 0
        tuned = {name: everything[f"rate.{_key(name)}"].exp() for name in start}

        def adapted(leo: Leo) -> LeoAdapted:
            code = leo.encode(samples, taken)
            return adapt_by_latent(
                leo, self.inner_loss, code, [lived] * self.plan.steps, [lived] * self.plan.tuning,
                noise=noise or draw_noise(leo, len(samples)), tuning_rates=tuned, fixed=fixed, order=order,
            )  # fmt: skip

        weights = {f"module.{name}": value for name, value in _below(everything, "leo.").items()}
        found: LeoAdapted = torch.func.functional_call(self._leo, weights, (adapted,))
        return found


class _Apart(nn.Module):
    """A module to be called by a function of it, so that `functional_call` lends it other parameters meanwhile."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, function: Any) -> Any:
        return function(self.module)


def _with_context_kept(parameters: Parameters) -> Parameters:
    """Return parameters whose context no gradient moves.

    A context is for predictions to move: the policy's gradient over an episode is so much noisier that it drowns them.
    """
    if KIND_CONTEXT not in parameters:
        return parameters
    return {**parameters, KIND_CONTEXT: parameters[KIND_CONTEXT].detach()}


def _below(parameters: Parameters, prefix: str) -> Parameters:
    return {name.removeprefix(prefix): value for name, value in parameters.items() if name.startswith(prefix)}


def _key(name: str) -> str:
    """Return a parameter's name as torch lets a dict of parameters have it."""
    return name.replace(".", "/")
