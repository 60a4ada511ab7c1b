"""Input optimisation: the input that a model finds most like a class, with or without a price on roughness and unprintable colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.access import Access
from ...core.losses import find_loss
from ...core.problem import Problem
from ...errors import InputError
from ..parts.options import at_least, positive
from ..parts.query import query


@dataclass(frozen=True, kw_only=True)
class InputOptimisation:
    """Adam ascent of loss(x) - total_variation * TV(x) inside the region: activation maximisation when the loss is a class's output.

    Under a mask that is a patch, and through views of it, `draws` of them a step, one that can be printed and photographed: for that
    non_printability is the price of each pixel's squared distance to the nearest colour of `palette`, in input units. Deviation from
    Sharif et al., CCS 2016, section 4.2, equation 4: the nearest in place of the product over all colours, which hardly has a slope
    where they are many.

    Simonyan et al., ICLR workshop 2014, arXiv:1312.6034, equation 1, ascend the unnormalised class score with an L2 penalty; the total
    variation, sum over features of the distance to their right and lower neighbours squared, is Mahendran and Vedaldi, CVPR 2015,
    arXiv:1412.0035, equation 3 with beta = 2. Adam: Kingma and Ba, ICLR 2015, arXiv:1412.6980. Deviations: Adam in place of plain
    ascent, so that one step size fits networks of any scale; the box of the inputs in place of the L2 penalty. Returns the last point,
    which is what the regularised objective asks for, not the point of the highest margin.

    Cost: 1 forward and 1 backward a step and draw, at most that with `stop`.
    """

    steps: int = 256
    step_size: float = 0.02  # input units
    loss: str = "logit"
    total_variation: float = 0.0
    stop: bool = False  # a sample leaves where its goal is reached
    draws: int = 1  # gradients averaged a step, for victims that answer at random
    non_printability: float = 0.0
    palette: tuple[tuple[float, ...], ...] = ()  # colours that a printer has, one value a channel

    access: ClassVar[Access] = Access.GRADIENT
    minimises: ClassVar[bool] = False
    paper: ClassVar[str] = "Simonyan 2014, arXiv:1312.6034"

    def __post_init__(self) -> None:
        at_least(self, steps=1, draws=1)
        positive(self, "step_size")
        at_least(self, total_variation=0, why="would reward roughness")
        at_least(self, non_printability=0, why="would reward colours that cannot be printed")
        if not isinstance(self.palette, tuple) or (self.non_printability and not self.palette):
            raise InputError(
                f"palette={self.palette!r} holds no colours; give those that can be printed, as ((0.1, 0.1, 0.1), ...)"
            )
        find_loss(self.loss)

    def __call__(self, problem: Problem) -> Tensor:  # (B, *S)
        problem.in_input_units("input optimisation")
        region = problem.region
        point = region.origin.clone() if problem.starts is None else region.project(problem.starts)
        first, second = torch.zeros_like(point), torch.zeros_like(point)
        answer, rows = point.clone(), torch.arange(len(point), device=point.device)
        for step in range(1, self.steps + 1):
            margin, _, grad = query(problem, point, self.loss, self.draws)
            if self.stop:
                left = (margin <= 0).nonzero().squeeze(1)
                if len(left) < len(rows):
                    answer[rows] = point
                    rows, problem, region = rows[left], problem.select(left), region.select(left)
                    point, grad, first, second = point[left], grad[left], first[left], second[left]
                if not len(rows):
                    break
            if self.total_variation:
                grad = grad - self.total_variation * roughness_slope(point)
            if self.non_printability:
                grad = grad - self.non_printability * 2 * (point - nearest_colours(point, self.palette))
            first.lerp_(grad, 0.1)
            second.lerp_(grad.square(), 0.001)
            rate = self.step_size * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
            point = region.project(point + rate * first / (second.sqrt() + 1e-12))
        answer[rows] = point
        return answer


def roughness_slope(point: Tensor) -> Tensor:
    """Gradient of the sum of squared differences between neighbours along the last two axes; along the last where there is but one."""
    slope = torch.zeros_like(point)
    for axis in range(max(1, point.ndim - 2), point.ndim):
        rise = 2 * point.diff(dim=axis)
        slope.narrow(axis, 1, rise.shape[axis]).add_(rise)
        slope.narrow(axis, 0, rise.shape[axis]).sub_(rise)
    return slope


def nearest_colours(point: Tensor, palette: tuple[tuple[float, ...], ...]) -> Tensor:
    """Pictures (B, C, H, W) with each pixel replaced by the nearest of the colours, C values each. InputError where channels differ."""
    colours = point.new_tensor(palette)
    if point.ndim != 4 or colours.ndim != 2 or colours.shape[1] != point.shape[1]:
        raise InputError(
            f"a palette of shape {tuple(colours.shape)} does not fit inputs of shape {tuple(point.shape[1:])}; "
            "give one value a channel for each colour"
        )
    pixels = point.movedim(1, -1)
    nearest = (pixels[..., None, :] - colours).square().sum(-1).argmin(-1)
    return colours[nearest].movedim(-1, 1)
