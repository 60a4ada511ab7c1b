"""Photographs of many things, for what is made on some pictures and must be judged on others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.victim import Victim
from ...data.downloads import find
from ...data.open import open_data
from ...data.samples import Samples
from ...errors import InputError
from ...findings import Finding
from ...report.shares import share
from ...victims.preprocess import as_taken
from ..asking import answers
from ..mistakes import mistakes

SET = "imagenet_1000"
LOOKED_AT = 32  # photographs on which a wrong preparation is seen


@dataclass(frozen=True, eq=False)
class Photographs:
    """The data set of that name as one victim takes pictures; the same ids are the same photographs for every victim."""

    source: Samples
    victim: Victim

    def batch(self, ids: list[int]) -> tuple[Tensor, Tensor]:
        """Pictures (B, C, H, W) in the victim's bounds, and labels (B,)."""
        x, labels = self.source.batch(ids)
        return self.victim.between(x).to(self.victim.dtype), labels

    def apart(self, seed: int, *counts: int) -> tuple[list[int], ...]:
        """Ids of so many photographs each, drawn at random, none of them twice. InputError where there are not enough."""
        if sum(counts) > len(self.source):
            raise InputError(f"{sum(counts)} photographs are needed, {self.source.name} has {len(self.source)}")
        order = torch.randperm(len(self.source), generator=torch.Generator().manual_seed(seed)).tolist()
        return tuple(order[sum(counts[:i]) : sum(counts[: i + 1])] for i in range(len(counts)))


def photographs(victim: Victim) -> Photographs:
    """Raises InputError where they are not there."""
    found = find(SET, "labels.csv")
    if not found:
        raise InputError(
            f"the photographs are in no folder {SET} of $BRITTLE_DATA; put pictures there, and a labels.csv with the columns file and label"
        )
    return Photographs(as_taken(open_data(f"images:{found[0].parent}"), victim), victim)


def doubts(victim: Victim, seed: int = 0) -> list[Finding]:
    """What is wrong with how the victim prepares pictures, as `brittle.inspect` says it, seen on the labelled photographs.

    Nothing where these are not there, or the victim has other classes than theirs.
    """
    if not find(SET, "labels.csv"):
        return []
    source = photographs(victim)
    x, labels = source.batch(list(range(min(LOOKED_AT, len(source.source)))))
    outputs = answers(victim, x, seed)
    if outputs.shape[1] != len(source.source.classes):
        return []
    accuracy = share(int((outputs.argmax(1) == labels).sum()), len(labels))
    return mistakes(victim, source.source, x, labels, outputs, accuracy, seed)


def classes_of(victim: Victim, x: Tensor, together: int = 20) -> Tensor:
    """What the victim takes pictures x (B, C, H, W) for: (B,) int64."""
    with torch.no_grad(), victim.undisturbed(0):
        return torch.cat([victim(part.to(victim.device)).argmax(1).cpu() for part in torch.split(x, together)])
