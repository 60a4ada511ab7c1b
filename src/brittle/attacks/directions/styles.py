"""Style transfer: the picture mixed with itself in styles that a network of the user's paints it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...specs import parse_source
from ...user_code import called
from ..parts.options import at_least, between
from .role import Gradient, Place, Scene, mean

Painter = Callable[
    [Tensor, Tensor], Tensor
]  # pictures (B, *S) and numbers (B, N) that say in which style -> pictures (B, *S)


@dataclass(frozen=True, kw_only=True)
class StyleTransfer:
    """The mean of the gradients at keep * x + (1 - keep) * style(x) + noise, each copy in a style of its own.

    STM of Ge et al., ACM MM 2023, arXiv:2308.10601. network: `py:MODULE:FUNCTION`, a function of the user's, which is run; it returns
    what paints pictures (B, *S) by standard normal numbers (B, `numbers`), one row a picture, such as the embeddings of Ghiasi et al.,
    arXiv:1705.06830, that the paper draws. keep: the paper's gamma. noise: uniform in a cube of so many radii (paper: beta = 2). The
    gradient is that at the mixture, not drawn back through the network, as in its authors' code.
    """

    network: str | None = None
    copies: int = 20
    keep: float = 0.5
    noise: float = 2.0
    numbers: int = 100

    place: ClassVar[Place] = Place.COPIES
    paper: ClassVar[str] = "Ge 2023, arXiv:2308.10601"

    def __post_init__(self) -> None:
        at_least(self, copies=1, noise=0, numbers=1)
        between(self, 0, 1, "keep", ends="[]")

    @property
    def passes(self) -> int:
        return self.copies

    def bend(self, gradient: Gradient, scene: Scene) -> Gradient:
        paint = painter(self.network, scene.step.device)

        def one(point: Tensor) -> Tensor:
            numbers = scene.streams.normal((self.numbers,)).to(point)
            with torch.no_grad():
                painted = paint(point, numbers)
            if not isinstance(painted, Tensor) or painted.shape != point.shape:
                made = tuple(painted.shape) if isinstance(painted, Tensor) else type(painted).__name__
                raise InputError(
                    f"{self.network} made {made} of pictures {tuple(point.shape)}; let it paint each in its own size"
                )
            return gradient(scene.around(self.keep * point + (1 - self.keep) * painted, self.noise))

        return lambda point: mean(one(point) for _ in range(self.copies))


def painter(network: str | None, device: torch.device) -> Painter:
    """What the user's function returns, on the device and in evaluation mode if it is a module. Runs the user's code."""
    if network is None:
        raise InputError(
            "stm has no network that paints; give stm:network=py:MODULE:FUNCTION, a function that returns one and whose code is run"
        )
    source = parse_source(network)
    module, colon, function = source.rest.partition(":")
    if source.scheme != "py" or not (module and colon and function):
        raise InputError(
            f"network={network!r} names no function; write py:MODULE:FUNCTION, for example py:styles:build"
        )
    made = called(source.rest, {})
    if not callable(made):
        raise InputError(
            f"{network} returned a {type(made).__name__}; let it return what paints pictures, such as a module"
        )
    return made.to(device).eval() if isinstance(made, nn.Module) else made
