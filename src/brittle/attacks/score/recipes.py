"""Named attacks as functions that return values; print one to see what it expands to."""

from __future__ import annotations

from .estimated_ascent import EstimatedAscent
from .estimators import Bandits, Sampled


def nes(
    queries: int = 10_000,
    pairs: int = 10,
    step_size: float | None = None,
    spread: float = 0.3,
    momentum: float = 0.5,
    loss: str = "margin",
) -> EstimatedAscent:
    """Natural evolution strategies: Gaussian directions, antithetic. Ilyas et al., ICML 2018, arXiv:1804.08598, algorithm 1."""
    return EstimatedAscent(
        gradient=Sampled(noise="gaussian", pairs=pairs),
        queries=queries,
        step_size=step_size,
        spread=spread,
        momentum=momentum,
        loss=loss,
    )


def spsa(
    queries: int = 10_000,
    pairs: int = 10,
    step_size: float | None = None,
    spread: float = 0.3,
    momentum: float = 0.5,
    loss: str = "margin",
) -> EstimatedAscent:
    """Simultaneous perturbation: all features up or down by a coin each. Uesato et al., ICML 2018, arXiv:1802.05666, algorithm 1."""
    return EstimatedAscent(
        gradient=Sampled(noise="signs", pairs=pairs),
        queries=queries,
        step_size=step_size,
        spread=spread,
        momentum=momentum,
        loss=loss,
    )


def finite_differences(
    queries: int = 10_000,
    pairs: int = 1,
    step_size: float | None = None,
    spread: float = 0.3,
    momentum: float = 0.5,
    loss: str = "margin",
) -> EstimatedAscent:
    """The symmetric difference quotient of random features, one a pair. After Chen et al., ZOO, 2017, arXiv:1708.03999, equation 6."""
    return EstimatedAscent(
        gradient=Sampled(noise="feature", pairs=pairs),
        queries=queries,
        step_size=step_size,
        spread=spread,
        momentum=momentum,
        loss=loss,
    )


def bandits(
    queries: int = 10_000,
    side: int | None = None,
    step_size: float | None = None,
    spread: float = 0.3,
    exploration: float = 1.0,
    loss: str = "margin",
) -> EstimatedAscent:
    """A prior over gradients that lasts, on a coarse grid. Ilyas et al., ICLR 2019, arXiv:1807.07978, algorithms 2 and 3."""
    prior = Bandits(exploration=exploration, side=side)
    return EstimatedAscent(gradient=prior, queries=queries, step_size=step_size, spread=spread, loss=loss)
