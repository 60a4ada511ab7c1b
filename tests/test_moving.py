"""docs/moving.md: every block of code runs, beside the library that it replaces where that is installed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import brittle

PAGE = Path(__file__).parent.parent / "docs" / "moving.md"
EPS = 0.15
COUNT = 24


@pytest.fixture(scope="module")
def scope() -> dict[str, Any]:
    """What the page's blocks take for granted: a small network that has learned the digits."""
    digits = load_digits()
    x = torch.from_numpy(digits.images).float().div(16)[:, None]
    labels = torch.from_numpy(digits.target).long()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(60):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x), labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    assert float((model.eval()(x).argmax(1) == labels).double().mean()) > 0.95
    return {"model": model, "x": x[:COUNT], "labels": labels[:COUNT], "eps": EPS, "brittle": brittle}


def _blocks() -> dict[str, list[str]]:
    """The page's blocks by the name on their first line, in order."""
    found: dict[str, list[str]] = {}
    for name, code in re.findall(r"```python\n# (\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        found.setdefault(name, []).append(code)
    return found


def _run(code: str, scope: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The names after our own page's block."""
    names = {**scope, **more}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(code, names)
    return names


@pytest.fixture(scope="module")
def ours(scope: dict[str, Any]) -> list[dict[str, Any]]:
    """The names after each of our blocks."""
    return [_run(code, scope) for code in _blocks()["brittle"]]


def _left(x_adv: Tensor, scope: dict[str, Any]) -> int:
    """Samples that are still right, of points that lie in the ball and the box."""
    assert float((x_adv - scope["x"]).abs().max()) <= EPS + 1e-6
    assert 0 <= float(x_adv.min()) <= float(x_adv.max()) <= 1
    return int((scope["model"](x_adv).argmax(1) == scope["labels"]).sum())


@pytest.fixture
def peer(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The library of that name; AutoAttack's repository is looked for inside the folder that BRITTLE_CHECKOUTS names."""
    checkouts = os.environ.get("BRITTLE_CHECKOUTS")
    places = [str(path) for path in sorted(Path(checkouts).iterdir())] if checkouts else []
    sys.path += places
    try:
        yield import_module(request.param)
    except ImportError as error:
        mend = "see BRITTLE_CHECKOUTS" if request.param == "autoattack" else "pip install --no-deps -r tests/peers.txt"
        pytest.skip(f"{request.param} is not installed ({error}); {mend}")
    finally:
        sys.path[:] = [path for path in sys.path if path not in places]


def test_the_page_has_a_block_of_ours_for_each_of_theirs() -> None:
    blocks = _blocks()
    assert list(blocks) == ["autoattack", "brittle", "foolbox", "torchattacks"]
    assert len(blocks["brittle"]) == 3
    assert all(len(code.strip().splitlines()) <= 3 for codes in blocks.values() for code in codes)


@pytest.mark.parametrize("place", range(3))
def test_our_lines_run_and_break_the_model(place: int, scope: dict[str, Any], ours: list[dict[str, Any]]) -> None:
    names = ours[place]
    left = _left(names["x_adv"], scope)
    assert left < COUNT / 2
    if "robust_accuracy" in names:
        assert left == round(COUNT * names["robust_accuracy"])
    if "success" in names:
        assert left == int((~names["success"]).sum())


@pytest.mark.parametrize(("peer", "place"), [("foolbox", 1), ("torchattacks", 2)], indirect=["peer"])
def test_our_lines_win_what_theirs_do(
    peer: ModuleType, place: int, scope: dict[str, Any], ours: list[dict[str, Any]]
) -> None:
    theirs = _run(_blocks()[peer.__name__][0], scope, **{peer.__name__: peer})
    assert _left(ours[place]["x_adv"], scope) <= _left(theirs["x_adv"], scope)


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["autoattack"], indirect=True)
def test_our_autoattack_gives_the_verdicts_of_theirs(peer: ModuleType, scope: dict[str, Any]) -> None:
    """At a radius that some samples survive, so that every part has its turn."""
    smaller = {**scope, "eps": 0.1}
    theirs = _run(_blocks()["autoattack"][0], smaller, AutoAttack=peer.AutoAttack)
    ours = _run(_blocks()["brittle"][0], smaller)
    right = [scope["model"](names["x_adv"]).argmax(1) == scope["labels"] for names in (ours, theirs)]
    assert torch.equal(*right)
    assert 0 < int(right[0].sum()) < COUNT / 2


@pytest.mark.parametrize("peer", ["foolbox", "torchattacks"], indirect=True)
def test_one_step_is_the_same_point(peer: ModuleType, scope: dict[str, Any]) -> None:
    """Of FGSM there is nothing to choose; but where the model is sure, the slope of their loss is what rounding left of it."""
    model, x, labels = scope["model"], scope["x"], scope["labels"]
    if peer.__name__ == "foolbox":
        attack = peer.attacks.LinfFastGradientAttack(random_start=False)
        theirs = attack(peer.PyTorchModel(model, bounds=(0, 1)), x, labels, epsilons=EPS)[1]
    else:
        theirs = peer.FGSM(model, eps=EPS)(x, labels)
    ours = brittle.attack(brittle.fgsm(), model, x, labels, brittle.linf(EPS)).x_adv
    unsure = model(x).softmax(1).gather(1, labels[:, None])[:, 0] < 0.999
    assert int(unsure.sum()) >= 10
    torch.testing.assert_close(ours[unsure], theirs[unsure], atol=1e-6, rtol=0)


def _names() -> list[list[list[str]]]:
    """The page's table: a row a line, a list of names a column."""
    lines = re.findall(r"^\| (`.*?) \|$", PAGE.read_text(), re.MULTILINE)
    return [[re.findall(r"`(\w+)`", cell) for cell in line.split("|")] for line in lines]


def test_the_names_on_our_side_exist() -> None:
    assert len(_names()) == 20
    for ours, *_ in _names():
        assert ours
        assert all(name in brittle.__all__ for name in ours)


@pytest.mark.parametrize(("peer", "column"), [("foolbox", 1), ("torchattacks", 2)], indirect=["peer"])
def test_the_names_on_their_side_exist(peer: ModuleType, column: int) -> None:
    home = peer.attacks if peer.__name__ == "foolbox" else peer
    assert [name for row in _names() for name in row[column] if not hasattr(home, name)] == []
