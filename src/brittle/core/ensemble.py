"""What a victim made of several networks answers: the forward of an ensemble, which knows its members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from .victim import Victim

Together = Callable[[Tensor, Tensor], Tensor]  # answers (K, B, C), shares (B, K) -> (B, C)


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The forward of K networks: their outputs put `together`, in equal shares unless others are given.

    A victim has members exactly when its forward is one of these; who wraps the forward has a single model again. A network without
    a share in a row is not asked about it.
    """

    members: tuple[Victim, ...]
    together: Together

    def __call__(self, x: Tensor) -> Tensor:  # (B, *S) -> (B, C)
        return self.shared(x, self.equal(x))

    def shared(self, x: Tensor, shares: Tensor) -> Tensor:
        """The outputs (B, C) at x (B, *S) where the networks have these shares (B, K), not negative and adding up to 1 in each row."""
        asked = [(shares[:, k] > 0).nonzero().squeeze(1) for k in range(len(self.members))]
        answers = [
            member(x) if len(rows) == len(x) else member(x[rows]) if len(rows) else None
            for member, rows in zip(self.members, asked, strict=True)
        ]
        classes = sorted({answer.shape[1] for answer in answers if answer is not None})
        if len(classes) > 1:
            raise InputError(f"the networks have {' and '.join(map(str, classes))} classes; an ensemble needs the same")
        nothing = next(answer for answer in answers if answer is not None).new_zeros(len(x), classes[0])
        whole = [
            nothing if answer is None else answer if len(rows) == len(x) else nothing.index_copy(0, rows, answer)
            for answer, rows in zip(answers, asked, strict=True)
        ]
        return self.together(torch.stack(whole), shares)

    def equal(self, x: Tensor) -> Tensor:
        """(B, K) shares of 1 / K each, for inputs x."""
        return x.new_full((len(x), len(self.members)), 1 / len(self.members))
