"""Keras files: the model's own logits, with channels first, and nothing run that was not trusted."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")

import brittle  # noqa: E402
from brittle.core.access import Access  # noqa: E402
from brittle.errors import InputError  # noqa: E402
from brittle.victims import open_victim  # noqa: E402

X = torch.rand(6, 3, 10, 8, generator=torch.Generator().manual_seed(0))


def _model(*last: object) -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((10, 8, 3)), layers.Conv2D(6, 3, activation="relu"), layers.BatchNormalization(),
            layers.MaxPooling2D(), layers.Flatten(), layers.Dropout(0.5), *(last or (layers.Dense(10),)),
        ]
    )  # fmt: skip


def _own(model: keras.Model) -> torch.Tensor:
    """What Keras itself says, by its own way in."""
    return torch.from_numpy(np.asarray(model.predict(X.permute(0, 2, 3, 1).numpy(), verbose=0)))


def test_logits_are_the_models_own_and_have_gradients(tmp_path: Path) -> None:
    model = _model()
    model.save(tmp_path / "net.keras")
    victim = open_victim(str(tmp_path / "net.keras"))
    assert (victim.access, victim.shape) == (Access.GRADIENT, (3, 10, 8))
    with torch.no_grad():
        assert float((victim(X) - _own(model)).abs().max()) <= 1e-4
    asked = X.clone().requires_grad_()
    (grad,) = torch.autograd.grad(victim(asked)[:, 0].sum(), asked)
    ahead = (victim(X + 1e-3 * grad) - victim(X - 1e-3 * grad))[:, 0].detach() / 2e-3
    assert torch.allclose(ahead, grad.square().flatten(1).sum(1), rtol=0.05)
    outcome = brittle.attack(brittle.pgd(steps=5), victim, X, victim(X).argmax(1), brittle.linf(0.3))
    assert outcome.success.any()
    assert open_victim(str(tmp_path / "net.keras")).digest == victim.digest


def test_a_softmax_at_the_end_is_taken_off(tmp_path: Path) -> None:
    layers = keras.layers
    for name, last in (
        ("dense", (layers.Dense(10, activation="softmax"),)),
        ("layer", (layers.Dense(10), layers.Softmax())),
        ("activation", (layers.Dense(10), layers.Activation("softmax"))),
    ):
        model = _model(*last)
        model.save(tmp_path / f"{name}.keras")
        with torch.no_grad():
            outputs = open_victim(f"keras:{tmp_path / name}.keras")(X)
        assert float((outputs.softmax(1) - _own(model)).abs().max()) <= 1e-4
        assert float(outputs.sum(1).sub(1).abs().min()) > 1e-3


def test_code_in_a_file_does_not_run_unless_it_is_trusted(tmp_path: Path) -> None:
    model = _model(keras.layers.Lambda(lambda x: x * 2), keras.layers.Dense(10))
    model.save(tmp_path / "net.keras")
    with pytest.raises(InputError, match="holds code of its own .*add --trust"):
        open_victim(str(tmp_path / "net.keras"))
    with torch.no_grad():
        assert float((open_victim(str(tmp_path / "net.keras"), trust=True)(X) - _own(model)).abs().max()) <= 1e-4


def test_what_is_wrong_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "words.keras").write_text("no model")
    (tmp_path / "net.h5").write_text("no model")
    for text, sentence in (
        ("words.keras", "cannot be read by Keras"),
        ("net.h5", "is no .keras file"),
        ("nothing.keras", "does not exist"),
        ("words.keras?shape=3", "unknown option of keras 'shape'"),
    ):
        with pytest.raises(InputError, match=sentence):
            open_victim(f"keras:{tmp_path}/{text}")
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(InputError, match="Keras runs on jax, .*set KERAS_BACKEND=torch before Keras is imported"):
        open_victim(f"keras:{tmp_path}/words.keras")
