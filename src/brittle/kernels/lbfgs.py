"""L-BFGS inside a box, for a batch of problems at once: every problem has a history and a line search of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

Batch = Float[Tensor, "b n"]
PerSample = Float[Tensor, " b"]
Ask = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

ENOUGH = 1e-4  # Armijo: the share of the promised fall that a step must make
SHORTEST, LONGEST = 0.1, 0.5  # a refused step is cut to between these shares of itself
TRIES = 20  # refused steps in a row after which a problem is given up


@dataclass(eq=False)
class _State:
    """Of the b problems that still go on, whose places in the whole batch are `rows`."""

    rows: Int[Tensor, " b"]
    lower: Batch
    upper: Batch
    first: PerSample  # inverse curvature to begin with
    point: Batch
    value: PerSample
    grad: Batch
    moves: Float[Tensor, "b m n"]  # s, in a ring
    turns: Float[Tensor, "b m n"]  # y, the changes of the gradient
    count: Int[Tensor, " b"]  # pairs that were kept so far
    direction: Batch
    step: PerSample
    tries: Int[Tensor, " b"]

    def select(self, rows: Tensor) -> _State:
        return replace(self, **{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def minimise(
    ask: Ask,
    start: Batch,
    lower: Batch,
    upper: Batch,
    first: PerSample,
    steps: int,
    memory: int = 8,
    tolerance: float = 1e-7,
) -> tuple[Batch, PerSample]:
    """Low points (B, N) of B functions in the box [lower, upper], and the values (B,) there.

    ask(points (b, N), rows (b,)) -> (values (b,), gradients (b, N)) speaks for those rows of the batch; it is called at most `steps` times.
    first (B,) > 0: the guess of the inverse curvature before there is a history.
    tolerance: a problem ends where a step gained, or the next one promises, no more than this part of its value (of 1 if that is
    smaller).

    Liu and Nocedal, Math. Programming 1989, with the active set of Bertsekas, SIAM J. Control Optim. 1982: features at a limit whose
    gradient points out stand still, the inverse Hessian is that of the others (compact form: Byrd, Nocedal and Schnabel, Math. Programming
    1994), and the search goes backwards along the projected path. Each call moves every problem on, whether the last step of it was
    accepted or is tried again shorter: none waits for another.
    """
    rows = torch.arange(len(start), device=start.device)
    lower, upper = lower.expand_as(start), upper.expand_as(start)
    point = torch.clamp(start, lower, upper)
    value, grad = ask(point, rows)
    answer, least = point.clone(), value.clone()
    history = point.new_zeros(len(point), min(memory, max(steps - 2, 1)), point.shape[1])
    zero = torch.zeros_like(rows)
    now = _State(
        rows, lower, upper, first, point, value, grad, history, history.clone(), zero, point, first, zero.clone()
    )
    aim(now, torch.ones_like(value, dtype=torch.bool))
    going = value.isfinite() & promises(now, tolerance)
    for _ in range(steps - 1):
        if not bool(going.all()):
            kept = going.nonzero().squeeze(1)
            if not len(kept):
                break
            now = now.select(kept)
        trial = torch.clamp(torch.addcmul(now.point, now.direction, now.step[:, None]), now.lower, now.upper)
        value, grad = ask(trial, now.rows)
        move = trial - now.point
        promised, change = (move * now.grad).sum(1), value - now.value
        taken = (change <= ENOUGH * promised) & (promised < 0)
        gained = -change > tolerance * now.value.abs().clamp_min(1)
        part = torch.nan_to_num(-promised / (2 * (change - promised)), nan=SHORTEST).clamp_(SHORTEST, LONGEST)
        now.tries = torch.where(taken, 0, now.tries + 1)
        now.step = torch.where(taken, 1.0, now.step * part)
        remember(now, move, grad - now.grad, taken)
        weight = taken.to(trial.dtype)[:, None]
        now.point, now.value = now.point.lerp(trial, weight), torch.where(taken, value, now.value)
        now.grad = now.grad.lerp(torch.nan_to_num(grad, nan=0.0, posinf=0.0, neginf=0.0), weight)
        aim(now, taken)
        answer[now.rows], least[now.rows] = now.point, now.value
        going = torch.where(taken, gained, now.tries < TRIES) & promises(now, tolerance)
    return answer, least


def remember(now: _State, move: Tensor, turn: Tensor, taken: Tensor) -> None:
    """Keep the pairs of the steps that were taken, over the oldest ones, where the curvature along them is positive."""
    bend = (move * turn).sum(1)
    kept = taken & (bend > torch.finfo(bend.dtype).eps * turn.square().sum(1)) & bend.isfinite()
    rows = kept.nonzero().squeeze(1)
    slot = now.count[rows] % now.moves.shape[1]
    now.moves[rows, slot], now.turns[rows, slot] = move[rows], turn[rows]
    now.count = now.count + kept


def aim(now: _State, fresh: Tensor) -> None:
    """A new direction for the fresh ones (b,), - H grad over the features that are free to move."""
    grad, free = now.grad, free_features(now)
    grad = grad * free
    moves, turns = now.moves * free[:, None], now.turns
    slots = moves.shape[1]
    age = torch.arange(slots, device=grad.device)
    order = (now.count[:, None] - 1 - age) % slots  # the newest first
    across, down = order[:, None, :].expand(-1, slots, -1), order[:, :, None].expand(-1, -1, slots)
    bends = (moves @ turns.mT).gather(1, down).gather(2, across)  # s_i . y_j
    rough = ((turns * free[:, None]) @ turns.mT).gather(1, down).gather(2, across)  # y_i . y_j
    climb, turned = (((pairs @ grad[..., None]).squeeze(2)).gather(1, order) for pairs in (moves, turns))
    bend, size = bends.diagonal(dim1=1, dim2=2), rough.diagonal(dim1=1, dim2=2)
    valid = (age < now.count[:, None]) & (bend > torch.finfo(bend.dtype).eps * size) & (size > 0)
    both = valid[:, :, None] & valid[:, None, :]
    triangle = torch.where(both, bends, 0).tril_() + torch.diag_embed((~valid).to(bends.dtype))
    newest = valid.to(torch.int64).argmax(1, keepdim=True)
    scale = torch.where(valid.any(1), (bend / size).gather(1, newest).squeeze(1), now.first)[:, None]
    back = torch.linalg.solve_triangular(triangle, (climb * valid)[..., None], upper=False)
    rest = (bend * back.squeeze(2) - scale * (turned - (rough @ back).squeeze(2))) * valid
    forth = torch.linalg.solve_triangular(triangle.mT, rest[..., None], upper=True)
    along_turns, along_moves = (
        torch.zeros_like(rest).scatter_(1, order, (part.squeeze(2) * valid))[:, None] for part in (back, forth)
    )
    direction = ((along_turns @ turns).squeeze(1) - grad).mul_(scale).sub_((along_moves @ moves).squeeze(1)).mul_(free)
    falls = ((direction * grad).sum(1) < 0) & direction.isfinite().all(1)
    direction = torch.where(falls[:, None], direction, -now.first[:, None] * grad)
    now.direction = torch.where(fresh[:, None], direction, now.direction)
    now.step = torch.where(fresh, 1.0, now.step)


def free_features(now: _State) -> Tensor:
    """(b, N), 1 or 0: features that are not held at a limit by their gradient."""
    held = ((now.point <= now.lower) & (now.grad >= 0)) | ((now.point >= now.upper) & (now.grad <= 0))
    return (~held).to(now.point.dtype)


def promises(now: _State, tolerance: float) -> Tensor:
    """(b,) bool: whether the next step is worth asking about. Decided far above rounding, which differs from batch to batch."""
    fall = -(now.direction * now.grad).sum(1) * now.step
    return fall > tolerance * now.value.abs().clamp_min(1)
