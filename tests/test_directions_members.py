"""Several networks at once: ensembles as victims, what they cost, and what directions make of their members, against direct computation."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import brittle
import vision_ops  # noqa: F401
from brittle.attacks.directions import DIRECTIONS, AdaptiveEnsemble
from brittle.attacks.directions.role import Place
from brittle.core.access import Access
from brittle.core.ensemble import Ensemble
from brittle.core.goal import Classify
from brittle.core.oracle import BudgetSpent, Ledger, Oracle
from brittle.core.streams import Streams
from brittle.core.trial import Trial, attempt
from brittle.core.victim import as_victim
from brittle.data import open_data
from brittle.runs.values import decode, encode
from brittle.testing.victims import inputs
from brittle.victims.ensemble import ensemble, logits, probabilities
from published import network

SHAPE, CLASSES, EPS, STEP = (3, 4, 5), 4, 0.1, 0.02
IDS = torch.arange(7)
X = inputs(SHAPE, bounds=(0.0, 1.0))
NAMES = [name for name, maker in DIRECTIONS.items() if maker().place is Place.NETWORKS]


class Net(nn.Module):
    """A layer of tanh and a linear one, and the rows that it was shown."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.first = nn.Parameter(torch.randn(60, 8, generator=draw, dtype=torch.float64) / 4)
        self.second = nn.Parameter(torch.randn(8, CLASSES, generator=draw, dtype=torch.float64))
        self.shown = 0

    def forward(self, x: Tensor) -> Tensor:
        self.shown += len(x)
        return torch.tanh((x - 0.5).flatten(1) @ self.first) @ self.second


NETS = [Net(seed).eval() for seed in (1, 2, 3)]
MEMBERS = [as_victim(net) for net in NETS]
LABELS = ensemble(MEMBERS)(X).argmax(1)


def run(text: str | Any, by: str = "logits", rows: Tensor = IDS, members: int = 3, **options: Any) -> Trial:
    attack = brittle.parse_attack(text) if isinstance(text, str) else text
    goal = options.pop("goal", Classify(LABELS)).select(rows)
    return attempt(attack, ensemble(MEMBERS[:members], by), brittle.linf(EPS), X[rows], goal, rows, 0, **options)


def slope(answer: Any, x: Tensor) -> Tensor:
    """The gradient at x of the cross-entropy of what a function answers."""
    asked = x.detach().clone().requires_grad_()
    (grad,) = torch.autograd.grad(F.cross_entropy(answer(asked), LABELS, reduction="sum"), asked)
    return grad


def mean_of(members: int) -> Any:
    return lambda x: torch.stack([net(x) for net in NETS[:members]]).mean(0)


def per_mean(grad: Tensor) -> Tensor:
    return grad / grad.abs().flatten(1).mean(1).view(-1, 1, 1, 1)


def clipped(x: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(x, X - EPS), X + EPS).clamp(0, 1)


def stepped(x: Tensor, grad: Tensor, step: float = STEP) -> Tensor:
    return clipped(x + step * grad.sign())


def test_an_ensemble_averages_outputs_or_probabilities() -> None:
    answers = torch.stack([net(X) for net in NETS])
    assert torch.allclose(ensemble(MEMBERS)(X), answers.mean(0))
    assert torch.allclose(ensemble(MEMBERS, "probabilities")(X).exp(), answers.softmax(2).mean(0))
    assert ensemble(MEMBERS).digest != ensemble(MEMBERS, "probabilities").digest
    with pytest.raises(
        brittle.InputError, match=r"'losses' is no way .* give logits or probabilities; .*mifgsm\+losses"
    ):
        ensemble(MEMBERS, "losses")


def test_shares_weigh_each_row_and_a_network_without_one_is_not_asked() -> None:
    answers = torch.stack([net(X) for net in NETS])
    shares = torch.rand(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shares = shares / shares.sum(1, keepdim=True)
    weighed = (answers * shares.T[:, :, None]).sum(0)
    assert torch.allclose(Ensemble(tuple(MEMBERS), logits).shared(X, shares), weighed)
    likely = (answers.softmax(2) * shares.T[:, :, None]).sum(0)
    assert torch.allclose(Ensemble(tuple(MEMBERS), probabilities).shared(X, shares).exp(), likely)
    which = torch.tensor([0, 2, 2, 0, 0, 2, 0])
    for together, expected in ((logits, answers), (probabilities, answers.log_softmax(2))):
        before = [net.shown for net in NETS]
        heard = Ensemble(tuple(MEMBERS), together).shared(X, F.one_hot(which, 3).to(X.dtype))
        assert torch.allclose(heard, expected[which, IDS])
        assert [net.shown - count for net, count in zip(NETS, before, strict=True)] == [4, 0, 3]


def test_a_forward_of_an_ensemble_costs_as_many_as_it_has_networks() -> None:
    trial = run("ifgsm:steps=2")
    assert trial.forwards.tolist() == trial.backwards.tolist() == [6] * 7
    one = attempt(brittle.ifgsm(2), MEMBERS[0], brittle.linf(EPS), X, Classify(LABELS), IDS, 0)
    assert one.forwards.tolist() == [2] * 7
    cut = run("ifgsm:steps=5", budget=14)  # two steps are 12, a third would be 18
    assert (cut.forwards + cut.backwards).tolist() == [12] * 7


def test_the_door_charges_each_row_for_the_networks_that_answer_it() -> None:
    ledger = Ledger.empty(7, X.device)
    shares = F.one_hot(IDS % 3, 3).to(X.dtype)
    shares[6] = 1 / 3
    door = Oracle(ensemble(MEMBERS), ledger, Access.GRADIENT, budget=5, shares=shares)
    rows = torch.tensor([6, 1, 5])
    asked = X[rows].requires_grad_()
    answers = door.select(rows)(asked)
    assert torch.allclose(answers[0], ensemble(MEMBERS)(X[6:])[0])
    assert torch.allclose(answers[1:], torch.stack([NETS[1](X[1:2])[0], NETS[2](X[5:6])[0]]))
    (grad,) = torch.autograd.grad(answers.sum(), asked)
    assert ledger.forwards.tolist() == [0, 1, 0, 0, 0, 1, 3]
    assert ledger.backwards.tolist() == [0, 1, 0, 0, 0, 1, 0]  # three more are not to be had for row 6
    assert grad.flatten(1).abs().amax(1).gt(0).tolist() == [False, True, True]
    with pytest.raises(BudgetSpent):
        door.select(rows)(asked)


def charged(name: str, members: int) -> tuple[int, int]:
    """Forwards and backwards a step."""
    trial, before = run(f"mifgsm:steps=2+{name}", members=members), sum(net.shown for net in NETS)
    assert trial.forwards.unique().numel() == trial.backwards.unique().numel() == 1
    run(f"mifgsm:steps=2+{name}", members=members)
    shown = sum(net.shown for net in NETS) - before - 7 * members  # the judge's own
    assert shown == int(trial.forwards.sum()), "what is charged is what was asked"
    return int(trial.forwards[0]) // 2, int(trial.backwards[0]) // 2


@pytest.mark.parametrize("members", [2, 3])
def test_each_costs_what_it_says(members: int) -> None:
    for name in NAMES:
        extra = members**2 if name == "adaea" else 0  # each network looks at the step of each
        passes = members * DIRECTIONS[name]().passes
        assert charged(name, members) == (passes + extra, passes), name


def test_the_mean_of_the_losses_is_not_the_loss_of_the_mean() -> None:
    grad = sum(slope(net, X) for net in NETS) / 3
    assert torch.allclose(run("ifgsm:steps=1,step_size=0.02+losses").x_adv, stepped(X, grad))
    assert torch.allclose(run("ifgsm:steps=1,step_size=0.02").x_adv, stepped(X, slope(mean_of(3), X)))
    assert not torch.equal(grad.sign(), slope(mean_of(3), X).sign())
    likely = slope(lambda x: torch.stack([net(x).softmax(1) for net in NETS]).mean(0).log(), X)
    assert torch.allclose(run("ifgsm:steps=1,step_size=0.02", "probabilities").x_adv, stepped(X, likely))


def test_variance_reduction_climbs_inside_with_a_network_drawn_for_each_sample() -> None:
    """Two networks, one round: two inner steps, of which the first asks what is known already."""
    drawn = (Streams.seeded(0, IDS).uniform((2,)).double() * 2).long()
    assert drawn[:, 1].unique().numel() == 2
    together = slope(mean_of(2), X)
    momentum = per_mean(together)  # at x itself g_k - g_k cancels
    inner = stepped(X, momentum)
    here, there = (torch.stack([slope(net, point) for net in NETS[:2]])[drawn[:, 1], IDS] for point in (X, inner))
    momentum = 0.5 * momentum + per_mean(there - here + together)
    made = run("ifgsm:steps=1,step_size=0.02+svre:rounds=1,momentum=0.5", members=2).x_adv
    assert torch.allclose(made, stepped(X, momentum))
    assert not torch.allclose(made, stepped(X, together))


def test_common_weakness_walks_from_network_to_network_and_goes_where_that_led() -> None:
    def walked(point: Tensor, push: Tensor) -> tuple[Tensor, Tensor]:
        walker = stepped(point, -slope(mean_of(3), point), EPS / 4)
        for net in NETS:
            grad = slope(net, walker)
            push = 0.9 * push + grad / grad.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            walker = clipped(walker + 0.2 * EPS * 60**0.5 * push)
        return walker - point, push

    first, push = walked(X, torch.zeros_like(X))
    momentum = per_mean(first)
    point = stepped(X, momentum)
    second, _ = walked(point, push)
    expected = stepped(point, momentum + per_mean(second))
    made = run("mifgsm:steps=2,step_size=0.02+cwa:reverse=0.25,stride=0.2,momentum=0.9").x_adv
    assert torch.allclose(made, expected)


@pytest.mark.parametrize("targeted", [False, True])
def test_the_adaptive_ensemble_hears_the_networks_whose_step_fools_the_others(targeted: bool) -> None:
    wanted = (LABELS + 1) % CLASSES
    goal = Classify(LABELS, wanted if targeted else None)
    aim, sign = (wanted, -1) if targeted else (LABELS, 1)

    def loss(answer: Tensor) -> Tensor:
        return F.cross_entropy(answer, aim, reduction="none")

    def climbed(answer: Any, x: Tensor) -> Tensor:
        asked = x.clone().requires_grad_()
        (grad,) = torch.autograd.grad(sign * loss(answer(asked)).sum(), asked)
        return grad

    grads = [climbed(net, X) for net in NETS]
    tried = [stepped(X, grad) for grad in grads]
    scores = []
    for j in range(3):
        own = [loss(NETS[i](tried[i])) for i in range(3)]
        cross = [loss(NETS[i](tried[j])) for i in range(3)]
        scores.append(sum((own[i] / cross[i] if targeted else cross[i] / own[i]) for i in range(3) if i != j))
    shares = (3 * torch.stack([torch.as_tensor(score) for score in scores])).softmax(0)
    fused = climbed(lambda x: sum(share[:, None] * net(x) for share, net in zip(shares, NETS, strict=True)), X)
    pairs = [F.cosine_similarity(grads[i], grads[j], dim=1) for i, j in ((0, 1), (0, 2), (1, 2))]
    mask = (sum(pairs) / 3 >= 0.1)[:, None].to(X.dtype)
    assert 0.1 < float(mask.mean()) < 0.9
    assert float(shares.detach().amax(0).mean()) > 0.4  # they are not all equal
    made = run("ifgsm:steps=1,step_size=0.02+adaea:sharpness=3,threshold=0.1", goal=goal).x_adv
    assert torch.allclose(made, stepped(X, fused * mask))


def test_where_nobody_is_sharper_and_all_agree_the_adaptive_ensemble_is_the_plain_one() -> None:
    made = run("mifgsm:steps=4+adaea:sharpness=0,threshold=-1").x_adv
    assert torch.allclose(made, run("mifgsm:steps=4").x_adv)


def test_a_network_that_is_sure_of_itself_leaves_no_nan() -> None:
    sure = Net(1).eval()
    sure.second.data *= 1e4
    victim = ensemble([as_victim(sure), MEMBERS[1]])
    labels = victim(X).argmax(1)
    trial = attempt(
        brittle.parse_attack("mifgsm:steps=2+adaea"), victim, brittle.linf(EPS), X, Classify(labels), IDS, 0
    )
    assert bool(trial.x_adv.isfinite().all())
    assert AdaptiveEnsemble().paper == "Chen 2023, arXiv:2308.02897"


def test_copies_are_shown_to_each_network_and_what_they_give_is_smoothed_before_it_is_put_together() -> None:
    def bent(net: Any, point: Tensor) -> Tensor:
        kernel = torch.outer(one, one).expand(3, 1, 3, 3)
        return F.conv2d((slope(net, point) + slope(net, point / 2) / 2) / 2, kernel, padding=1, groups=3)

    one = DIRECTIONS["ti"](side=3).kernel(X)  # type: ignore[attr-defined]
    walker, push = stepped(X, -bent(mean_of(3), X), EPS / 15), torch.zeros_like(X)
    for net in NETS:
        grad = bent(net, walker)
        push = push + grad / grad.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        walker = clipped(walker + 0.2 * EPS * 60**0.5 * push)
    for text in ("cwa:stride=0.2+si:copies=2+ti:side=3", "ti:side=3+si:copies=2+cwa:stride=0.2"):
        assert torch.allclose(run(f"ifgsm:steps=1,step_size=0.02+{text}").x_adv, stepped(X, walker - X))


@pytest.mark.parametrize("text", [*NAMES, "svre+di:prob=1,growth=1.5+ti", "vt:neighbours=2+cwa+si:copies=2"])
@pytest.mark.parametrize("by", ["logits", "probabilities"])
def test_a_sample_is_treated_the_same_whoever_is_beside_it(text: str, by: str) -> None:
    whole = run(f"mifgsm:steps=3+{text}", by)
    assert whole.verdict.feasible.all()
    for rows in ([4], [6, 0, 3]):
        part = run(f"mifgsm:steps=3+{text}", by, torch.tensor(rows))
        assert float((part.x_adv - whole.x_adv[rows]).abs().max()) < 1e-9
        assert torch.equal(part.forwards, whole.forwards[rows])
    assert len(run(f"mifgsm:steps=2+{text}", by, torch.tensor([], dtype=torch.int64)).x_adv) == 0


@pytest.mark.parametrize("name", NAMES)
def test_it_climbs_and_stays_inside_in_other_norms_too(name: str) -> None:
    attack, victim = brittle.parse_attack(f"mifgsm:steps=5+{name}"), ensemble(MEMBERS)
    for threat in (brittle.linf(0.2), brittle.l2(0.6)):
        trial = attempt(attack, victim, threat, X, Classify(LABELS), IDS, 0)
        assert trial.verdict.feasible.all()
        assert (trial.verdict.margin > Classify(LABELS).margin(victim(X))).all()
    nothing = attempt(attack, victim, brittle.linf(0.0), X, Classify(LABELS), IDS, 0)
    assert torch.equal(nothing.x_adv, X)
    assert decode(encode(attack)) == attack


def test_a_budget_holds_among_networks() -> None:
    for name in NAMES:
        trial = run(f"mifgsm:steps=4+{name}", budget=29)
        assert int((trial.forwards + trial.backwards).max()) <= 29
        assert trial.verdict.feasible.all()


@pytest.mark.parametrize("name", NAMES)
def test_a_single_network_is_refused_in_a_sentence(name: str) -> None:
    for victim in (MEMBERS[0], ensemble(MEMBERS[:1])):
        with pytest.raises(
            brittle.InputError, match=f"^{name} puts the gradients of several networks together and .* is one"
        ):
            attempt(brittle.parse_attack(f"mifgsm+{name}"), victim, brittle.linf(EPS), X, Classify(LABELS), IDS, 0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("svre:rounds=0", "rounds=0"),
        ("cwa:stride=0", "stride=0"),
        ("cwa:reverse=-1", "reverse=-1"),
        ("adaea:threshold=2", "at most 1"),
    ],
)
def test_options_out_of_range_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(brittle.InputError, match=sentence):
        brittle.parse_attack(f"mifgsm+{text}")


@pytest.mark.data
@pytest.mark.slow
def test_two_published_networks_are_asked_both() -> None:
    pair = [network(name) for name in ("mobilenet_v2_1.0_224_qat", "squeezenet1_0_deepcompression")]
    data = open_data(f"images:{os.environ['BRITTLE_DATA']}/data/imagenet_1000?size=224")
    x, labels = data.batch(range(4))
    right = torch.stack([net(x).argmax(1) == labels for net in pair]).all(0).nonzero().flatten()[:2]
    x, labels = x[right], labels[right]
    together, threat = ensemble([as_victim(net) for net in pair]), brittle.linf(4 / 255)
    asked = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(sum(F.cross_entropy(net(asked), labels, reduction="sum") for net in pair), asked)
    expected = (x + 4 / 255 * grad.sign()).clamp(0, 1)
    made = brittle.attack(brittle.parse_attack("ifgsm:steps=1+losses"), together, x, labels, threat, ids=right)
    assert float((made.x_adv - expected).abs().gt(1e-6).float().mean()) < 1e-3  # zero gradients round either way
    cwa = brittle.attack(brittle.parse_attack("ifgsm:steps=2+cwa"), together, x, labels, threat, ids=right)
    assert cwa.forwards.tolist() == [8] * len(right)
    assert all(bool((net(cwa.x_adv).argmax(1) != labels).all()) for net in pair)
