"""Bounds and sizes of each feature, bounds that are not known, and logits of any size."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import brittle
from brittle.attacks.registry import entry_of
from brittle.certify.registry import parse_certifier
from brittle.core.bounds import PerFeature, as_bounds
from brittle.core.victim import as_victim
from brittle.errors import InputError
from brittle.runs.values import decode, encode

LOW, HIGH = torch.tensor([0.0, 0.0, 17.0, -5.0]), torch.tensor([1.0, 99999.0, 90.0, 5.0])
SHARES = (
    "pgd", "apgd", "fgsm", "deepfool", "fab", "cw", "ddn", "fmn", "square:queries=200", "hop_skip_jump:queries=300",
    "surfree:queries=300", "boundary:queries=300", "pdgd", "alma:steps=50", "trust_region", "simba:queries=200",
)  # fmt: skip


def _under(norms: tuple[str, ...], attacks: tuple[str, ...]) -> list[tuple[str, str]]:
    """The norms under which each attack works."""
    return [(norm, attack) for attack in attacks for norm in norms if norm in entry_of(attack).norms.split()]


class Columns(nn.Module):
    """Takes columns in units of their own, and scales them itself."""

    def __init__(self, low: Tensor, width: Tensor) -> None:
        super().__init__()
        self.low, self.width = low, width
        self.net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = self.net((x - self.low) / self.width)
        return scaled


def _columns() -> tuple[Columns, Columns, Tensor, Tensor, Tensor]:
    """A network on columns, the same on their shares of the width, columns, shares, labels."""
    torch.manual_seed(0)
    raw, plain = Columns(LOW, HIGH - LOW), Columns(torch.zeros(4), torch.ones(4))
    plain.load_state_dict(raw.state_dict())
    shares = torch.rand(12, 4)
    x = (LOW + shares * (HIGH - LOW)).clamp(LOW, HIGH)
    return raw.eval(), plain.eval(), x, shares, plain(shares).argmax(1)


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "attack"), _under(("linf", "l2", "l1"), SHARES))
def test_columns_in_their_own_units_are_as_brittle_as_their_shares(norm: str, attack: str) -> None:
    """eps = 0.3 of each column's width, attacked in columns, wins as often as 0.3 on columns that are scaled to [0, 1]."""
    raw, plain, x, shares, labels = _columns()
    value, ball = brittle.parse_attack(attack), {"linf": brittle.linf, "l2": brittle.l2, "l1": brittle.l1}[norm]
    wanted = brittle.attack(value, plain, shares, labels, ball(0.3))
    found = brittle.attack(value, raw, x, labels, ball(0.3 * (HIGH - LOW)), bounds=(LOW, HIGH))
    moved = ((found.x_adv - x).double() / (0.3 * (HIGH - LOW)).double()).abs()
    size = {"linf": moved.amax(1), "l2": moved.norm(dim=1), "l1": moved.sum(1)}[norm]
    assert (size[found.success] <= 1 + 1e-3).all()  # a column at 90,000 of width 99,999 rounds by 0.008
    assert ((found.x_adv >= LOW) & (found.x_adv <= HIGH)).all()
    assert abs(int(found.success.sum()) - int(wanted.success.sum())) <= 1


def test_a_feature_whose_eps_is_zero_stands_still() -> None:
    raw, _, x, _, labels = _columns()
    eps = 0.3 * (HIGH - LOW) * torch.tensor([1.0, 0.0, 1.0, 0.0])
    found = brittle.attack(brittle.pgd(), raw, x, labels, brittle.linf(eps), bounds=(LOW, HIGH))
    assert torch.equal(found.x_adv[:, [1, 3]], x[:, [1, 3]])
    assert (found.x_adv[:, [0, 2]] != x[:, [0, 2]]).any()
    masked = brittle.linf(0.3 * (HIGH - LOW), torch.tensor([True, False, True, False]))
    same = brittle.attack(brittle.pgd(), raw, x, labels, masked, bounds=(LOW, HIGH))
    assert torch.equal(found.x_adv, same.x_adv)


def test_an_eps_of_each_feature_is_a_value_and_comes_from_a_file(tmp_path: Path) -> None:
    eps = np.array([0.1, 10.0, 2.0, 1.0])
    np.save(tmp_path / "eps.npy", eps)
    threat = brittle.linf(eps)
    assert decode(encode(threat)) == threat == brittle.linf(torch.from_numpy(eps)) == brittle.linf(list(eps))
    assert brittle.parse_threat(f"linf:file={tmp_path}/eps.npy") == threat
    assert brittle.parse_threat(f"l2:0.5,file={tmp_path}/eps.npy") == brittle.l2(eps).with_eps(0.5)
    assert brittle.linf(np.float32(0.5)) == brittle.linf(torch.tensor(0.5)) == brittle.linf(0.5)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: brittle.linf([0.1, -1.0, 0.2]), "eps=-1 of feature 1 is not a size"),
        (lambda: brittle.linf([0.1, math.nan]), "eps=nan of feature 1 is not a size"),
        (lambda: brittle.l2([0.0, 0.0]), "eps of every feature is zero"),
        (lambda: brittle.l0([1.0, 2.0]), "l0 counts features"),
        (lambda: brittle.union(brittle.linf([0.1, 0.2])), "no eps for each feature"),
        (lambda: brittle.linf({"a": 1}), "eps is a dict"),
        (lambda: as_bounds((0.0, math.nan)), r"bounds=\(0, nan\) are no range"),
        (lambda: as_bounds(([0.0, 1.0, 5.0], [1.0, 1.0, 2.0])), r"bounds=\(1, 1\) of feature 1 are empty, no range"),
        (lambda: as_bounds(([[0.0], [1.0]], 1.0)), r"of feature \(1, 0\)"),
        (lambda: as_bounds(([0.0, 0.0], [1.0, 1.0, 1.0])), "do not go together"),
    ],
)  # fmt: skip
def test_what_is_no_size_or_no_range_is_named_by_its_feature(make: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make()


def test_inputs_outside_a_features_bounds_are_named() -> None:
    raw, _, x, _, labels = _columns()
    x[3, 0] = 1.5
    with pytest.raises(InputError, match="feature 0 of input 3 is 1.5, outside its bounds"):
        brittle.attack(brittle.pgd(), raw, x, labels, brittle.linf(0.1), bounds=(LOW, HIGH))
    with pytest.raises(InputError, match="feature 0 of sample 3 of x of arrays is 1.5"):
        brittle.evaluate(raw, (x, labels), brittle.linf(0.1), bounds=(LOW, HIGH), progress=False)
    with pytest.raises(InputError, match=r"have shape \(5,\), the samples \(4,\)"):
        brittle.attack(brittle.pgd(), raw, x, labels, brittle.linf(torch.ones(5)), bounds=(-10, 1e6))


def test_wide_bounds_accept_no_input_far_outside_them() -> None:
    raw, _, x, _, labels = _columns()
    x = x.clamp(0, 1)
    x[0, 0] = -0.5  # 1e-6 of the range would be 1.5
    with pytest.raises(InputError, match="outside bounds"):
        brittle.attack(brittle.pgd(), raw, x, labels, brittle.linf(0.1), bounds=(0, 1.5e6))


def test_an_evaluation_under_bounds_and_eps_of_each_feature(tmp_path: Path) -> None:
    """The same network on columns and on shares: the same robust accuracy, proofs among it, a report, and a run that goes on."""
    raw, plain, x, shares, labels = _columns()
    both = [
        brittle.evaluate(raw, (x, labels), brittle.linf(0.2 * (HIGH - LOW)), bounds=(LOW, HIGH), effort="quick",
                         out=tmp_path / "columns", progress=False),
        brittle.evaluate(plain, (shares, labels), brittle.linf(0.2), effort="quick", progress=False),
    ]  # fmt: skip
    assert both[0].robust_accuracy == both[1].robust_accuracy
    both[0].save(tmp_path / "report.html")
    again = brittle.evaluate(raw, (x, labels), brittle.linf(0.2 * (HIGH - LOW)), bounds=(LOW, HIGH), effort="quick",
                             out=tmp_path / "columns", progress=False)  # fmt: skip
    assert again.robust_accuracy == both[0].robust_accuracy


def test_a_proof_holds_in_each_features_own_units() -> None:
    raw, plain, x, shares, labels = _columns()
    crown = parse_certifier("crown")
    ours = crown(as_victim(raw, (LOW, HIGH)), brittle.linf(0.02 * (HIGH - LOW)), x, labels)
    theirs = crown(as_victim(plain), brittle.linf(0.02), shares, labels)
    torch.testing.assert_close(ours, theirs, rtol=0.01, atol=0.01)


INFINITE = (-math.inf, math.inf)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("norm", "attack"),
    _under(
        ("linf", "l2", "l1", "l0"),
        (*SHARES, "jsma", "uniform_noise", "sparse_rs:queries=200", "sigma_zero", "vfga", "pointwise:queries=200"),
    ),
)
def test_where_no_bounds_are_known_attacks_find_what_wide_ones_let_them_find(norm: str, attack: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3)).eval()
    x = torch.randn(8, 6)
    labels, value = net(x).argmax(1), brittle.parse_attack(attack)
    threat = {"linf": brittle.linf(0.5), "l2": brittle.l2(1.0), "l1": brittle.l1(2.0), "l0": brittle.l0(3)}[norm]
    wide = brittle.attack(value, net, x, labels, threat, bounds=(-20, 20))
    found = brittle.attack(value, net, x, labels, threat, bounds=INFINITE)
    assert torch.isfinite(found.x_adv).all()
    assert found.feasible[found.success].all()
    assert int(found.success.sum()) >= int(wide.success.sum()) - 2


def test_pictures_that_change_as_a_whole_need_finite_bounds() -> None:
    x = torch.rand(2, 3, 4, 4)
    with pytest.raises(InputError, match="needs finite bounds"):
        brittle.spatial().around(x, *INFINITE)


def test_per_feature_numbers_broadcast_and_keep_their_type() -> None:
    table = PerFeature.of(np.arange(3.0).reshape(3, 1, 1))
    assert table.like(torch.zeros(2, 3, 4, 5, dtype=torch.float32)).shape == (1, 3, 4, 5)
    assert hash(as_bounds((table, 5.0))) == hash(as_bounds((PerFeature.of(np.arange(3.0).reshape(3, 1, 1)), 5.0)))


@pytest.mark.parametrize("attack", ["deepfool", "ddn", "fab"])
def test_a_class_that_is_ruled_out_hides_no_win(attack: str) -> None:
    """Logits of -1e9 for classes that cannot be: what a win must exceed is the rounding of those that are compared."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4)).eval()
    x = torch.rand(12, 20)
    labels = net(x).argmax(1)

    def ruled_out(point: Tensor) -> Tensor:
        return torch.cat([net(point), point.new_full((len(point), 2), -1e9)], 1)

    plain, masked = (
        brittle.attack(brittle.parse_attack(attack), model, x, labels, brittle.l2(5.0), bounds=(-20, 20))
        for model in (net, ruled_out)
    )
    assert torch.equal(masked.success, plain.success)
    assert plain.success.all()
    assert float(masked.size.median()) <= 1.3 * float(plain.size.median())


@pytest.mark.parametrize("threat", ["linf:25.7/255", "l2:0.7", "l0:6"])
@pytest.mark.parametrize("grid", [True, False], ids=["8-bit data", "other floats"])
def test_saved_pictures_lie_inside_the_threat_or_are_no_success(tmp_path: Path, threat: str, grid: bool) -> None:
    from PIL import Image

    from brittle.app.examples import craft, save_examples
    from brittle.data.samples import as_data
    from brittle.tasks.classification import Classification

    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    x = torch.rand(9, 1, 8, 8)
    x = (x * 255).round() / 255 if grid else x
    labels, ball = net(x).argmax(1), brittle.parse_threat(threat)
    task = Classification(as_victim(net), as_data((x, labels)))
    attack = brittle.parse_attack("sparse_rs:queries=300" if ball.name == "l0" else "apgd")
    clean, attacked = craft(attack, task, ball, range(9), 0)
    examples = save_examples(clean, attacked, task, ball, range(9), tmp_path)
    for i, example in enumerate(examples):
        first, second = (
            np.asarray(Image.open(tmp_path / f"{i:05d}-{kind}.png")).astype(float) / 255
            for kind in ("original", "adversarial")
        )
        delta = np.abs(second - first)
        size = {"linf": delta.max(), "l2": np.sqrt((delta**2).sum()), "l0": (delta > 0).sum()}[ball.name]
        fooled = int(net(torch.from_numpy(second).float().view(1, 1, 8, 8)).argmax()) != int(labels[i])
        assert size <= ball.eps * (1 + 1e-5)
        assert example.success_8bit == fooled
        assert example.size_8bit == pytest.approx(size, rel=1e-4)
    with (tmp_path / "examples.csv").open() as file:
        assert [row["success_8bit"] for row in csv.DictReader(file)] == [str(e.success_8bit) for e in examples]
    assert attacked.success.any()
