"""Each check fires on a small model that lies in its way, says what and where, and is silent on models that tell the truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typer.testing import CliRunner

import brittle
from brittle.core.goal import Classify
from brittle.core.victim import Victim, as_victim
from brittle.data.open import open_data
from brittle.diagnosis.binary import binarization
from brittle.diagnosis.checks import CHECKS, attacks, dear, gradients, interface, randomness
from brittle.diagnosis.checks.evidence import more_than, oftener
from brittle.diagnosis.diagnose import Diagnosis
from brittle.diagnosis.probe import Probe
from brittle.diagnosis.trace import Place, trace
from brittle.errors import InputError
from brittle.findings import Finding

EPS = 0.1


class Changed(nn.Module):
    """`inner`, with the input changed before it and the outputs after it."""

    def __init__(
        self,
        inner: nn.Module,
        before: Callable[[Tensor], Tensor] | None = None,
        after: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.inner, self.before, self.after = inner, before or nn.Identity(), after or nn.Identity()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        given: Tensor = self.after(self.inner(self.before(x)))
        return given


class Filter(nn.Module):
    """A blur, called under no_grad."""

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, 1, 1)


def quantised(x: Tensor) -> Tensor:
    return (15 * x).round() / 15


def descent(x: Tensor) -> Tensor:
    """The input, found again by gradient descent."""
    with torch.enable_grad():
        z = x.detach().clone().requires_grad_()
        (grad,) = torch.autograd.grad((z - x.detach()).square().sum(), z)
    return z.detach() - 0.1 * grad


def shattered(x: Tensor) -> Tensor:
    """The input and a ripple on it that has all of the gradient and next to none of the value."""
    return x + 1e-4 * torch.sin(1e6 * x)


@cache
def data() -> tuple[Tensor, Tensor]:
    samples = open_data("digits")
    return samples.batch(range(len(samples)))


@cache
def honest(robust: bool = False) -> nn.Module:
    """A small network for the digits, trained on clean ones, or on FGSM with random starts too."""
    x, labels = (part[64:] for part in data())
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 12, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 10)
        )  # fmt: skip
        optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
        for _ in range(20):
            for rows in torch.randperm(len(x)).split(64):
                batch = x[rows]
                if robust:
                    start = (batch + EPS * (2 * torch.rand_like(batch) - 1)).clamp(0, 1).requires_grad_()
                    (grad,) = torch.autograd.grad(F.cross_entropy(net(start), labels[rows]), start)
                    batch = torch.clamp(start.detach() + EPS * grad.sign(), batch - EPS, batch + EPS).clamp(0, 1)
                optimiser.zero_grad()
                F.cross_entropy(net(batch), labels[rows]).backward()
                optimiser.step()
    return net.eval()


def probe(
    model: nn.Module | Callable[[Tensor], Tensor], count: int = 24, threat: brittle.threats.Ball | None = None
) -> Probe:
    x, labels = (part[:count] for part in data())
    return Probe(as_victim(model), x, labels, threat or brittle.linf(EPS), torch.arange(count))


def look(check: Callable[[Probe], object], given: Probe) -> list[brittle.findings.Finding]:
    with given.victim.undisturbed(0):
        return list(check(given))  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("robust", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_nothing_is_found_in_a_model_that_tells_the_truth(robust: bool) -> None:
    found = brittle.diagnose(honest(robust), data(), brittle.linf(EPS), dear=robust)
    assert found.kinds == ()
    assert set(found.checks) == {kind for kind, check in CHECKS.items() if robust or not check.dear}
    assert 100 < found.forwards < (700 if robust else 400)
    assert 50 < found.backwards < (400 if robust else 200)


@pytest.mark.parametrize(
    ("model", "kind", "said"),
    [
        (lambda: Changed(honest(), after=lambda z: z.softmax(1)), "probabilities", "24 rows"),
        (lambda: Changed(honest(), after=lambda z: 1e4 * z), "underflow", "gradient of the cross-entropy is exactly zero for"),
        (lambda: Changed(honest(), after=lambda z: 1e-4 * z), "underflow", "all outputs lie within"),
        (lambda: Changed(honest(), after=lambda z: (20 * z).softmax(1)), "underflow", "in float64 it is not for 100% of them"),
        (lambda: Changed(honest(), before=quantised), "zero-gradient", "becomes zero at round"),
        (lambda: Changed(honest(), before=torch.nn.Sequential(Filter())), "no-gradient", "under torch.no_grad() in the module 'before.0'"),
        (lambda: Changed(honest(), before=lambda x: (x > 0.5).float()), "no-gradient", "lost at gt"),
        (lambda: Changed(honest(), before=descent), "optimisation-at-inference", "1 time: autograd.grad"),
        (lambda: Changed(honest(), before=shattered), "noisy-surface", "gradient misses"),
        (lambda: Changed(honest(), before=lambda x: x + 0.2 * torch.randn_like(x)), "random", "Asked 16 times"),
        (lambda: Changed(honest(), before=lambda x: (x - x.mean(0)) / 1.0), "batch", "in a batch of 24"),
    ],
)  # fmt: skip
def test_a_liar_is_found_out_and_it_is_said_where(model: Callable[[], nn.Module], kind: str, said: str) -> None:
    found = {finding.kind: finding for finding in look(CHECKS[kind].look, probe(model()))}
    assert said in found[kind].measured
    assert found[kind].why
    assert found[kind].mend


def test_log_probabilities_are_found_only_where_they_are_cut_off() -> None:
    whole = Changed(honest(), after=lambda z: z.log_softmax(1))
    cut = Changed(honest(), after=lambda z: (5 * z).softmax(1).clamp_min(1e-4).log().log_softmax(1))
    assert look(interface.log_probabilities, probe(whole)) == []
    assert [finding.kind for finding in look(interface.log_probabilities, probe(cut))] == ["log-probabilities"]


@pytest.mark.parametrize("check", [attacks.black_box, attacks.noise, attacks.unbounded, dear.indicators, dear.binary])
def test_attacks_say_of_each_other_that_a_flat_model_lies(check: Callable[[Probe], object]) -> None:
    flat, true = Changed(honest(), before=quantised), honest(robust=True)
    given = (probe(m, threat=brittle.linf(0.2 if check is attacks.noise else EPS)) for m in (flat, true))
    lying, telling = (look(check, one) for one in given)
    assert len(lying) == 1
    assert telling == []


def test_a_few_samples_are_chance_and_many_are_not() -> None:
    """Exact: the probability of so many and more of 32, where each comes with 5 %, is 7 % for 4 and 1.8 % for 5."""
    assert [found for found in range(33) if more_than(0.05, found, 32)] == list(range(5, 33))
    assert [more_than(0.05, found, 8) for found in range(4)] == [False, False, False, True]
    assert not more_than(0.05, 0, 0)
    assert [oftener(4, 0), oftener(5, 0), oftener(5, 1), oftener(1, 5)] == [False, True, False, False]


def test_an_attack_that_was_too_short_is_no_cause_to_suspect_the_gradients() -> None:
    short, lie = (Finding(kind, "", "", "") for kind in ("not-converged", "black-box"))
    assert not Diagnosis((short,), 0, 0, 32, ()).suspicious
    assert Diagnosis((short, lie), 0, 0, 32, ()).suspicious


def test_under_a_union_each_ball_is_looked_at() -> None:
    """In a ball within one level of rounding nothing can be found; in the one beside it a blind attack finds what gradients miss."""
    flat, small, large = Changed(honest(), before=quantised), brittle.linf(1e-3), brittle.linf(EPS)
    assert "black-box" not in brittle.diagnose(flat, data(), small).kinds
    assert "black-box" in brittle.diagnose(flat, data(), brittle.union(small, large)).kinds


def test_one_step_better_than_many() -> None:
    """A loss that rises along the gradient at x alone: everywhere else the gradient is turned round."""
    clean = data()[0][:24]

    class Turned(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            away = (x[:, None] - clean).abs().flatten(2).amax(2).amin(1) > 1e-6
            seen = torch.where(away[:, None, None, None], 2 * x.detach() - x, x)
            outputs: Tensor = honest()(seen)
            return outputs

    assert [finding.kind for finding in look(attacks.one_step, probe(Turned().eval()))] == ["one-step"]


def test_a_gradient_that_is_always_the_same_does_not_rise_with_the_radius() -> None:
    class Backwards(nn.Module):
        """The right outputs, and gradients that point to where the model is surer."""

        def forward(self, x: Tensor) -> Tensor:
            outputs: Tensor = honest()(2 * x.detach() - x)
            return outputs

    assert [
        finding.kind for finding in look(attacks.not_rising, probe(Backwards().eval(), threat=brittle.linf(0.02)))
    ] == ["not-rising"]
    assert look(attacks.not_rising, probe(honest(), threat=brittle.linf(0.02))) == []


def test_more_restarts_still_win() -> None:
    """There is a gradient only where a pixel that says nothing is bright, as it is after one random start in three."""

    class Pockets(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            gate = x.detach()[:, :, :1, :1] > 0.05
            rest = torch.cat([0 * x.detach()[:, :, :1], x[:, :, 1:]], 2)
            outputs: Tensor = honest()(torch.where(gate, rest, rest.detach()))
            return outputs

    found = look(attacks.not_converged, probe(Pockets().eval(), threat=brittle.linf(0.15)))
    assert [finding.kind for finding in found] == ["not-converged"]


def test_more_steps_still_win() -> None:
    """A pixel that says nothing climbs from 0; where it stops, there is a gradient; steps of a 16th of the radius jump over it."""
    eps = 0.12

    class Narrow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            pixel = x[:, 0, 0, 0]
            here = (pixel.detach() - 7 / 32 * eps).abs() < 0.001 * eps
            rest = torch.cat([0 * x.detach()[:, :, :1], x[:, :, 1:]], 2)
            outputs = honest()(torch.where(here[:, None, None, None], rest, rest.detach()))
            climb = torch.where(here, pixel.detach(), pixel)
            return outputs * (1 - 1e-3 * climb[:, None])  # type: ignore[no-any-return]

    found = look(attacks.not_converged, probe(Narrow().eval(), threat=brittle.linf(eps)))
    assert [finding.kind for finding in found] == ["not-converged"]


@pytest.mark.slow
def test_transfer_from_an_imitation_finds_what_hidden_gradients_miss() -> None:
    x, labels = data()
    others = (x[24:], labels[24:])
    hidden, open_ = (
        Probe(as_victim(model), x[:24], labels[:24], brittle.linf(0.2), torch.arange(24), others=others)
        for model in (Changed(honest(), before=quantised), honest())
    )
    assert [finding.kind for finding in look(dear.transfer, hidden)] == ["transfer"]
    assert look(dear.transfer, open_) == []


def test_a_missing_normalisation_is_found_and_named() -> None:
    x, labels = data()
    wants = Changed(honest(), before=lambda z: z * x.std() + x.mean())  # is right of normalised inputs
    for model, said in ((wants, ["once more (the data's own"]), (honest(), [])):
        given = Probe(
            as_victim(model), x[:32], labels[:32], brittle.linf(EPS), torch.arange(32), others=(x[32:], labels[32:])
        )
        found = look(interface.normalisation, given)
        assert len(found) == len(said)
        assert all(words in finding.measured for words, finding in zip(said, found, strict=True))


def test_another_preprocessing_is_tried_on_a_few_mistakes_before_it_gets_the_rest() -> None:
    x, _ = data()
    never = Changed(honest(), after=lambda z: F.pad(z, (0, 1), value=-1e3))
    labels = torch.where(torch.arange(len(x)) % 4 == 0, 10, never(x).argmax(1))  # a class that is never answered
    others = (x[32:], labels[32:])
    given = Probe(as_victim(never), x[:32], labels[:32], brittle.linf(EPS), torch.arange(32), others=others)
    assert not given.random  # asked now, to be no part of what follows
    before = given.spent.forwards
    assert look(interface.normalisation, given) == []
    tried = len([*interface.preprocessings(x, scaled=False)])
    assert given.spent.forwards - before == interface.CROWD + tried * interface.SCREEN


def test_inputs_outside_the_bounds_and_in_a_corner_of_them() -> None:
    x, labels = data()
    found = brittle.diagnose(honest(), (x * 255, labels), brittle.linf(EPS))
    assert "bounds" in found.kinds
    finding = next(finding for finding in found.findings if finding.kind == "bounds")
    assert "[0, 255]" in finding.measured
    assert "32 of 32 samples" in finding.measured
    wide = brittle.diagnose(honest(), (x, labels), brittle.linf(EPS), bounds=(0.0, 255.0))
    assert "0.4% of the range" in next(finding for finding in wide.findings if finding.kind == "bounds").measured


def test_training_mode_is_found_and_the_model_stays_as_it_was() -> None:
    x, labels = data()
    model = nn.Sequential(nn.BatchNorm2d(1), honest())
    model.eval()[0].train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = brittle.diagnose(model, (x, labels), brittle.linf(EPS))
    assert "training-mode" in found.kinds
    assert "1 module of the model" in found.findings[0].measured
    assert model[0].training
    assert "training-mode" in brittle.diagnose(Victim(model, module=model), (x, labels), brittle.linf(EPS)).kinds
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_draws_needed_is_what_the_variance_says() -> None:
    """Gradients g + n with |n|^2 = r |g|^2 in the mean need r / 0.09 draws."""
    weight = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])

    def noisy(x: Tensor) -> Tensor:  # the margin's gradient is -1 in the first feature, and N(0, 4) in the three others
        return x @ weight.T + (x * torch.randn_like(x) * torch.tensor([0.0, 2.0, 2.0, 2.0])).sum(
            1, keepdim=True
        ) * torch.tensor([1.0, 0.0])

    x = torch.full((400, 4), 0.5)
    given = Probe(
        as_victim(noisy, (0.0, 1.0)), x, torch.zeros(400, dtype=torch.int64), brittle.linf(0.01), torch.arange(400)
    )
    given.__dict__["rows"] = torch.arange(400)
    with given.victim.undisturbed(0):
        assert 105 <= randomness.draws_needed(given) <= 170  # 12 / 0.09 = 133


def test_the_trace_names_the_operation_at_which_gradients_die() -> None:
    model = Changed(honest(), before=quantised)
    x, labels = (part[:5] for part in data())
    goal = Classify(labels)
    seen = trace(model, model, x, lambda z: F.one_hot(goal.labels, 10).to(z))
    assert seen.dead == ((Place("round"), 1.0),)
    assert seen.grad is not None
    assert not seen.grad.any()
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())


def test_the_binarization_test_is_passed_by_true_gradients_alone() -> None:
    for model, passes in ((honest(), True), (honest(robust=True), True), (Changed(honest(), before=quantised), False)):
        given = probe(model)
        with given.victim.undisturbed(0):
            found, posed = binarization(given, given.region)  # type: ignore[arg-type]
        assert posed >= 15
        assert found >= 0.95 * posed if passes else found <= 0.2 * posed


def test_the_gradient_foretells_short_steps_of_true_models() -> None:
    """Exactly so of a linear one."""
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, dtype=torch.float64)).eval()
    x = data()[0][:12].double()
    labels = linear(x).argmax(1)
    given = Probe(as_victim(linear), x, labels, brittle.linf(0.001), torch.arange(12))
    errors = gradients.foretold(given, (0.25, 1.0))
    assert set(errors) == {0.25, 1.0}
    assert max(errors.values()) < 1e-6


def test_the_same_diagnosis_comes_again_and_what_was_charged_was_asked() -> None:
    asked = [0]

    def counted(x: Tensor) -> Tensor:
        asked[0] += len(x)
        outputs: Tensor = honest()(x)
        return outputs

    first = brittle.diagnose(counted, data(), brittle.linf(EPS))
    judged = asked[0] / first.samples - first.forwards  # the judge looks at each answer once more, uncharged
    assert 0 < judged <= 8
    assert brittle.diagnose(counted, data(), brittle.linf(EPS)) == first


def test_a_check_that_breaks_is_said_and_the_others_go_on() -> None:
    def brittle_model(x: Tensor) -> Tensor:
        if x.requires_grad and len(x) < 20:
            raise ValueError("too few")
        outputs: Tensor = honest()(x)
        return outputs

    found = brittle.diagnose(brittle_model, data(), brittle.linf(EPS))
    assert "unmeasured" in found.kinds
    assert "ValueError: too few" in next(f.measured for f in found.findings if f.kind == "unmeasured")


def test_where_nothing_is_right_it_is_said_that_nothing_was_measured() -> None:
    x = data()[0]
    assert brittle.diagnose(honest(), (x[:16], (honest()(x[:16]).argmax(1) + 1) % 10), brittle.linf(EPS)).kinds == (
        "chance",
    )


@pytest.mark.parametrize("threat", [brittle.l2(0.5), brittle.l1(2.0), brittle.l0(3), brittle.box(), brittle.linf(0.0)])
def test_every_threat_can_be_asked_about(threat: brittle.threats.Ball) -> None:
    x, labels = (part[:150] for part in data())
    found = brittle.diagnose(honest(), (x, labels), threat, dear=True, samples=12)
    assert not {"unmeasured", "noisy-surface", "zero-gradient", "binarization"} & set(found.kinds)


def test_nan_is_a_finding_and_ends_the_diagnosis() -> None:
    found = brittle.diagnose(Changed(honest(), after=lambda z: z / (z * 0)), data(), brittle.linf(EPS))
    assert found.kinds == ("non-finite",)


def test_wrong_arguments_get_a_sentence() -> None:
    with pytest.raises(InputError, match="samples=65 is out of range"):
        brittle.diagnose(honest(), data(), brittle.linf(EPS), samples=65)
    with pytest.raises(InputError, match="exceeds the input range"):
        brittle.diagnose(honest(), data(), brittle.linf(8))


def test_the_command_says_what_was_found_and_ends_with_3(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from brittle.cli.main import app

    runner = CliRunner()
    monkeypatch.syspath_prepend(str(__file__).rpartition("/")[0])
    asked = ["digits", "--threat", f"linf:{EPS}"]
    shown = runner.invoke(app, ["diagnose", "py:test_diagnose:saying_probabilities", *asked])
    assert shown.exit_code == 3
    assert "probabilities" in shown.output
    assert "What to do:" in shown.output
    silent = runner.invoke(app, ["diagnose", "py:test_diagnose:honest", *asked, "--json"])
    assert silent.exit_code == 0
    assert json.loads(silent.output)["findings"] == []


def saying_probabilities() -> nn.Module:
    return Changed(honest(), after=lambda z: z.softmax(1))


def test_a_diagnosis_is_plain_data() -> None:
    found = brittle.diagnose(saying_probabilities(), data(), brittle.linf(EPS), samples=8)
    assert json.loads(json.dumps(asdict(found)))["findings"][0]["kind"] == "probabilities"
    assert repr(found).startswith("Diagnosis(probabilities")
