"""Checks that cost minutes: transfer from a surrogate, the indicators of attack failure, the binarization test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from scipy.stats import binomtest

from ...core.goal import Classify
from ...core.losses import find_loss
from ...core.problem import NormBall
from ...core.streams import Streams
from ...core.trial import attempt
from ...findings import Finding
from ...report.words import counted
from ..binary import binarization
from ..probe import STEPS, Probe, plain_attack
from ..surrogate import imitate
from .attacks import MISSED
from .evidence import more_than
from .gradients import dead

ENOUGH = 200  # samples to train a surrogate on
PASS, POSED = 0.95, 8  # of the binarization test, and the fewest tasks that say anything
WINDOW, MOVED = 10, 0.2  # last steps, and the share of the loss's whole rise that is too much for them
LIMITS = {
    "unavailable gradients": 0.25,
    "silent success": 0.1,
    "incomplete optimisation": 0.5,
    "unconstrained failure": 0.1,
}


def transfer(probe: Probe) -> Iterator[Finding]:
    """Examples of a plain network that imitates the model fool what PGD on the model itself does not."""
    x = probe.crowd[0]
    if not probe.comparable or not len(probe.left) or len(x) - len(probe.x) < ENOUGH:
        return
    x = x[len(probe.x) :]
    ids = torch.arange(len(probe.x), len(probe.x) + len(x), device=x.device)
    around = probe.threat.around(x, probe.victim.lower, probe.victim.upper)
    answers = torch.cat([probe.ask(part).argmax(1) for part in torch.split(x, 256)])
    surrogate = imitate(probe.victim, x, answers, probe.outputs.shape[1], around, Streams.seeded(probe.seed, ids))
    rows = probe.rows[probe.left.to(probe.rows.device)]
    goal = Classify(probe.labels.to(x.device)[rows])
    found = torch.zeros(len(rows), dtype=torch.bool, device=x.device)
    for loss in ("cross_entropy", "margin"):
        attack = plain_attack(STEPS, stop=False, loss=loss, start="clean", keep="last")
        trial = attempt(
            attack, surrogate, probe.threat, probe.inputs[rows], goal, probe.ids.to(x.device)[rows], probe.seed
        )
        found |= (goal.margin(probe.ask(trial.x_adv)) > 0) & trial.verdict.feasible
    if more_than(MISSED, int(found.sum()), len(probe.rows)):
        yield Finding(
            "transfer",
            f"Of {counted(len(found), 'sample')} that PGD with {STEPS} steps on the model did not fool, "
            f"{int(found.sum())} fall to examples made on a "
            f"small network that imitates it ({counted(len(x), 'answer')} seen).",
            "The model's own gradients should lead further than those of an imitation. Where they do not, they are "
            "masked, and the robust "
            "accuracy is too high.",
            "Attack with examples of surrogates too (as starts), and with attacks that need no gradient; look at "
            "the other findings.",
        )


def indicators(probe: Probe) -> Iterator[Finding]:
    """Signs in a run of PGD itself that it failed: Pintor et al., NeurIPS 2022, arXiv:2106.09947.

    Of the six, four: instability of predictions is what noisy-surface and random measure, and failure to transfer is about attacks made on
    another model. Each is raised where more samples show it than LIMITS allow beyond chance; the paper looks at one sample at a time.
    """
    if not probe.comparable:
        return
    shares = indicator_shares(probe)
    count = len(probe.rows)
    seen = [
        f"{name} ({share:.0%} of the samples)"
        for name, share in shares.items()
        if more_than(LIMITS[name], round(share * count), count)
    ]
    if seen:
        yield Finding(
            "attack-failure",
            f"PGD with {STEPS} steps on {counted(len(probe.rows), 'sample')} shows indicators of attack failure: "
            f"{', '.join(seen)}.",
            "The attack stopped for reasons of its own, not because there was nothing to find.",
            "Unavailable gradients: straight-through, rescale or another loss. Silent success: keep the best point. "
            "Incomplete optimisation: more "
            "steps or larger ones. Unconstrained failure: the attack does not fit the model; use attacks that need "
            "no gradient.",
        )


def indicator_shares(probe: Probe) -> dict[str, float]:
    """Shares of the correct samples on which each indicator is raised.

    unavailable gradients: the gradient of the attack's loss is exactly zero, here at a random point of the region, in the paper at the
    sample. silent success: a point on the way won, the returned one does not. incomplete optimisation: of what the highest loss so far
    rises in all, the last 10 steps bring over a fifth, and the sample is not fooled; the paper's limit of a twentieth, whether fooled or
    not, also marks runs of PGD on networks that it fools as far as any attack. unconstrained failure: not fooled with no limit but the
    input range; the paper has no limit at all.
    """
    climb, path = probe.climb, probe.climb.path
    found = {"unavailable gradients": _share(dead(probe.slopes.cross_entropy))}
    if path.numel():
        margins = torch.stack([probe.goal.margin(outputs) for outputs in path]).cpu()
        found["silent success"] = _share((margins > 0).any(0) & ~climb.success)
        loss = find_loss("cross_entropy")
        risen = torch.stack([loss(outputs, probe.goal) for outputs in path]).cummax(0).values.cpu()
        late = (risen[-1] - risen[-1 - WINDOW]) / (risen[-1] - risen[0]).clamp_min(1e-12)
        found["incomplete optimisation"] = _share((late > MOVED) & ~climb.success)
    found["unconstrained failure"] = _share(~probe.free)
    return found


def binary(probe: Probe) -> Iterator[Finding]:
    """The attack does not solve a task in which every sample has an adversarial example by construction."""
    if (
        not probe.comparable or probe.threat.name == "l1"
    ):  # in L1 the plain attack lets samples go, which the test cannot
        return
    found, posed = binarization(probe, cast(NormBall, probe.region))
    if posed >= POSED and found < PASS * posed and binomtest(found, posed, PASS, alternative="less").pvalue < 0.05:
        yield Finding(
            "binarization",
            f"In the binarization test PGD with {STEPS} steps finds {found} of {counted(posed, 'example')} that are "
            "there by construction.",
            f"An attack must find at least {PASS:.0%} of them (Zimmermann et al. 2022); what this one does not find "
            "on the model itself says little.",
            "Use a stronger attack, or one that fits the model (see the other findings), until the test is passed.",
        )


def _share(flags: torch.Tensor) -> float:
    return float(flags.double().mean()) if len(flags) else 0.0
