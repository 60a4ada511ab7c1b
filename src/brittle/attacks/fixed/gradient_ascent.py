"""The one gradient loop. FGSM, I-FGSM, PGD, MI-FGSM and NI-FGSM are settings of it: see recipes.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ...core.access import Access
from ...core.goal import Goal
from ...core.incumbent import Incumbent
from ...core.losses import Loss, find_loss, find_slope
from ...core.problem import Problem
from ...errors import InputError
from ...kernels.sampling import mix
from ...kernels.shapes import wide
from ..directions.role import Direction, Gradient, Scene, bent
from ..parts.options import at_least, one_of, positive


@dataclass(frozen=True, kw_only=True)
class GradientAscent:
    """Repeat: step where the loss rises most in the threat's norm, project back onto region and box.

    x_{t+1} = project(x_t + step * ascend(g_t)), g_t the gradient of the loss at x_t (Madry et al., ICLR 2018, arXiv:1706.06083,
    equation 2.2). With `momentum` mu, g_t is replaced by m_t = mu * m_{t-1} + g_t / mean|g_t| (Dong et al., CVPR 2018,
    arXiv:1710.06081, equation 6; the paper writes the L1 norm, its code the mean: only `nesterov` can tell them apart). With
    `nesterov`, the gradient is taken at the look-ahead x_t + step * mu * m_{t-1} (Lin et al., ICLR 2020, arXiv:1908.06281, equation 6;
    deviation: projected first, so the victim is never asked outside its bounds).

    `cycles`: in Linf a fixed step on the sign often runs in circles; Doldo et al., CVPR 2025, arXiv:2503.19347, algorithm 1.

    `directions`: what papers on transfer put in place of the gradient, as many as you like; see `attacks/directions` and docs/transfer.md.

    Cost: 1 forward and 1 backward a step and draw, times the `passes` of the directions, and 1 forward more for keep="best", which must
    see its last point.
    """

    steps: int
    step_size: float | None = None  # input units; None: `reach` * radius / steps
    reach: float = 1.0  # how many radii all steps together can cover
    start: Literal["clean", "random"] = "clean"
    loss: str = "cross_entropy"
    momentum: float = 0.0
    nesterov: bool = False
    draws: int = 1  # gradients averaged a step, for victims that answer at random
    keep: Literal["best", "last"] = "last"  # the point of the highest goal margin seen, or the last
    stop: bool = False  # a sample that is won leaves; looked at after steps 1, 2, 3, 4, 6, 8, 12, 16, ...
    cycles: bool = (
        False  # a sample whose point comes back leaves, because all repeats from there; looked at every 8 steps
    )
    directions: tuple[Direction, ...] = ()

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Madry et al. 2018, arXiv:1706.06083"

    def __post_init__(self) -> None:
        at_least(self, steps=1, draws=1)
        positive(self, "step_size")
        one_of(self, "start", "clean", "random")
        one_of(self, "keep", "best", "last")
        if self.cycles and (self.momentum or self.draws > 1):
            raise InputError(
                "cycles=True needs momentum=0 and draws=1: otherwise a point that comes back goes on elsewhere"
            )
        if self.directions and (self.cycles or self.stop or self.keep == "best"):
            raise InputError(
                "directions need keep='last' and neither stop nor cycles: they are for transfer, where winning the surrogate "
                "is not the end; compose them with mifgsm, nifgsm or ifgsm"
            )
        find_loss(self.loss)

    @torch.enable_grad()
    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        slope, region = find_slope(self.loss), problem.region
        if self.step_size is None:
            step = region.radius * (self.reach / self.steps)
        else:
            step = torch.full_like(region.radius, self.step_size)
        point = self._begin(problem)
        best = Incumbent.at(region.origin) if self.keep == "best" else None
        left = region.origin.clone() if self.stop or self.cycles else None  # where samples have left from
        seen = _Seen(point, self.steps) if self.cycles else None
        momentum: Tensor | None = None
        rows: Tensor | None = None  # which samples are still here; None: all
        climb = self._directed(problem, step, slope) if self.directions else None
        for taken in range(self.steps):
            asked = self._lookahead(problem, point, momentum, step)
            if climb is not None:
                margin, grad = problem.region.radius, climb(asked)
            else:
                margin, grad = self._query(problem, asked, slope, measured=self.stop or best is not None)
            if best is not None:
                best.offer(asked, margin, rows)
            if seen is not None:
                seen.add(asked)
            if left is not None and (_looks(taken) or (seen is not None and taken % 8 == 7)):
                done = margin > 0 if self.stop else torch.zeros_like(margin, dtype=torch.bool)
                done = done if seen is None else done | seen.again
                if bool(done.any()):
                    rows = rows if rows is not None else torch.arange(len(done), device=done.device)
                    left[rows[done]] = asked[done]
                    stay = (~done).nonzero().squeeze(1)
                    problem, rows, step, point, grad = (
                        problem.select(stay),
                        rows[stay],
                        step[stay],
                        point[stay],
                        grad[stay],
                    )
                    momentum = momentum[stay] if momentum is not None else None
                    seen = seen.select(stay) if seen is not None else None
                    if not len(rows):
                        break
            if self.momentum:
                grad = momentum = _accumulate(momentum, grad, self.momentum)
                grad = grad.clone()  # the step overwrites it
            point = problem.region.step_(point, grad, step)
        if best is not None:
            if rows is None or len(rows):
                with torch.no_grad():
                    best.offer(point, problem.goal.margin(problem.oracle(point)), rows)
            return best.point
        if left is None or rows is None:
            return point
        left[rows] = point
        return left

    def _begin(self, problem: Problem) -> Tensor:
        region = problem.region
        if problem.starts is not None:
            return region.project(problem.starts)
        return region.random(problem.streams) if self.start == "random" else region.origin.clone()

    def _query(self, problem: Problem, point: Tensor, slope: Loss, measured: bool) -> tuple[Tensor, Tensor]:
        """Goal margin (B,) and gradient (B, *S) of the loss at the point, summed over the draws. The margin only if `measured`.

        A gradient that is NaN counts as zero: one undefined derivative must not spoil the sample's other features.
        """
        margin, grad = problem.region.radius, None
        for draw in range(self.draws):
            asked = point.detach().requires_grad_()
            outputs = problem.oracle(asked)
            seen = outputs.detach()
            (new,) = torch.autograd.grad(outputs, asked, slope(seen, problem.goal))
            grad = new if grad is None else grad + new
            if measured:
                margin = problem.goal.margin(seen) if draw == 0 else margin + problem.goal.margin(seen)
        assert grad is not None
        grad = grad.contiguous()  # autograd may return an expanded view, which cannot be written to
        return margin, torch.nan_to_num(grad, nan=0.0, out=grad)

    def _directed(self, problem: Problem, step: Tensor, slope: Loss) -> Gradient:
        """The gradient (B, *S) at inputs (B, *S) as the directions change it."""
        problem.ball("an attack with directions")
        loss = find_loss(self.loss)

        def told(outputs: Tensor, goal: Goal) -> Tensor:
            for listener in scene.listeners:
                listener(loss(outputs, goal))
            return slope(outputs, goal)

        def plain(given: Problem) -> Gradient:
            return lambda point: self._query(scene.detoured(given), point, told, False)[1]

        scene = Scene(problem, step, plain)
        return bent(self.directions, plain(problem), scene)

    def _lookahead(self, problem: Problem, point: Tensor, momentum: Tensor | None, step: Tensor) -> Tensor:
        if not self.nesterov or momentum is None:
            return point
        ahead = wide(step, point) * self.momentum * momentum
        return problem.region.project(point + ahead)


def _looks(taken: int) -> bool:
    """Whether to look for won samples after this many steps: 0 to 4, then 6, 8, 12, 16, 24, ... so that a look is rare but no sample
    stays for more than half of what it has run. The same for every sample, whoever is beside it."""
    power = 1 << max(taken.bit_length() - 1, 0)
    return taken < 4 or taken in (power, power * 3 // 2)


def _accumulate(momentum: Tensor | None, grad: Tensor, decay: float) -> Tensor:
    scale = grad.flatten(1).abs().mean(1).clamp_min(torch.finfo(grad.dtype).tiny)
    grad = grad / wide(scale, grad)
    return grad if momentum is None else decay * momentum + grad


class _Seen:
    """Which points each sample has been at, as 64-bit hashes of their bits; `again` (B,) says whose last point was not new."""

    def __init__(self, like: Tensor, steps: int) -> None:
        count, self.device = like[:1].numel(), like.device
        bits = torch.arange(1, count + 1, dtype=torch.int64, device=like.device)
        self.weights = (mix(bits) | 1)[:, None]
        self.hashes = torch.zeros(len(like), steps, dtype=torch.int64, device=like.device)
        self.again = torch.zeros(len(like), dtype=torch.bool, device=like.device)
        self.filled = 0

    def add(self, point: Tensor) -> None:
        narrow = torch.int64 if point.dtype == torch.float64 else torch.int32
        code = (point.flatten(1).view(narrow).long() * self.weights.T).sum(
            1
        )  # integers: the same whoever is in the batch
        self.again |= (self.hashes[:, : self.filled] == code[:, None]).any(1)
        self.hashes[:, self.filled] = code
        self.filled += 1

    def select(self, rows: Tensor) -> _Seen:
        self.hashes, self.again = self.hashes[rows], self.again[rows]
        return self
