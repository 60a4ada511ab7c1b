"""Named attacks as functions that return values; print one to see what it expands to."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ...core.problem import Attack
from ...errors import InputError
from ..combine.by_norm import ByNorm
from ..combine.each_target import each_target
from ..combine.output_diversified import OutputDiversified
from ..combine.restarts import restarted
from ..directions import Direction
from .apgd import APGD
from .apgd_l1 import SparseAPGD
from .conjugate_gradient import ConjugateGradient
from .gama import GAMA
from .gradient_ascent import GradientAscent
from .input_optimisation import InputOptimisation
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
    """FGSM repeated until the goal is reached: with a target and `confidence` on the goal, until the model is that sure.

    The tutorials' "targeted FGSM until it says frog"; looked at after steps 1, 2, 3, 4, 6, 8, 12, 16 and so on.
    Cost: at most 1 forward + 1 backward a step.
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


def pgd_cd(steps: int = 1000, step_size: float | None = None, loss: str = "cross_entropy") -> GradientAscent:
    """PGD with cycle detection: many steps of radius / 4, of which a sample that runs in circles takes only the first round.

    Doldo et al., CVPR 2025, arXiv:2503.19347, algorithm 1. Gives what PGD with as many steps would, for a fraction of them. A Linf method:
    elsewhere points rarely come back. Cost: at most 1 forward + 1 backward a step, and 1 forward.
    """
    return GradientAscent(
        steps=steps,
        step_size=step_size,
        reach=steps / 4,
        start="random",
        loss=loss,
        keep="best",
        stop=True,
        cycles=True,
    )


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


def compose(attack: Attack, *directions: Direction) -> GradientAscent:
    """The attack with directions added to it: `compose(mifgsm(), DiverseInputs(), TranslationInvariant())`.

    InputError unless it is one gradient ascent that keeps its last point, such as ifgsm, mifgsm or nifgsm.
    """
    if not isinstance(attack, GradientAscent):
        raise InputError(
            f"directions cannot be added to a {type(attack).__name__}; add them to ifgsm, mifgsm or nifgsm"
        )
    return replace(attack, directions=(*attack.directions, *directions))


def eotpgd(
    steps: int = 40, draws: int = 10, step_size: float | None = None, loss: str = "cross_entropy", restarts: int = 1
) -> Attack:
    """PGD on gradients averaged over `draws` answers a step, for victims that answer at random.

    Expectation over transformation: Athalye et al., ICML 2018, arXiv:1707.07397, and on defences arXiv:1802.00420. Cost: as pgd.
    """
    return pgd(steps, step_size, loss, restarts, draws)


def apgd(steps: int = 100, restarts: int = 1, loss: str = "cross_entropy", draws: int = 1) -> Attack:
    """Auto-PGD: momentum, and a step that halves itself at checkpoints; under l1 its sparse version, begun in larger balls.

    Croce and Hein, ICML 2020, arXiv:2003.01690, and for l1 ICML 2021, arXiv:2103.01208. With the loss dlr, APGD-DLR. Cost: at most 1
    forward + 1 backward a step and draw, and 1 forward.
    """
    sparse = SparseAPGD(steps=steps, loss=loss, draws=draws)
    return restarted(ByNorm(APGD(steps=steps, loss=loss, draws=draws), l1=sparse), restarts)


def apgdt(steps: int = 100, targets: int = 9, restarts: int = 1, loss: str = "dlr_or_margin", draws: int = 1) -> Attack:
    """APGD-T: Auto-PGD steered to each of the likeliest other classes in turn, with the targeted DLR loss.

    Croce and Hein, ICML 2020, arXiv:2003.01690, section 5.1. Deviation: with fewer than 4 classes, where that loss is not defined, the
    margin. Cost: at most that of apgd for each class, and 1 forward.
    """
    return each_target(apgd(steps, restarts, loss, draws), targets)


def pma(steps: int = 100, restarts: int = 1, draws: int = 1) -> Attack:
    """Probability margin attack: the margin between the softmax probabilities, ascended as by APGD.

    Xie et al., CVPR 2025, arXiv:2411.15210. Deviation: APGD's steps in place of the paper's own schedule. Cost: that of apgd.
    """
    return apgd(steps, restarts, "probability_margin", draws)


def mtpgd(
    steps: int = 40, targets: int = 9, restarts: int = 1, step_size: float | None = None, loss: str = "margin"
) -> Attack:
    """MultiTargeted PGD: from random starts, raise z_t - z_y for each of the likeliest other classes t in turn.

    Gowal et al. 2019, arXiv:1910.09338, algorithm 1. Deviation: plain steps, as in pgd, where the paper prefers Adam. Cost: at most that of
    pgd for each class, and 1 forward.
    """
    return each_target(pgd(steps, step_size, loss, restarts), targets)


def odi_pgd(
    steps: int = 20,
    restarts: int = 5,
    loss: str = "margin",
    step_size: float | None = None,
    diversity: int = 2,
) -> Attack:
    """PGD with the margin loss from output-diversified starts, of `diversity` steps each.

    Tashiro et al., NeurIPS 2020, arXiv:2003.06878, section 4.1; the paper restarts 20 times. Cost: at most restarts times 1 forward + 1
    backward a step of both kinds, and 2 forwards.
    """
    attack = GradientAscent(
        steps=steps, step_size=step_size, reach=5.0, start="random", loss=loss, keep="best", stop=True
    )
    return restarted(OutputDiversified(attack, diversity), restarts)


def acg(steps: int = 100, restarts: int = 1, loss: str = "margin") -> Attack:
    """Auto conjugate gradient: APGD's halving steps along conjugate gradients; from x, or with restarts from random points.

    Yamamura et al., ICML 2022, arXiv:2206.09628. Cost: at most 1 forward + 1 backward a step, and 1 forward.
    """
    start: Literal["clean", "random"] = "clean" if restarts == 1 else "random"
    return restarted(ConjugateGradient(steps=steps, loss=loss, start=start), restarts)


def reacg(steps: int = 100, restarts: int = 1, loss: str = "margin") -> Attack:
    """Rescaling auto conjugate gradient: ACG whose beta is kept from growing, with longer steps for longer.

    Yamamura et al., ICPRAI 2024. Cost: that of acg.
    """
    start: Literal["clean", "random"] = "clean" if restarts == 1 else "random"
    return restarted(ConjugateGradient(steps=steps, loss=loss, rescaled=True, start=start), restarts)


def gama_pgd(steps: int = 100, restarts: int = 1, relaxation: float = 50.0) -> Attack:
    """Guided adversarial margin attack: the margin of the probabilities, pushed away from the clean ones at first.

    Sriramanan et al., NeurIPS 2020, arXiv:2011.14969. Cost: at most 1 forward + 1 backward a step, and 2 forwards.
    """
    return restarted(GAMA(steps=steps, relaxation=relaxation), restarts)


def stadv(
    steps: int = 200, step_size: float = 0.02, smoothness: float = 0.05, loss: str = "margin"
) -> InputOptimisation:
    """Spatially transformed adversarial examples: a smooth flow of the pixels, under the threat `flow`, until the goal is reached.

    Xiao et al., ICLR 2018, arXiv:1801.02612, equations 2-4. Deviations: Adam in place of L-BFGS, and the flow's squared differences in
    place of their square roots, which have no derivative where the flow is constant, as it is at the start. step_size in pixels.
    Cost: at most 1 forward + 1 backward a step.
    """
    return InputOptimisation(steps=steps, step_size=step_size, loss=loss, total_variation=smoothness, stop=True)


def uniform_noise(draws: int = 1, fill: bool = False) -> Noise:
    """Uniform noise of the threat's size; of several draws the best. Cost: nothing for one draw, else 1 forward a draw."""
    return Noise(kind="uniform", draws=draws, fill=fill)


def gaussian_noise(draws: int = 1, fill: bool = False) -> Noise:
    """Gaussian noise scaled to the threat's size; of several draws the best. Cost: nothing for one draw, else 1 forward a draw."""
    return Noise(kind="gaussian", draws=draws, fill=fill)
