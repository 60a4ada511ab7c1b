"""Random noise of which ever more is put in, until the class changes: the baselines of decision-based attacks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ...core.access import Access
from ...core.problem import NormBall, Problem
from ...kernels.shapes import wide
from ..parts.asker import Asker, Path, narrowed, segment
from ..parts.options import at_least, one_of

CLOSE = 2e-5  # of a blended path: so near to where it first wins is near enough


@dataclass(frozen=True, kw_only=True)
class RandomPath:
    """Along random paths from x to noise, the first of `steps` points that wins, and back from there by bisection; keeps the smallest.

    blend: x is blended with an input that is uniform noise. salt_and_pepper: ever more pixels are set to the lower or the upper limit at
    random, all channels of a pixel alike; which ones is drawn once a path, so that further along is more of the same. Both are baselines
    of Foolbox (Rauber et al., JOSS 2020), which walks one blended path in 1000 steps, and draws salt and pepper anew at each step.

    A point that is no smaller than the best is not asked about. Cost: at most `queries` forwards. Norms: linf, l2, l1; salt_and_pepper
    l2, l1, l0.
    """

    kind: Literal["blend", "salt_and_pepper"] = "blend"
    queries: int = 1000  # the most forwards a sample is charged
    draws: int = 100  # paths
    steps: int = 50  # points of a path
    stop: bool = False  # a sample whose point is inside the radius is done

    access: ClassVar[Access] = Access.LABELS
    minimises: ClassVar[bool] = True
    paper: ClassVar[str] = "Rauber et al. 2020, Foolbox"

    def __post_init__(self) -> None:
        one_of(self, "kind", "blend", "salt_and_pepper")
        at_least(self, queries=3, draws=1, steps=1)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        norms = ("linf", "l2", "l1") if self.kind == "blend" else ("l2", "l1", "l0")
        everyone = Asker.of(problem, problem.ball(self.kind, *norms), self.queries, self.stop)
        everyone.wins(problem.x, everyone.open)
        everyone.left[everyone.best.found] = 0
        asker = everyone
        for _ in range(self.draws):
            stay = asker.open.nonzero().squeeze(1)
            if len(stay) < asker.count:
                asker = asker.select(stay)
            if not len(stay):
                break
            self._walk(asker, *(_blend(asker) if self.kind == "blend" else _salt_and_pepper(asker)))
        return everyone.finish()

    def _walk(self, asker: Asker, path: Path, going: Tensor, close: float) -> None:
        """From x on, for those `going` (B,), until a point wins or is no smaller than the best; then back, until as `close` as that."""
        one = torch.ones_like(asker.enough)
        found, first = torch.zeros_like(going), one
        for step in range(1, self.steps + 1):
            share = one * (step / self.steps)
            point = path(share)
            going = going & ~found & asker.open & (asker.ball.norm.size(point - asker.ball.x) < asker.size)
            if not bool(going.any()):
                break
            here = asker.wins(point, going)
            found, first = found | here, torch.where(here, share, first)
        narrowed(asker, path, first, first - 1 / self.steps, one * close, found)


def _blend(asker: Asker) -> tuple[Path, Tensor, float]:
    """From x to noise, for those for whom it wins, which is asked first."""
    ball = asker.ball
    noise = asker.problem.streams.uniform(tuple(ball.x.shape[1:])).to(ball.x.dtype)
    end = torch.clamp(ball.lower + noise * (ball.upper - ball.lower), ball.lower, ball.upper)
    here = asker.wins(end, asker.open)
    return segment(ball, end), here, CLOSE


def _salt_and_pepper(asker: Asker) -> tuple[Path, Tensor, float]:
    """A pixel with the number u is pepper where u < share / 2, salt where u > 1 - share / 2, and as it was elsewhere."""
    ball, shape = asker.ball, tuple(asker.ball.x.shape[1:])
    pixels = (1, *shape[1:]) if len(shape) == 3 else shape
    u = asker.problem.streams.uniform(pixels).to(ball.x.dtype)
    return partial(_sprinkled, ball, u), asker.open, 0.5 / math.prod(pixels)


def _sprinkled(ball: NormBall, u: Tensor, share: Tensor) -> Tensor:
    half = wide(share, u) / 2
    return torch.where(u < half, ball.lower, torch.where(u > 1 - half, ball.upper, ball.x))


def blended_noise(queries: int = 1000, draws: int = 100, steps: int = 50, stop: bool = False) -> RandomPath:
    """Blend x with random inputs of another class, as little as wins. Cost: at most `queries` forwards."""
    return RandomPath(kind="blend", queries=queries, draws=draws, steps=steps, stop=stop)


def salt_and_pepper(queries: int = 1000, draws: int = 100, steps: int = 50, stop: bool = False) -> RandomPath:
    """Set ever more random pixels to black or white, until that wins. Cost: at most `queries` forwards."""
    return RandomPath(kind="salt_and_pepper", queries=queries, draws=draws, steps=steps, stop=stop)
