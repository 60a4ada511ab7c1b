"""Rejection, where all outputs are equal, as one class more: an attack can walk out of it, and is no longer drawn into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...core.goal import Classify
from ...core.victim import Victim
from ...errors import InputError
from ..parts.options import positive
from .operations import CASTS, COMPARISONS, NOT, Operation, name_of

BELOW = 1e-4  # of the largest output: so far at least does the one for "rejected" lie below the largest where it must not win
BOTH, EITHER = {"and", "logical_and", "bitwise_and"}, {"or", "logical_or", "bitwise_or"}
ANY = {"any", "all"}
SHAPES = {"view", "reshape", "view_as", "unsqueeze", "squeeze", "expand", "expand_as", "flatten", "getitem"}
SAME = CASTS | {"contiguous", "clone", "detach"}
PRODUCTS = {"mul", "rmul", "multiply", "imul"}
CHOICES = {"where", "masked_fill", "setitem"} | PRODUCTS
IN_PLACE = {"masked_fill_", "setitem", "mul_", "multiply_", "imul"}


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """One output more, for "rejected", of a victim that makes all its outputs equal where a condition holds.

    The others are what they would be without that condition. The new one, max_j z_j + weight * (how far the condition is from flipping), is
    the largest exactly where the victim rejects: Carlini and Wagner, AISec 2017, arXiv:1705.07263, who write (D + 1) max_j z_j for a
    detector D; deviation: a sum, which is right for negative outputs too. At a door, `lost` makes the label's output of it, so that every
    goal reads "won, and not rejected" and no attack knows of it. The condition is found by watching torch: comparisons, also joined,
    negated, cast or reshaped, by which outputs are chosen (`where`, `masked_fill`), multiplied or overwritten. InputError where none of
    them makes the outputs equal, as in a rejection that Python decides. weight: outputs for one unit of the difference that is compared;
    `measured` finds one.
    """

    weight: float = 1.0

    paper: ClassVar[str] = "Carlini and Wagner 2017, arXiv:1705.07263"

    def __post_init__(self) -> None:
        positive(self, "weight")

    @classmethod
    def measured(cls, victim: Victim, x: Tensor) -> Rejection:
        """The weight by which the condition counts as much as the outputs spread, at the median of x (B, *S); 1 forward, uncharged."""
        with torch.no_grad():
            outputs, excess, _ = _unrejected(victim, x)
        ratio = outputs.std(1, correction=0) / excess.abs().clamp_min(torch.finfo(excess.dtype).tiny)
        weight = float(f"{float(ratio.median()):.2g}")
        if not 0 < weight < float("inf"):
            raise InputError(f"the outputs spread {weight:g} times as far as the condition; give a weight")
        return cls(weight=weight)

    def __call__(self, victim: Victim) -> Victim:
        def forward(x: Tensor) -> Tensor:
            outputs, excess, rejected = _unrejected(victim, x)
            above = self.weight * excess
            below = above.minimum(-BELOW * outputs.detach().abs().amax(1))
            last = outputs.amax(1) + torch.where(rejected, above, below)
            return torch.cat([outputs, last[:, None]], dim=1)

        return replace(victim, forward=forward)


def lost(outputs: Tensor, losing: Tensor) -> Tensor:
    """(B, C): of outputs (B, C + 1) those of the classes; where the last is the largest, it takes the place of class `losing` (B,)."""
    outputs, last = outputs[:, :-1], outputs[:, -1:]
    rejected = last >= outputs.amax(1, keepdim=True)
    return torch.where(rejected, outputs.scatter(1, losing[:, None], last), outputs)


def losing(goal: Classify) -> Tensor:
    """(B,): the class whose win is no win of the goal: the label, or another where the label is the target."""
    if goal.targets is None:
        return goal.labels
    return torch.where(goal.labels == goal.targets, (goal.targets == 0).long(), goal.labels)


def _unrejected(victim: Victim, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (B, C) as if nothing were rejected, how far each sample is beyond the condition (B,), whether it is rejected (B,) bool."""
    watch = _Watch()
    with watch:
        outputs = victim(x)
    conditions = []
    while (choice := watch.made(outputs)) is not None:
        outputs = choice.kept
        conditions.append(choice.condition)
    if not conditions:
        raise InputError(
            "no condition makes all outputs of a sample equal, so there is no rejection to attack; leave it out"
        )
    met = conditions[0]
    for other in conditions[1:]:
        met = met.joined(other, either=True)
    return outputs, met.excess, met.holds


@dataclass(frozen=True, eq=False)
class _Condition:
    """Truth values, and numbers of the same shape that are positive where they are true and negative where not."""

    holds: Tensor
    excess: Tensor

    def negated(self) -> _Condition:
        return _Condition(~self.holds, -self.excess)

    def joined(self, other: _Condition, either: bool) -> _Condition:
        if either:
            return _Condition(self.holds | other.holds, torch.maximum(self.excess, other.excess))
        return _Condition(self.holds & other.holds, torch.minimum(self.excess, other.excess))

    def reshaped(self, change: Callable[[Tensor], Tensor]) -> _Condition:
        return _Condition(change(self.holds), change(self.excess))

    def by_sample(self, outputs: Tensor) -> _Condition | None:
        """(B,), or None where it is not the same for all outputs (B, C) of a sample."""
        wide = self.reshaped(lambda values: values.expand_as(outputs))
        same = bool((wide.excess == wide.excess[:, :1]).all())
        return wide.reshaped(lambda values: values[:, 0]) if same else None


@dataclass(frozen=True, eq=False)
class _Choice:
    """`result` (B, C) is `kept` where the condition does not hold, and equal for all classes where it does."""

    result: Tensor
    kept: Tensor
    condition: _Condition


class _Watch(TorchFunctionMode):
    """Keeps comparisons, what is made of them, and what is chosen by them. Tensors are kept too, so that no id is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conditions: dict[int, tuple[Tensor, _Condition]] = {}
        self.choices: list[_Choice] = []

    def made(self, outputs: Tensor) -> _Choice | None:
        """The last choice that gave these outputs."""
        for choice in reversed(self.choices):
            result = choice.result
            if result is outputs or (result.shape == outputs.shape and torch.equal(result, outputs)):
                self.choices.remove(choice)
                condition = choice.condition.by_sample(outputs)
                return None if condition is None else replace(choice, condition=condition)
        return None

    def __torch_function__(
        self, func: Operation, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, full = kwargs or {}, name_of(func)
        name = full.rstrip("_")
        known = [self.conditions[id(arg)][1] for arg in args[:3] if id(arg) in self.conditions]
        if full in COMPARISONS and len(args) == 2 and isinstance(args[0], Tensor):
            result = func(*args, **kwargs)
            if torch.result_type(*args).is_floating_point:
                self._keep(result, _Condition(result, COMPARISONS[full] * (args[0] - args[1])))
            return result
        if not known:
            return func(*args, **kwargs)
        if name in CHOICES and len(known) == 1:
            return self._chosen(func, full, args, kwargs, known[0])
        met = _derived(func, full, args, kwargs, known)
        result = func(*args, **kwargs)
        self.conditions.pop(id(result), None)  # changed in place
        if met is not None:
            self._keep(result, met)
        return result

    def _keep(self, result: Tensor, condition: _Condition) -> None:
        self.conditions[id(result)] = (result, condition)

    def _chosen(
        self, func: Operation, full: str, args: tuple[Any, ...], kwargs: dict[str, Any], condition: _Condition
    ) -> Any:
        """One of two values by a condition: where one of them is equal for all classes, that is a rejection."""
        rest = [arg for arg in (*args, *kwargs.values()) if id(arg) not in self.conditions]
        if full in IN_PLACE:
            rest = [arg.clone() if arg is args[0] else arg for arg in rest]
            self.conditions.pop(id(args[0]), None)
        name = full.rstrip("_")
        if name in PRODUCTS:
            rest.append(0.0)
        result = func(*args, **kwargs)
        if name == "setitem" and condition.holds.ndim == 1:
            condition = condition.reshaped(lambda values: values[:, None])
        made = args[0] if name == "setitem" else result
        if len(rest) == 2 and isinstance(made, Tensor) and made.ndim == 2 and made.is_floating_point():
            yes, no = rest if name not in ("masked_fill", "setitem") else reversed(rest)
            if _level(yes) and isinstance(no, Tensor):
                self.choices.append(_Choice(made, no, condition))
            elif _level(no) and isinstance(yes, Tensor):
                self.choices.append(_Choice(made, yes, condition.negated()))
        return result


def _derived(
    func: Operation, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], known: list[_Condition]
) -> _Condition | None:
    """What an operation makes of conditions; None where it is no condition any more."""
    if len(known) == 2 and name in BOTH | EITHER | PRODUCTS:
        return known[0].joined(known[1], name in EITHER)
    if name in SHAPES:
        return known[0].reshaped(lambda values: func(values, *args[1:], **kwargs))
    if name in NOT or (name == "rsub" and args[1:] == (1,)):
        return known[0].negated()
    if name in ANY and (len(args) > 1 or kwargs):
        extreme = known[0].excess.amax if name == "any" else known[0].excess.amin
        return _Condition(func(known[0].holds, *args[1:], **kwargs), extreme(*args[1:], **kwargs))
    return known[0] if name in SAME else None


def _level(value: Any) -> bool:
    """Whether all classes have the same output."""
    return not isinstance(value, Tensor) or value.ndim == 0 or bool((value == value[..., :1]).all())
