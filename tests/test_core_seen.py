"""Two models of one digest give the same answers, whatever a callable hides its network in; what cannot be seen is said."""

from __future__ import annotations

import functools
import sys
import types
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import brittle
from brittle.core.seen import digest_of, see
from brittle.core.victim import Victim, as_victim
from brittle.errors import InputError


def net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4)).eval()


GLOBAL = net(0)
ELSEWHERE = types.ModuleType("elsewhere")
sys.modules["elsewhere"] = ELSEWHERE


class Opened:
    def __init__(self, model: nn.Module) -> None:
        self.inner = types.SimpleNamespace(model=model)

    def __call__(self, x: Tensor) -> Any:
        return self.run(x)

    def run(self, x: Tensor) -> Any:
        return self.inner.model(x)


def default(model: nn.Module) -> Callable[[Tensor], Any]:
    def ask(x: Tensor, model: nn.Module = model) -> Any:
        return model(x)

    return ask


def keyword(model: nn.Module) -> Callable[[Tensor], Any]:
    def ask(x: Tensor, *, model: nn.Module = model) -> Any:
        return model(x)

    return ask


def by_global(model: nn.Module) -> Callable[[Tensor], Any]:
    global GLOBAL
    GLOBAL = model

    def inner(x: Tensor) -> Any:
        return GLOBAL(x)

    return lambda x: [inner(one[None]) for one in x]


def by_attributes(model: nn.Module) -> Callable[[Tensor], Any]:
    ELSEWHERE.room = types.SimpleNamespace(model=model)  # type: ignore[attr-defined]
    return lambda x: ELSEWHERE.room.model(x)


def by_import(model: nn.Module) -> Callable[[Tensor], Any]:
    ELSEWHERE.model = model  # type: ignore[attr-defined]

    def ask(x: Tensor) -> Any:
        import elsewhere  # type: ignore[import-not-found]

        return elsewhere.model(x)

    return ask


def by_weights(model: nn.Module) -> Callable[[Tensor], Any]:
    (weight, *_) = [p.detach().numpy() for p in model.parameters()]
    return lambda x: torch.from_numpy(np.maximum(x.numpy() @ weight.T, 0))


def by_victim(model: nn.Module) -> Any:
    return Victim(lambda x: model(x))


HIDING: dict[str, Callable[[nn.Module], Callable[[Tensor], Any]]] = {
    "a closure": lambda model: lambda x: model(x),
    "a partial": lambda model: functools.partial(lambda inner, x: inner(x), model),
    "an object": Opened,
    "a bound method": lambda model: Opened(model).run,
    "a module's own method": lambda model: model.forward,
    "a default": default,
    "a keyword's default": keyword,
    "a list in a dictionary": lambda model: (lambda held: lambda x: held["nets"][0](x))({"nets": [model]}),
    "a cache": lambda model: functools.lru_cache(Opened(model).run),
    "a global": by_global,
    "a chain of attributes": by_attributes,
    "an import": by_import,
    "an array": by_weights,
    "a victim without a digest": by_victim,
}


@pytest.mark.parametrize("where", HIDING)
def test_the_digest_of_a_callable_is_that_of_the_weights_in_it(where: str) -> None:
    hide = HIDING[where]
    first, again, other = (as_victim(hide(net(seed))).digest for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("where", [one for one in HIDING if one != "an array"])
def test_a_module_in_a_callable_is_frozen_and_its_training_mode_refused(where: str) -> None:
    model = net(0)
    victim = as_victim(HIDING[where](model))
    assert victim.module is model
    with victim.undisturbed(0):
        assert not any(p.requires_grad for p in model.parameters())
    assert all(p.requires_grad for p in model.parameters())
    model[2].train()  # type: ignore[index, operator]
    with pytest.raises(InputError, match=r"training mode \(2\); call model.eval"):
        as_victim(HIDING[where](model))


def test_the_type_of_weights_in_a_callable_is_known() -> None:
    model = net(0).double()
    x = torch.rand(9, 6, dtype=torch.float64)
    report = brittle.evaluate(lambda x: model(x), (x, model(x).argmax(1)), "linf:0.1", attacks=["fgsm"])
    assert report.clean_accuracy == 1
    assert as_victim(lambda x: model(x)).dtype == torch.float64


class Scaled(nn.Module):
    """Its print says neither what it multiplies with nor what it subtracts."""

    def __init__(self, by: float, mean: float, turn: Callable[[Tensor], Tensor] = torch.relu) -> None:
        super().__init__()
        self.by, self.calls, self.last, self.turn = by, 0, None, turn
        self.inner = net(0)
        self.register_buffer("mean", torch.tensor(mean), persistent=False)

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        self.last = x
        return self.inner(self.turn(x - self.mean) * self.by)


def test_what_the_print_of_a_module_does_not_say_is_in_its_digest() -> None:
    def less(x: Tensor) -> Tensor:
        return x - 1

    base = see(Scaled(1, 0.5)).digest
    assert see(Scaled(1, 0.5)).digest == base
    hooked = Scaled(1, 0.5)
    hooked.inner.register_forward_hook(lambda module, args, output: -output)
    others = [Scaled(2, 0.5), Scaled(1, 0.25), Scaled(1, 0.5, less), hooked]
    assert len({base, *(see(other).digest for other in others)}) == 5


def test_what_a_call_writes_is_no_part_of_the_digest() -> None:
    model = Scaled(1, 0.5)
    before = see(model).digest
    model(torch.rand(3, 6))
    assert see(model).digest == before


def test_counting_the_calls_changes_no_digest() -> None:
    model, asked, sizes = net(0), {"rows": 0}, [0]

    def counted(x: Tensor) -> Any:
        asked["rows"] += len(x)
        sizes.append(len(x))
        return model(x)

    before = see(counted).digest
    counted(torch.rand(3, 6))
    assert see(counted).digest == before


def test_a_module_of_torch_alone_has_the_digest_of_its_print_and_weights() -> None:
    seen = see(net(0))
    assert seen.digest == digest_of(net(0))
    assert not seen.hidden


def test_what_cannot_be_seen_is_named(tmp_path: Path) -> None:
    def by_web(x: Tensor) -> Any:
        return urllib.request.urlopen("http://127.0.0.1:9/", x.numpy().tobytes())

    def by_file(x: Tensor) -> Any:
        return torch.load(tmp_path / "weights.pt")(x)

    def by_hand(x: Tensor) -> Any:
        with open(tmp_path / "weights", "rb") as file:
            return x * len(file.read())

    for ask, hidden in ((by_web, "urllib"), (by_file, "torch.load"), (by_hand, "what it opens")):
        assert hidden in see(ask).hidden
    assert not see(lambda x: torch.nn.functional.softmax(net(0)(x), 1)).hidden


def test_a_folder_never_gives_the_figures_of_another_callable(tmp_path: Path) -> None:
    x = torch.rand(16, 6)
    labels = net(0)(x).argmax(1)

    def figures(model: nn.Module) -> float:
        return brittle.evaluate(
            lambda x: model(x), (x, labels), "linf:0.01", attacks=["fgsm"], out=tmp_path
        ).clean_accuracy

    assert figures(net(0)) == figures(net(0)) == 1
    with pytest.raises(InputError, match="the model changed; give another --out"):
        figures(net(1))


def test_a_run_on_weights_that_cannot_be_seen_is_not_resumed(tmp_path: Path) -> None:
    x, weights = torch.rand(16, 6), tmp_path / "weights.pt"
    torch.save(net(0)[2].weight.detach(), weights)  # type: ignore[index, union-attr]

    def ask(x: Tensor) -> Any:
        return x[:, :5] @ torch.load(weights).T

    def run() -> brittle.Report:
        return brittle.evaluate(ask, (x, ask(x).argmax(1)), "linf:0.01", attacks=["fgsm"], out=tmp_path / "run")

    run()
    with pytest.raises(InputError, match=r"cannot be seen \(torch.load\); give another --out"):
        run()
