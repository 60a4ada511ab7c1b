"""The binarization test: on a task of its own making, where every sample has an adversarial example, does the attack find it?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..attacks.parts.furthest import furthest
from ..core.goal import Classify
from ..core.problem import NormBall
from ..core.trial import attempt
from .probe import STEPS, Probe, plain_attack

INNER, SHRUNK = 100, 0.95  # points inside, and how far out of the radius they lie
CLOSE = 0.5  # where the threshold stands between the highest inner score and that of the point at the edge


def binarization(probe: Probe, ball: NormBall) -> tuple[int, int]:
    """(found, posed): of the samples for which a task could be made, how many the plain attack solves.

    Zimmermann et al. 2022, arXiv:2206.13991, section 3: on the frozen features before the last linear layer, a head is fitted that tells
    points inside 0.95 of the radius (class 0; the clean sample is one) from one point at its edge (class 1); an attack within the radius
    can reach class 1, for that point does. As there, the threshold lies in the gap between the two and the head is scaled to the model's
    own outputs: here the gap at the clean sample is the model's. Deviations: the head looks along the line from the mean of the inner
    features to that of the edge, not along that of an unpenalised logistic regression, which has the widest gap; fewer samples are
    told apart by it, and those whose edge scores no higher than all inner points are left out. 100 inner points, there 999 and more; that
    random search fails on the same task is not tried. What the model does after its last linear layer is not tested; without such a
    layer, its outputs
    are the features.
    """
    streams = probe.streams.fork(1)
    with _features(probe.victim.module) as caught:

        def features(x: Tensor) -> Tensor:
            caught.clear()
            outputs = probe.victim(x)
            return (caught[-1] if caught else outputs).flatten(1)

        inside = ball.within(SHRUNK * ball.radius)
        with torch.no_grad():
            edge = features(ball.render(furthest(ball, ball.random(streams) - ball.x)))
            clean = features(ball.render(ball.x))
            inner = torch.stack(
                [clean, *(features(inside.render(inside.random(streams))) for _ in range(INNER))]
            )  # (1 + INNER, K, D)
            probe.spent.forwards += (INNER + 2) * len(ball.x)
        weight, bias = _heads(inner, edge, clean, _gap(probe))
        posed = (weight != 0).any(1)

        def head(x: Tensor) -> Tensor:
            score = (features(x) * weight).sum(1) + bias
            return torch.stack([-score / 2, score / 2], 1)

        task = replace(probe.victim, forward=head)
        goal = Classify(torch.zeros(len(ball.x), dtype=torch.int64, device=ball.x.device))
        ids = probe.ids.to(ball.x.device)[probe.rows]
        trial = attempt(plain_attack(STEPS, stop=False), task, probe.threat, ball.render(ball.x), goal, ids, probe.seed)
    probe.spent.forwards += int(trial.forwards.sum())
    probe.spent.backwards += int(trial.backwards.sum())
    return int((trial.verdict.success & posed).sum()), int(posed.sum())


def _gap(probe: Probe) -> Tensor:
    """(K,) by how much the model prefers its class at the clean samples."""
    return -probe.goal.margin(probe.outputs[probe.rows])


def _heads(inner: Tensor, edge: Tensor, clean: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (K, D) and biases (K,) whose score is positive at `edge` (K, D) and nowhere in `inner` (N, K, D); zeros where none is."""
    weight = (edge - inner.mean(0)).double()
    highest, top = (inner.double() * weight).sum(2).amax(0), (edge.double() * weight).sum(1)
    threshold = highest + CLOSE * (top - highest)
    scale = gap.double() / (threshold - (clean.double() * weight).sum(1)).clamp_min(1e-300)
    scale = torch.where((top > highest) & scale.isfinite(), scale, 0)
    return (weight * scale[:, None]).to(inner.dtype), (-threshold * scale).to(inner.dtype)


@contextlib.contextmanager
def _features(module: nn.Module | None) -> Iterator[list[Tensor]]:
    """A list that what goes into linear layers is added to, in the order in which they run."""
    caught: list[Tensor] = []
    hooks = [
        part.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
        for part in (module.modules() if module is not None else ())
        if isinstance(part, nn.Linear)
    ]
    try:
        yield caught
    finally:
        for hook in hooks:
            hook.remove()
