"""Whether the gradient comes back, is not zero, and points the same way a little further on."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...findings import Finding
from ...report.words import amount, counted, several
from ..probe import Probe, input_gradients

ZEROS, LOST = 0.25, 0.1  # shares of samples whose gradient is exactly zero, and is lost to rounding
NEAR = (1 / 16, 1 / 4)  # of the radius: steps short enough for a gradient to say what they do
ASTRAY = 0.4  # share of the change that the gradient misses
FEW = 3  # samples that a median needs
FAINT = 0.05  # spread of the outputs below which a softmax hardly tells the classes apart


def no_gradient(probe: Probe) -> Iterator[Finding]:
    """Autograd does not come back to the input."""
    if not len(probe.rows) or probe.trace.grad is not None:
        return
    cuts = list(dict.fromkeys(map(str, probe.trace.cuts[-3:])))
    where = f"It is lost at {several(cuts)}." if cuts else "It is lost outside of what autograd sees."
    yield Finding(
        "no-gradient",
        f"The gradient of the outputs does not reach the input. {where}",
        "Attacks that follow the gradient cannot run; a robust accuracy measured without them says little.",
        "Let that operation be differentiable, or apply the remedy straight-through there (BPDA); else count on "
        "attacks that need no gradient.",
    )


def quantised(probe: Probe) -> Iterator[Finding]:
    """Layers of int8."""
    if probe.victim.because:
        yield Finding(
            "quantised",
            f"Of this model no gradient is to be had: {probe.victim.because}.",
            "Attacks by gradient were left out, and those that only ask are weaker: robust accuracy may be much lower than what they find.",
            "Evaluate the network of floats that it was made of too, and try on this one what fools that one (brittle.transfer).",
        )


def zero_gradient(probe: Probe) -> Iterator[Finding]:
    """A gradient that is exactly zero, though the loss has a slope at the outputs, and would be so in double precision too."""
    if not probe.differentiable:
        return
    zeros = dead(probe.slopes.margin)
    if float(zeros.double().mean()) < ZEROS or (rescued(probe) or 0) > 0.5:
        return
    places = [place for place, share in probe.trace.dead if share >= 0.5] or [place for place, _ in probe.trace.dead]
    where = f" It becomes zero at {several([str(p) for p in dict.fromkeys(places)])}." if places else ""
    yield Finding(
        "zero-gradient",
        f"At a random point of the region, the gradient of {int(zeros.sum())} of {counted(len(zeros), 'sample')} is "
        f"exactly zero.{where}",
        "An attack that follows the gradient stands still there, however far it might have gone.",
        "Apply the remedy straight-through at that operation (BPDA: a rounding as the identity, a step as a slope), "
        "or smoothed.",
    )


def underflow(probe: Probe) -> Iterator[Finding]:
    """Gradients lost to float32: of the cross-entropy where the margin has one, or of both where float64 has them; or outputs too small."""
    if not probe.differentiable:
        return
    here, there = dead(probe.slopes.cross_entropy), dead(probe.slopes.margin)
    lost, share = here & ~there, rescued(probe)
    ordered = probe.outputs.sort(1, descending=True).values
    scale, spread = float((ordered[:, 0] - ordered[:, 1]).median()), float((ordered[:, 0] - ordered[:, -1]).median())
    if float(lost.double().mean()) >= LOST:
        what = (
            f"The gradient of the cross-entropy is exactly zero for {int(lost.sum())} of "
            f"{counted(len(lost), 'sample')}, that of the margin "
            f"is not; half of the samples have a gap of at least {amount(scale)} between their best two outputs."
        )
    elif float(there.double().mean()) >= LOST and (share or 0) > 0.5:
        what = (
            f"The gradient of {int(there.sum())} of {counted(len(there), 'sample')} is exactly zero in float32, and "
            "in float64 it is not "
            f"for {share:.0%} of them."
        )
    elif spread < FAINT:
        what = f"In half of the samples all outputs lie within {spread:.2g} of each other, so to a softmax all classes are almost alike."
    else:
        return
    yield Finding(
        "underflow",
        what,
        "The outputs have a scale at which the cross-entropy is flat or blunt: attacks with that loss stand still "
        "or lose their way, and not "
        "because the model is robust.",
        "Apply the remedy rescale (logits divided by their scale) or double-precision, or attack with the losses margin or "
        "dlr.",
    )


def noisy_surface(probe: Probe) -> Iterator[Finding]:
    """Gradients that do not foretell what a short step does to the loss."""
    if not probe.comparable:
        return
    errors = foretold(probe, NEAR)
    if not errors or max(errors.values()) < ASTRAY:
        return
    near = max(errors, key=lambda near: errors[near])
    yield Finding(
        "noisy-surface",
        f"Over steps of {near:.0%} of the radius, the gradient misses {errors[near]:.0%} of what happens to the "
        "margin, in the median; on "
        "models with a smooth loss it misses less than a fifth.",
        "The gradient is that of a ripple or of a step on the loss, not of the way it rises over the whole region: "
        "an attack is led astray.",
        "Apply the remedy smoothed (gradients averaged over neighbours), and add attacks that need no gradient.",
    )


def optimisation_at_inference(probe: Probe) -> Iterator[Finding]:
    """A forward that differentiates something itself."""
    if not len(probe.rows) or not probe.trace.derives:
        return
    places = list(dict.fromkeys(map(str, probe.trace.derives)))
    yield Finding(
        "optimisation-at-inference",
        f"The forward itself calls autograd {counted(len(probe.trace.derives), 'time')}: {several(places)}.",
        "The model solves a problem of its own for each input. The gradient through its steps is long, noisy or not "
        "there, and what an "
        "attack with a fixed number of queries does to it says little.",
        "Apply the remedy straight-through to that module (as if it were the identity), and count on attacks that "
        "need no gradient.",
    )


def dead(grad: Tensor) -> Tensor:
    """(N,) bool: gradients (N, *P) that are exactly zero."""
    return (grad == 0).flatten(1).all(1).cpu()


def rescued(probe: Probe) -> float | None:
    """Of the samples whose margin has no gradient in the model's own type, the share that has one in float64.

    None where there are none, or where that cannot be tried.
    """
    zeros = dead(probe.slopes.margin)
    module = probe.victim.module
    if module is None or not bool(zeros.any()) or probe.victim.dtype == torch.float64:
        return None
    rows = zeros.nonzero().squeeze(1).to(probe.rows.device)
    finer = copy.deepcopy(module).double()
    victim, region, goal = (
        replace(probe.victim, forward=finer, module=finer),
        probe.region.select(rows),
        probe.goal.select(rows),
    )
    try:
        _, (grad,) = input_gradients(victim, region, goal, probe.points[rows].double(), ("margin",))
    except RuntimeError:  # a model that is not written for float64
        return None
    probe.spent.forwards, probe.spent.backwards = probe.spent.forwards + len(rows), probe.spent.backwards + len(rows)
    return float((~dead(grad)).double().mean())


def foretold(probe: Probe, nears: Sequence[float], pairs: int = 4) -> dict[float, float]:
    """By how much the gradient misses the change of the margin over random steps of each of `nears`, in radii; {} where few have gradients.

    |change - <grad, step>| / (|change| + |<grad, step>|), from 0 to 1: the median over the pairs, and of that over the samples. The steps
    of different lengths begin at the same points, so each costs 1 forward a pair, and each pair 1 forward and 1 backward beside.
    """
    region, errors = probe.region, {near: list[Tensor]() for near in nears}
    for _ in range(pairs):
        here = region.random(probe.streams)
        outputs, grad = probe.gradient(here)
        before = probe.goal.margin(outputs).double()
        for near, found in errors.items():
            there = region.project(here + near * (region.random(probe.streams) - region.origin))
            slope = (grad * (there - here)).flatten(1).sum(1).double()
            change = probe.goal.margin(probe.ask(region.render(there))).double() - before
            error = (change - slope).abs() / (change.abs() + slope.abs()).clamp_min(1e-300)
            found.append(torch.where(dead(grad).to(error.device), torch.nan, error))
    each = {near: torch.stack(found).nanmedian(0).values for near, found in errors.items()}
    known = {near: error[~error.isnan()] for near, error in each.items()}
    return {near: float(error.median()) for near, error in known.items() if len(error) >= FEW}
