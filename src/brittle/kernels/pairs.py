"""The best pair of features of a saliency map, without a table of all pairs."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

Batch = Float[Tensor, "b n"]

TABLE = 1 << 22  # entries of a table of pairs made at a time


def best_pair(u: Batch, v: Batch, twins: bool) -> tuple[Int[Tensor, "b 2"], Float[Tensor, " b"]]:
    """Of all pairs of columns p, q: the one of the greatest (u_p + u_q) * (v_p + v_q), both factors above zero; and that product.

    The product is minus infinity where no pair has both factors above zero. A column of minus infinity is in no pair; with `twins`, nor are
    column p and p + n / 2 together. Exact: a column behind (in u and in v) as many others as could be forbidden as partners, and one more,
    is in no pair that is better than all pairs of those, and few columns are left then, 20 to 60 of 1000 independent ones.
    """
    few = _undominated(u, v, depth=3 if twins else 2)
    return _among(few, u.gather(1, few), v.gather(1, few), u.shape[1] // 2 if twins else 0)


def _undominated(u: Batch, v: Batch, depth: int) -> Int[Tensor, "b k"]:
    """The columns that fewer than `depth` others beat in u and in v together; the longest row fills up the others."""
    order = u.argsort(dim=1, descending=True, stable=True)
    height = v.gather(1, order)
    joins, reached = height, height
    for _ in range(depth):  # the next largest v among the columns before each
        largest = torch.nn.functional.pad(joins.cummax(1).values, (1, 0), value=-torch.inf)[:, :-1]
        joins, reached = torch.minimum(joins, largest), largest
    beaten = height <= reached
    count = int((~beaten).sum(1).max()) if len(u) else 0
    return order.gather(1, beaten.to(torch.uint8).argsort(dim=1, stable=True)[:, : max(count, min(2, u.shape[1]))])


def _among(few: Tensor, u: Tensor, v: Tensor, half: int) -> tuple[Tensor, Tensor]:
    """The best pair of the columns `few` (B, K), a part of the table at a time."""
    best = u.new_full((len(u),), -torch.inf)
    pair = few[:, :1].repeat(1, 2)
    part = max(1, TABLE // max(u.numel(), 1))
    for start in range(0, u.shape[1], part):
        rows = slice(start, start + part)
        above, below = u[:, rows, None] + u[:, None], v[:, rows, None] + v[:, None]
        first, second = few[:, rows, None], few[:, None]
        wrong = (above <= 0) | (below <= 0) | (first == second)
        if half:
            wrong |= (first - second).abs() == half
        product = (above * below).masked_fill_(wrong, -torch.inf).flatten(1)
        here, place = product.nan_to_num_(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf).max(1)
        better = here > best
        best = torch.where(better, here, best)
        chosen = torch.stack([place // u.shape[1] + start, place % u.shape[1]], dim=1)
        pair = torch.where(better[:, None], few.gather(1, chosen), pair)
    return pair, best
