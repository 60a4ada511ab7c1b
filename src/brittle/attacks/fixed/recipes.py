"""Named attacks as functions that return values; print one to see what it expands to."""

from __future__ import annotations

from ...core.problem import Attack
from ..combine.restarts import restarted
from .gradient_ascent import GradientAscent
from .noise import Noise


def fgsm(loss: str = "cross_entropy") -> GradientAscent:
    """Fast gradient sign method: one step of length eps along the sign of the gradient; in other norms, along the dual direction.

    Goodfellow et al., ICLR 2015, arXiv:1412.6572, section 4. Targeted, it steps towards the target (Kurakin et al. 2017,
    arXiv:1611.01236, section 2). Cost: 1 forward + 1 backward.
    """
    return GradientAscent(steps=1, loss=loss)


def ifgsm(steps: int = 10, step_size: float | None = None, loss: str = "cross_entropy") -> GradientAscent:
    """Iterative FGSM, also called BIM: `steps` steps of eps / steps, which cannot leave the ball, or of the step given.

    Kurakin et al., ICLR 2017 workshop, arXiv:1607.02533, equation 2. Cost: 1 forward + 1 backward a step.
    """
    return GradientAscent(steps=steps, step_size=step_size, loss=loss)


def repeated_fgsm(steps: int = 100, step_size: float | None = None, loss: str = "cross_entropy") -> GradientAscent:
    """FGSM repeated until the goal is reached, and no further: with a target and `confidence` on the goal, until the model is that sure.

    The tutorials' "targeted FGSM until it says frog". Cost: at most 1 forward + 1 backward a step.
    """
    return GradientAscent(steps=steps, step_size=step_size, loss=loss, stop=True)


def pgd(
    steps: int = 40,
    step_size: float | None = None,
    loss: str = "cross_entropy",
    restarts: int = 1,
    draws: int = 1,
    stop: bool = True,
) -> Attack:
    """Projected gradient descent from a random start: steps of 2.5 eps / steps, keeping the best point, stopping where won.

    Madry et al., ICLR 2018, arXiv:1706.06083, section 2.1. Deviations: returns the best point rather than the last (never weaker), and a
    won sample stops, unless `stop` is false. Cost: at most 1 forward + 1 backward a step and draw, and 1 forward.
    """
    attack = GradientAscent(
        steps=steps, step_size=step_size, reach=2.5, start="random", loss=loss, draws=draws, keep="best", stop=stop
    )
    return restarted(attack, restarts)


def mifgsm(
    steps: int = 10, step_size: float | None = None, momentum: float = 1.0, loss: str = "cross_entropy"
) -> GradientAscent:
    """Momentum iterative FGSM. Dong et al., CVPR 2018, arXiv:1710.06081, algorithm 1. Cost: 1 forward + 1 backward a step."""
    return GradientAscent(steps=steps, step_size=step_size, momentum=momentum, loss=loss)


def nifgsm(
    steps: int = 10, step_size: float | None = None, momentum: float = 1.0, loss: str = "cross_entropy"
) -> GradientAscent:
    """Nesterov iterative FGSM. Lin et al., ICLR 2020, arXiv:1908.06281, equations 6-8. Cost: 1 forward + 1 backward a step."""
    return GradientAscent(steps=steps, step_size=step_size, momentum=momentum, nesterov=True, loss=loss)


def uniform_noise(draws: int = 1) -> Noise:
    """Uniform noise of the threat's size; of several draws the best. Cost: nothing for one draw, else 1 forward a draw."""
    return Noise(kind="uniform", draws=draws)


def gaussian_noise(draws: int = 1) -> Noise:
    """Gaussian noise scaled to the threat's size; of several draws the best. Cost: nothing for one draw, else 1 forward a draw."""
    return Noise(kind="gaussian", draws=draws)
