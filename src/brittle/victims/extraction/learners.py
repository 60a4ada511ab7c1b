"""How a surrogate is trained on a target's answers: a small network from nothing, or a new head on a frozen backbone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from torch import nn

from ...core.victim import Victim, as_victim
from ...data.samples import Samples
from ..heads import HeadCard, check_backbone, features, fit_head, last_linear, save_head, with_head
from ..networks import Architecture, parse_network, save
from ..open import open_victim
from ..train import train
from .lessons import Lessons

STEPS = 300  # of Adam at least, however few the answers are
EPOCHS = 10  # at least, however many they are
BATCH = 128


class Learner(Protocol):
    """A frozen dataclass that makes surrogates, and files of them that `net:FILE` opens."""

    def fit(self, lessons: Lessons) -> Victim:
        """A surrogate with gradients that answers as the lessons say."""

    def save(
        self, surrogate: Victim, lessons: Lessons, path: str | os.PathLike[str], facts: Mapping[str, float]
    ) -> None:
        """Write what `fit` gave, with facts about it."""


@dataclass(frozen=True, kw_only=True)
class FromNothing:
    """One of the small networks of `brittle train`, with fresh weights: cross-entropy to the answers.

    net: such as `cnn:16,32`; None: cnn for pictures that are large enough, else mlp. epochs: None for as many as give 300 steps, and
    10 at least.
    """

    net: str | None = None
    epochs: int | None = None
    seed: int = 0

    def fit(self, lessons: Lessons) -> Victim:
        epochs = self.epochs or max(EPOCHS, -(-STEPS // -(-len(lessons) // BATCH)))
        module = train(lessons, self._architecture(lessons), epochs=epochs, batch_size=BATCH, seed=self.seed)
        return _surrogate(as_victim(module, lessons.bounds, name="surrogate"), lessons)

    def save(
        self, surrogate: Victim, lessons: Lessons, path: str | os.PathLike[str], facts: Mapping[str, float]
    ) -> None:
        assert surrogate.module is not None
        training = {**facts, "seed": float(self.seed)}
        architecture = self._architecture(lessons)
        save(surrogate.module, architecture, path, data=lessons.name, bounds=lessons.bounds, training=training)

    def _architecture(self, lessons: Lessons) -> Architecture:
        pictures = len(lessons.shape) == 3 and min(lessons.shape[1:]) >= 4
        return parse_network(self.net or ("cnn" if pictures else "mlp"), lessons.shape, len(lessons.classes))


@dataclass(frozen=True, eq=False)
class OnBackbone:
    """A new head on a network whose weights stay: the logistic regression from its features to the answers."""

    text: str  # the backbone's VICTIM string
    backbone: Victim
    layer: str  # whose place the head takes

    @classmethod
    def of(cls, text: str, data: Samples, *, device: str | None = None, trust: bool = False) -> OnBackbone:
        """Opened for pictures like these. InputError for what is no network, or ends in no linear layer."""
        check_backbone(text)
        backbone = open_victim(text, device=device, trust=trust, bounds=data.bounds)
        return cls(text, backbone, last_linear(backbone, data.batch([0])[0]))

    def fit(self, lessons: Lessons) -> Victim:
        inputs = features(self.backbone, self.layer, lessons)
        head = fit_head(inputs.float(), lessons.answers, len(lessons.classes))
        return _surrogate(with_head(self.backbone, self.layer, head, lessons.classes, "surrogate"), lessons)

    def save(
        self, surrogate: Victim, lessons: Lessons, path: str | os.PathLike[str], facts: Mapping[str, float]
    ) -> None:
        assert surrogate.module is not None
        head = surrogate.module.get_submodule(self.layer)
        assert isinstance(head, nn.Linear)
        backbone = self.backbone
        card = HeadCard(
            self.text, backbone.digest, self.layer, lessons.classes, lessons.name, lessons.bounds, {**facts}
        )
        save_head(head, card, path)


def _surrogate(victim: Victim, lessons: Lessons) -> Victim:
    assert victim.module is not None
    victim.module.requires_grad_(False)
    return replace(victim, shape=lessons.shape, classes=lessons.classes)
