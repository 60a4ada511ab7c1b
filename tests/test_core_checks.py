"""Every mistake gets one sentence with the value and the mend; and the model comes back as it went in."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import brittle
from brittle.core.access import Access
from brittle.core.victim import as_victim, digest_of
from brittle.errors import InputError
from brittle.testing import network
from brittle.testing.victims import inputs

X = inputs((3, 4), dtype=torch.float32, bounds=(0.0, 1.0))
MODEL = network((3, 4), dtype=torch.float32).module
assert MODEL is not None
LABELS = MODEL(X).argmax(1)


def _attack(model: Any = MODEL, x: Any = X, labels: Any = LABELS, threat: Any = None, **more: Any) -> Any:
    return brittle.attack(brittle.fgsm(), model, x, labels, threat or brittle.linf(0.1), **more)


def _poked(value: float) -> Tensor:
    x = X.clone()
    x[3, 1, 2] = value
    return x


def _model(outputs: Any) -> Any:
    """A model that wraps or spoils the outputs of MODEL."""

    def spoiled(x: Tensor) -> Any:
        assert MODEL is not None
        return outputs(MODEL(x))

    return spoiled


def _nan_row(z: Tensor, value: float) -> Tensor:
    return torch.where(torch.arange(len(z))[:, None] == 1, value, z)


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "an eps of 8": ({"threat": brittle.linf(8)}, r"eps=8 exceeds the input range \[0, 1\]; did you mean 8/255\?"),
    "an l2 eps beyond the box": ({"threat": brittle.l2(4)}, "eps=4 exceeds the l2 diameter of the input box; .* 3.46"),
    "an l1 eps beyond the box": ({"threat": brittle.l1(13)}, "eps=13 exceeds the l1 diameter .* means anything is 12"),
    "more features than there are": ({"threat": brittle.l0(13)}, "eps=13 exceeds the 12 features of a sample"),
    "inputs above the bounds": ({"x": X * 255}, r"outside bounds=\(0, 1\); scale them, or pass bounds="),
    "an input below the bounds": ({"x": _poked(-0.5)}, r"the inputs span \[-0.5, .*outside bounds=\(0, 1\)"),
    "an infinite input": ({"x": _poked(float("inf"))}, "inf], outside bounds"),
    "a NaN input": ({"x": _poked(float("nan"))}, "the inputs contain NaN"),
    "integer inputs": (
        {"x": (X * 255).to(torch.uint8)},
        r"the inputs are torch.uint8; give floats, .* x.float\(\) / 255",
    ),
    "inputs of another dtype than the weights": (
        {"x": X.double()},
        r"the inputs are torch.float64, the model's weights torch.float32; give x.to\(torch.float32\)",
    ),
    "inputs that are a text": ({"x": "photo.png"}, "the inputs are a str; give a tensor, an array or a list"),
    "inputs without a batch": ({"x": X[0, 0]}, r"the inputs have shape \(4,\); the first axis must be the batch"),
    "empty bounds": ({"bounds": (1, 1)}, r"bounds=\(1, 1\) are empty"),
    "a label out of range": ({"labels": LABELS * 0 + 4}, "label 4 is out of range: the model has 4 classes, 0 to 3"),
    "a negative label": ({"labels": LABELS - 9}, r"label -\d is out of range"),
    "float labels": (
        {"labels": LABELS.float()},
        r"the labels are torch.float32; give an integer tensor, .* labels.long\(\)",
    ),
    "boolean labels": ({"labels": LABELS > 1}, "the labels are torch.bool"),
    "labels that are names": ({"labels": ["cat"] * 7}, "cannot be made a tensor"),
    "too many labels": ({"labels": LABELS.repeat(2)}, r"the labels have shape \(14,\), the inputs need \(7,\)"),
    "too few labels": (
        {"labels": LABELS[:3], "batch_size": 3},
        r"the labels have shape \(3,\), the inputs need \(7,\)",
    ),
    "one-hot labels": ({"labels": torch.eye(4).long()[LABELS]}, r"the labels have shape \(7, 4\)"),
    "a target that is the label": ({"targets": LABELS}, "is the true label of a sample; choose another class"),
    "a target out of range": ({"targets": 4}, "target 4 is out of range: the model has 4 classes"),
    "too many targets": ({"targets": LABELS.repeat(2)}, r"the targets have shape \(14,\)"),
    "too many ids": ({"ids": torch.arange(9)}, r"the ids have shape \(9,\), the inputs need \(7,\)"),
    "a confidence of 90": ({"confidence": 90}, "confidence=90 is not a probability; give a number between 0 and 1"),
    "a batch size of -1": ({"batch_size": -1}, "batch_size=-1 is too few"),
    "probabilities": ({"model": _model(lambda z: z.softmax(1))}, "returns probabilities .* which hide gradients"),
    "NaN logits": ({"model": _model(lambda z: _nan_row(z, float("nan")))}, "NaN logits for 1 of 7 clean inputs"),
    "infinite logits": ({"model": _model(lambda z: _nan_row(z, float("inf")))}, "infinite logits for 1 of 7 clean"),
    "a dictionary": ({"model": _model(lambda z: {"scores": z})}, r"returns a dict.*lambda x: model\(x\)\['scores'\]"),
    "a tuple whose first is no row of logits": (
        {"model": _model(lambda z: (z[0], z))},
        r"returns a tuple, .*output=1, or wrap it as lambda x: model\(x\)\[1\]",
    ),
    "a flat output": ({"model": _model(lambda z: z.flatten())}, r"returns shape \(28,\) for 7 inputs"),
    "outputs with another batch axis": ({"model": _model(lambda z: z.T)}, r"returns shape \(4, 7\) for 7 inputs"),
    "one class": ({"model": _model(lambda z: z[:, :1])}, r"one output; .*torch.cat\(\[-s / 2, s / 2\], dim=1\)"),
    "class indices": ({"model": _model(lambda z: z.long())}, "returns torch.int64; logits must be floats"),
    "no model": ({"model": "resnet"}, "the model is a str; give an nn.Module, a callable or a Victim"),
    "a mask of another shape": (
        {"threat": brittle.linf(0.1, torch.ones(5, 5))},
        r"mask has shape \(5, 5\), the samples",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_sentence(mistake: str) -> None:
    given, sentence = MISTAKES[mistake]
    with pytest.raises(InputError, match=sentence) as raised:
        _attack(**given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("part", [None, "2"])
def test_training_mode_is_refused_by_name(part: str | None) -> None:
    model = network((3, 4), dtype=torch.float32).module
    assert model is not None
    (model if part is None else model.get_submodule(part)).train()
    with pytest.raises(InputError, match=rf"training mode \({part or 'the model'}.*call model.eval\(\) first"):
        _attack(model)


def test_a_model_put_back_into_training_mode_is_refused_too() -> None:
    victim = network((3, 4), dtype=torch.float32)
    assert victim.module is not None
    victim.module.train()
    with pytest.raises(InputError, match="training mode"):
        _attack(victim)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: brittle.linf(-1), "eps=-1 is not a size"),
        (lambda: brittle.linf(float("nan")), "eps=nan is not a size"),
        (lambda: brittle.parse_threat("lnf:0.1"), r"unknown threat 'lnf'; did you mean linf\?"),
        (lambda: brittle.parse_threat("linf"), "needs one size; write for example 'linf:8/255'"),
        (lambda: brittle.parse_threat("linf:eight"), "'eight' is not a number"),
        (lambda: brittle.parse_threat("linf:0.1,masks=a.npy"), r"unknown threat option 'masks'; did you mean mask\?"),
        (lambda: brittle.parse_threat("box:1"), "box has no eps"),
        (lambda: brittle.parse_attack("fsgm"), r"unknown attack 'fsgm'; did you mean .*fgsm"),
        (lambda: brittle.parse_attack("pgd:step=3"), r"unknown option of pgd 'step'; did you mean steps"),
        (lambda: brittle.parse_attack("pgd:40"), "'40' in 'pgd:40' has no name; write pgd:steps=40"),
        (lambda: brittle.parse_attack("pgd:steps=many"), "steps of pgd is 'many'; write a whole number"),
        (lambda: brittle.parse_attack("pgd:stop=perhaps"), "stop of pgd is 'perhaps'; write true or false"),
        (lambda: brittle.pgd(steps=0), "steps=0 is too few"),
        (lambda: brittle.pgd(draws=0), "draws=0 is too few"),
        (lambda: brittle.pgd(step_size=0.0), "step_size=0 is not positive"),
        (lambda: brittle.pgd(restarts=0), "restarts=0 is too few"),
        (lambda: brittle.fgsm(loss="crossentropy"), r"unknown loss 'crossentropy'; did you mean cross_entropy\?"),
        (lambda: brittle.uniform_noise(0), "draws=0 is too few"),
        (lambda: brittle.GradientAscent(steps=1, keep="first"), "keep='first' is not one of best, last"),
        (lambda: brittle.GradientAscent(steps=1, start="zero"), "start='zero' is not one of clean, random"),
        (lambda: brittle.Noise(kind="pink"), "kind='pink' is not one of uniform, gaussian"),
        (lambda: brittle.Mask.of(np.array([0.5])), "a mask holds True or False"),
        (lambda: brittle.Mask.of(np.zeros(3)), "the mask allows no feature to change"),
        (lambda: brittle.Mask.read("nowhere.npy"), "nowhere.npy does not exist; give a mask"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_when_it_is_made(make: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make()


def test_what_is_right_is_accepted() -> None:
    assert _attack(labels=LABELS.to(torch.int32), ids=torch.arange(7, dtype=torch.int32)).feasible.all()
    assert _attack(labels=LABELS.to(torch.uint8)).feasible.all()
    assert _attack(x=X.double(), model=network((3, 4)).module).x_adv.dtype == torch.float64
    assert _attack(x=X * 255, bounds=(0, 255), threat=brittle.linf(8)).feasible.all()
    assert len(_attack(x=X[:0], labels=LABELS[:0]).success) == 0
    assert len(_attack(x=X[:1], labels=LABELS[:1]).success) == 1


@dataclass(frozen=True)
class _Falls:
    """Asks for a gradient, then fails."""

    access, minimises, paper = Access.GRADIENT, False, "none"

    def __call__(self, problem: Any) -> Tensor:
        brittle.fgsm()(problem)
        torch.rand(3)
        raise RuntimeError("fell")


@pytest.mark.parametrize("attack", [brittle.pgd(3, restarts=2), brittle.uniform_noise(2), _Falls()])
def test_the_model_comes_back_as_it_went_in(attack: Any) -> None:
    model = network((3, 4), dtype=torch.float32).module
    assert model is not None
    seen: list[int] = []
    model.register_forward_hook(lambda *_: seen.append(1))
    parameters = list(model.parameters())
    parameters[-1].grad = torch.full_like(parameters[-1], 0.25)
    wanted = [p.requires_grad for p in parameters]
    assert len(set(wanted)) == 2  # some frozen, some not
    digest, state = digest_of(model), (torch.get_rng_state(), repr(np.random.get_state()), random.getstate())
    kept = X.clone()
    try:
        brittle.attack(attack, model, X, LABELS, brittle.linf(0.1))
    except RuntimeError as error:
        assert str(error) == "fell"  # noqa: PT017
    assert seen  # the hook ran
    assert len(model._forward_hooks) == 1
    assert [p.requires_grad for p in parameters] == wanted
    assert [p.grad is None for p in parameters] == [True] * (len(parameters) - 1) + [False]
    assert (parameters[-1].grad == 0.25).all()
    assert digest_of(model) == digest  # weights and BatchNorm buffers
    assert not any(m.training for m in model.modules())
    assert {p.device.type for p in parameters} == {"cpu"}
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (repr(np.random.get_state()), random.getstate()) == state[1:]
    assert torch.equal(X, kept)
    assert not X.requires_grad


def test_a_random_model_answers_the_same_for_the_same_seed() -> None:
    def noisy(x: Tensor) -> Tensor:
        assert MODEL is not None
        z: Tensor = MODEL(x)
        return z + torch.randn_like(z)

    first, second, other = (_attack(noisy, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.margin, second.margin)
    assert not torch.equal(first.margin, other.margin)


def test_the_digest_knows_every_weight_and_buffer() -> None:
    model = network((3, 4)).module
    assert isinstance(model, nn.Module)
    digests = {digest_of(model)}
    for tensor in model.state_dict().values():
        tensor.view(-1)[0] += 1
        digests.add(digest_of(model))
    assert len(digests) == 1 + len(model.state_dict())
    assert as_victim(model).digest == digest_of(model)
