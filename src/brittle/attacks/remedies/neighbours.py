"""The gradient of a neighbourhood, for surfaces that are shattered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.streams import Streams
from ...core.victim import Victim
from ..parts.options import at_least, positive
from .graft import graft


@dataclass(frozen=True, kw_only=True)
class Smoothed:
    """The victim's own outputs, to the bit, with the mean Jacobian of `draws` Gaussian neighbours, `sigma` in input units away.

    Tramer, Carlini, Brendel and Madry, NeurIPS 2020, arXiv:2002.08347, section 5, which breaks k-winners-take-all by estimating such a
    gradient from differences; here the neighbours are differentiated, which costs 2 passes a neighbour whatever the size of the input.
    Neighbours are drawn anew at each question from the sample's own stream, and cut off at the victim's bounds. Stands around all other
    remedies. Cost: a question with gradient is 1 + draws forwards and `draws` backwards; one without is 1 forward.
    """

    sigma: float = 0.05
    draws: int = 20

    paper: ClassVar[str] = "Tramer et al. 2020, arXiv:2002.08347"

    def __post_init__(self) -> None:
        positive(self, "sigma")
        at_least(self, draws=1)

    def answer(self, ask: Callable[[Tensor], Tensor], x: Tensor, streams: Streams, victim: Victim) -> Tensor:
        """Outputs (B, C) at x (B, *S), where `ask` questions the victim and charges."""
        if not (torch.is_grad_enabled() and x.requires_grad):
            return ask(x)
        with torch.no_grad():
            value = ask(x)
        total: Tensor | None = None
        for _ in range(self.draws):
            noise = streams.normal(tuple(x.shape[1:]), x.dtype)
            moved = victim.clamp(x.detach() + self.sigma * noise) - x.detach()
            outputs = ask(x + moved)
            total = outputs if total is None else total + outputs
        assert total is not None
        return graft(value, total / self.draws)
