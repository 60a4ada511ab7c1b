"""One perturbation for all inputs, and inputs made from noise, on a network trained here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import brittle
from brittle.app.fool import fool
from brittle.app.universal import turned, universal
from brittle.attacks.fixed.input_optimisation import roughness_slope
from brittle.cli.main import app
from brittle.core.victim import Victim
from brittle.data.open import open_data
from brittle.victims.networks import parse_network, save
from brittle.victims.open import open_victim
from brittle.victims.train import train


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = open_data("digits?split=train")
    architecture = parse_network("mlp", data.shape, 10)
    path = tmp_path_factory.mktemp("net") / "digits.safetensors"
    save(train(data, architecture, epochs=10, seed=0), architecture, path, data="digits", bounds=data.bounds)
    return path


@pytest.fixture(scope="module")
def victim(saved: Path) -> Victim:
    return open_victim(f"net:{saved}")


def _robust(attack: brittle.Attack, victim: Victim, threat: brittle.core.problem.Threat) -> float:
    x, labels = open_data("digits").batch(range(200))
    return brittle.attack(attack, victim, x, labels, threat).robust_accuracy


@pytest.mark.parametrize("norm", ["linf:0.2", "l2:1.5"])
def test_a_universal_perturbation_fools_unseen_data_more_than_noise_of_its_size(victim: Victim, norm: str) -> None:
    threat = brittle.parse_threat(norm)
    made = universal(victim, open_data("digits?split=train"), threat, samples=500, epochs=5)
    assert _robust(made, victim, threat) < _robust(brittle.uniform_noise(), victim, threat) - 0.3
    region = threat.around(torch.zeros(1, *made.shape), -1, 1)
    assert bool(region.contains(made.delta[None]).all())


def test_a_targeted_one_pulls_towards_its_target(victim: Victim) -> None:
    threat = brittle.linf(0.3)
    x, labels = open_data("digits").batch(range(200))
    share = {}
    for target in (1, 8):
        made = universal(victim, open_data("digits?split=train"), threat, targets=target, samples=500, epochs=5)
        share[target] = (brittle.attack(made, victim, x, labels, threat).predicted == target).double().mean()
    assert min(share.values()) > 0.5


def test_it_is_the_same_for_the_same_seed(victim: Victim) -> None:
    data, threat = open_data("digits?split=train"), brittle.linf(0.2)
    one, two, other = (
        universal(victim, data, threat, samples=100, epochs=2, batch_size=32, seed=seed) for seed in (3, 3, 4)
    )
    assert one == two
    assert one != other


def test_inputs_that_are_fooled_already_are_still_learnt_from(victim: Victim) -> None:
    x, labels = open_data("digits?split=train").batch(range(100))
    made, wrong = (
        universal(victim, (x, given), brittle.linf(0.2), epochs=2) for given in (labels, (labels + 1) % 10)
    )  # by the wrong labels the model is fooled from the start
    assert made == wrong
    assert float(made.delta.abs().mean()) > 0.05


def test_outputs_turn_furthest_where_they_point_the_other_way() -> None:
    clean = torch.tensor([[3.0, 0.0, 0.0], [1.0, 2.0, 2.0], [0.0, 0.0, 5.0]])
    outputs = torch.tensor([[30.0, 0.0, 0.0], [-1.0, -2.0, -2.0], [7.0, 7.0, 0.0]])
    assert turned(outputs, clean).tolist() == pytest.approx([-1, 1, 0], abs=1e-6)


def test_two_mirrored_outputs_are_told_which_way_to_turn() -> None:
    weight = torch.linspace(-1, 1, 12)

    def model(x: torch.Tensor) -> torch.Tensor:
        score = ((x.flatten(1) - 0.5) * weight).sum(1)
        return torch.stack([score, -score], 1)

    x = (0.5 + 0.1 * weight.view(1, 3, 4)).repeat(7, 1, 1) + 0.01 * torch.arange(7)[:, None, None]
    made = universal(model, (x, torch.zeros(7, dtype=torch.int64)), brittle.linf(0.3), epochs=10)
    assert torch.equal(made.delta.flatten().sign(), -weight.sign())
    assert bool((model(x + made.delta).argmax(1) == 1).all())


def test_momentum_helps_where_steps_are_few_and_has_a_range(victim: Victim) -> None:
    data, threat = open_data("digits?split=train"), brittle.linf(0.2)
    plain, followed = (
        universal(victim, data, threat, samples=40, epochs=2, batch_size=4, momentum=m) for m in (0, 0.9)
    )
    assert float(followed.delta.abs().mean()) > float(plain.delta.abs().mean())  # less of it cancels
    with pytest.raises(brittle.InputError, match="unknown loss 'cosine'"):
        universal(victim, data, threat, samples=10, loss="cosine")
    with pytest.raises(brittle.InputError, match="momentum=1 is out of range; give 0 or more and less than 1"):
        universal(victim, data, threat, samples=10, momentum=1)


def test_the_command_writes_what_an_evaluation_replays(saved: Path, tmp_path: Path) -> None:
    made = tmp_path / "delta.safetensors"
    runner = CliRunner()
    call = ["universal", f"net:{saved}", "digits?split=train", "--threat", "linf:0.2", "--out", str(made)]
    done = runner.invoke(app, [*call, "--samples", "300", "--epochs", "3"])
    assert done.exit_code == 0, done.output
    assert _robust(brittle.parse_attack(f"replay:path={made}"), open_victim(f"net:{saved}"), brittle.linf(0.2)) < 0.6
    with pytest.raises(brittle.InputError, match="no class of these data"):
        runner.invoke(app, [*call, "--target", "dog"], catch_exceptions=False)


def test_noise_becomes_any_class_with_the_confidence_asked(victim: Victim) -> None:
    outcome = fool(victim, range(10), (1, 8, 8), confidence=0.95)
    assert outcome.success.all()
    assert (outcome.confidence >= 0.95).all()
    assert outcome.predicted.tolist() == list(range(10))
    assert (outcome.forwards < 500).all()  # it stops where it has arrived
    with pytest.raises(brittle.InputError, match="classes, 0 to 9"):
        fool(victim, [10], (1, 8, 8))


def test_input_optimisation_raises_the_output_and_total_variation_smooths(victim: Victim) -> None:
    rough, smooth = (
        fool(victim, [3, 7], (1, 8, 8), confidence=None, attack=brittle.parse_attack(f"input_optimisation:{options}"))
        for options in ("steps=100", "steps=100,total_variation=0.5")
    )
    start = fool(victim, [3, 7], (1, 8, 8), confidence=None, attack=brittle.uniform_noise(), threat=brittle.linf(0.0))
    assert (rough.margin > start.margin + 5).all()
    assert (smooth.margin > start.margin).all()
    assert (rough.margin > smooth.margin).all()
    assert (_roughness(smooth.x_adv) < 0.5 * _roughness(rough.x_adv)).all()


def _roughness(x: torch.Tensor) -> torch.Tensor:
    return x.diff(dim=-1).square().flatten(1).sum(1) + x.diff(dim=-2).square().flatten(1).sum(1)


def test_the_slope_of_the_roughness_is_its_derivative() -> None:
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (wanted,) = torch.autograd.grad(_roughness(x).sum(), x)
    assert torch.allclose(roughness_slope(x.detach()), wanted)
