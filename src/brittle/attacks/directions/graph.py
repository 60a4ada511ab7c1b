"""What autograd recorded of a question, as a graph: where its paths part and meet again, and which operations all of them pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node

Passing = Callable[[Node, tuple[Any, ...]], tuple[Any, ...] | None]


@dataclass(frozen=True, eq=False)
class Paths:
    """Some that part at the operation `start`, by operand of the one where they meet: the operations of each in between."""

    start: Node
    ways: Mapping[int, frozenset[Node]]

    @property
    def skip(self) -> int | None:
        """The operand of the shortest way; None where two are as short."""
        short, other = sorted(self.ways, key=lambda operand: len(self.ways[operand]))[:2]
        return short if len(self.ways[short]) < len(self.ways[other]) else None

    @property
    def branches(self) -> frozenset[int]:
        """The operands beside the skip, where this is the very tensor that they were made of, or that times a constant; else none."""
        if self.skip is None or not all(node.name().startswith("MulBackward") for node in self.ways[self.skip]):
            return frozenset()
        return frozenset({*self.ways} - {self.skip})


def paths_to(operands: Mapping[int, Node]) -> Paths | None:
    """To the operands of a sum or concatenation; None where they do not part: one alone, or nothing in common."""
    ends = set(operands.values())
    fronts = _fronts(ends) if len(ends) > 1 else iter(())
    start = next((next(iter(front)) for front in fronts if len(front) == 1), None)
    return None if start is None else Paths(start, {i: operations(end, start) for i, end in operands.items()})


def joins(end: Node, *names: str) -> list[tuple[Node, Paths]]:
    """The operations of these names (how they begin) before the end where paths meet, and those paths."""
    found = []
    for node in operations(end):
        if node.name().startswith(names) and (paths := paths_to(operands_of(node))) is not None:
            found.append((node, paths))
    return found


def operands_of(node: Node) -> dict[int, Node]:
    """Those that were calculated; constants, parameters and the input itself are not."""
    return {i: other for i, (other, _) in enumerate(node.next_functions) if other is not None and other.next_functions}


def operations(end: Node, start: Node | None = None) -> frozenset[Node]:
    """Those on which the end depends, and itself; only those later than `start` if that is given."""
    found: set[Node] = set()
    left = [end]
    while left:
        node = left.pop()
        if node not in found and (start is None or age(node) > age(start)):
            found.add(node)
            left += operands_of(node).values()
    return frozenset(found)


def trunk(end: Node) -> dict[Node, int]:
    """The operations that every path to the end passes, from the last on, and how many operations are before each."""
    fronts = list(_fronts([end]))
    return {next(iter(front)): len(fronts) - 1 - i for i, front in enumerate(fronts) if len(front) == 1}


def halfway(passed: Mapping[Node, int], among: Collection[Node] | None = None) -> Node | None:
    """Of a trunk, and of those `among`, the one nearest to where half of the operations are done; None where there is none."""
    half = max(passed.values(), default=0) / 2
    allowed = [node for node in passed if among is None or node in among]
    return min(allowed, key=lambda node: (abs(passed[node] - half), passed[node]), default=None)


def age(node: Node) -> int:
    """Larger for what was calculated later."""
    return node._sequence_nr()


@torch.no_grad()
def carried(grad: Tensor, edge: tuple[Node, int], start: Node, way: frozenset[Node], passing: Passing) -> Tensor:
    """What a gradient (B, ...) that comes to the edge has become when it has gone the way back to `start`, (B, N) flattened.

    passing: of an operation and the gradients that come to it, those that leave it; None: as it is.
    """
    waiting: dict[Node, dict[int, Tensor]] = {edge[0]: {edge[1]: grad}}
    for node in sorted(way, key=age, reverse=True):
        given = waiting.pop(node, None)
        if given is None:
            continue
        came = tuple(given.get(i) for i in range(len(node._input_metadata)))
        left = passing(node, came)
        left = _called(node, came) if left is None else left
        for (other, place), part in zip(node.next_functions, left, strict=False):
            if part is not None and (other in way or other is start):
                sums = waiting.setdefault(other, {})
                sums[place] = part if place not in sums else sums[place] + part
    return torch.cat([part.flatten(1) for part in waiting.get(start, {}).values()] or [0 * grad.flatten(1)], 1)


def _called(node: Any, came: tuple[Any, ...]) -> tuple[Any, ...]:
    left = node(*came) if callable(node) else node.apply(*came)  # those of custom functions cannot be called
    return left if isinstance(left, tuple) else (left,)


def _fronts(ends: Iterable[Node]) -> Iterator[set[Node]]:
    """What is needed next for the ends, from themselves on, the latest operation being replaced by its operands each time."""
    front = set(ends)
    while front:
        yield front
        latest = max(front, key=age)
        front = (front - {latest}) | set(operands_of(latest).values())
