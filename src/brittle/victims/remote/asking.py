"""The classifier that a server is: rows go out in batches and come back as outputs, each question once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ...core.checks import are_probabilities
from ...errors import InputError
from .journal import Answer, Journal
from .line import Line
from .protocols import Card, Dialect, Garbage, Kind, Rows

FIRST = 8  # rows that are asked three times, to learn how the model answers
RELATIVE = 1e-4  # answers that differ by more than this share of their spread are random, not rounded
TINY = 1e-30  # below every probability that is told

Outputs = Literal["logits", "probabilities"]


@dataclass(frozen=True, eq=False)
class Remote:
    """`remote(x) -> outputs` (B, C) of x (B, *S): scores, logarithms where they are probabilities, or for labels one-hot rows.

    What is in the journal is not asked. Of a model that was seen to answer at random every asking is a question of its own, and the
    journal knows it by its number.
    """

    line: Line
    url: str
    dialect: Dialect
    card: Card
    kind: Kind
    journal: Journal
    batch: int
    budget: int | None
    last: bool  # channels are sent last
    outputs: Outputs | None  # what the scores are; None: to be seen
    askings: Counter[bytes] = field(default_factory=Counter)

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.detach().to("cpu", torch.float32)
        sent: Rows = (rows.movedim(1, -1) if self.last and rows.ndim > 2 else rows).contiguous().numpy()
        if self.card.shape and sent.shape[1:] != self.card.shape:
            raise InputError(
                f"{self.url} takes inputs of shape {self.card.shape}, not {sent.shape[1:]}; see layout=nhwc"
            )
        if not len(sent):
            return x.new_zeros((0, self.card.count or self.journal.fact("width") or 2))
        if self.journal.fact("random") is None:
            self._learn(sent[:FIRST])
        return self._finished(self._answers(sent, self._numbers(sent))).to(x.device)

    def limited(self, rows: int) -> Remote:
        """The same, which sends so many rows more at most; beyond that it raises OverBudget."""
        most = self.journal.sent + rows
        return replace(self, budget=most if self.budget is None else min(self.budget, most))

    def _numbers(self, rows: Rows) -> list[int]:
        """How often each row was asked before, by this process; 0 for a model that answers the same to the same."""
        if not self.journal.fact("random"):
            return [0] * len(rows)
        numbers = []
        for row in rows:
            name = _question(row, 0)
            numbers.append(self.askings[name])
            self.askings[name] += 1
        return numbers

    def _learn(self, rows: Rows) -> None:
        """Ask the same twice together and once alone: whether the answers differ, and whether they are probabilities."""
        first, again = (self._answers(rows, [number] * len(rows)) for number in (0, 1))
        alone = np.concatenate([self._answers(row[None], [2]) for row in rows])
        spread = np.maximum(first.max(1) - first.min(1), TINY) if self.kind == "scores" else 1.0
        differ = np.maximum(np.abs(first - again).max(1), np.abs(first - alone).max(1))
        self.journal.fact("probabilities", self.kind == "scores" and are_probabilities(torch.tensor(first)))
        self.journal.fact("random", bool((differ > RELATIVE * spread).any()))

    def _answers(self, rows: Rows, numbers: Sequence[int]) -> Answer:
        """What the server says of the rows (B, *S), each asked for the so-many-th time: (B, C), for labels (B, 1)."""
        questions = [_question(row, number) for row, number in zip(rows, numbers, strict=True)]
        places = {question: place for place, question in enumerate(questions)}
        known = self.journal.answers(list(places))
        lacking = [question for question in places if question not in known]
        for start in range(0, len(lacking), self.batch):
            part = lacking[start : start + self.batch]
            answers = self._ask(rows[[places[question] for question in part]])
            self.journal.enter(part, answers)
            known.update(zip(part, answers, strict=True))
        return np.stack([known[question] for question in questions])

    def _ask(self, rows: Rows) -> Answer:
        return self.line.ask(
            self.dialect.address(self.url),
            self.dialect.body(rows, self.card),
            partial(self._read, len(rows)),
            partial(self.journal.charge, len(rows), self.budget),
            partial(self.journal.refund, len(rows)),
        )

    def _read(self, count: int, said: Any) -> Answer:
        kind, answers = self.dialect.read(said, count, self.card)
        if kind != self.kind:
            raise InputError(f"{self.url} answers with {kind}, not {self.kind}; write answers={kind}")
        if kind == "labels":
            if answers.max() >= (self.card.count or 0):
                raise Garbage(f"class {answers.max():.0f} of {self.card.count}")
            return answers
        width = self.card.count or self.journal.fact("width", answers.shape[1])
        if answers.shape[1] != width:
            raise Garbage(f"{answers.shape[1]} scores a row, not {width}")
        return answers

    def _finished(self, answers: Answer) -> Tensor:
        """Answers as outputs (B, C)."""
        found = torch.tensor(answers)
        if self.kind == "labels":
            return torch.nn.functional.one_hot(found[:, 0].long(), self.card.count or 0).float()
        given = self.outputs or ("probabilities" if self.journal.fact("probabilities") else "logits")
        return found.clamp_min(TINY).log() if given == "probabilities" else found


def _question(row: Rows, number: int) -> bytes:
    """The name of a row (*S), asked for the so-many-th time: its content."""
    return hashlib.sha256(f"{row.shape} {number} ".encode() + row.tobytes()).digest()
