"""Surrogates that learn from answers alone: what is asked, how often, and what they come to know."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import brittle
from brittle.core.access import Access
from brittle.core.victim import Victim, as_victim
from brittle.data import open_data
from brittle.data.samples import as_data
from brittle.errors import InputError
from brittle.victims import open_victim
from brittle.victims.extraction import FromNothing, JacobianAugmentation, Lessons, Pool, Teacher
from brittle.victims.extraction.methods import Bandit, augmented, rewards
from http_server import Served
from test_cli import run_brittle

DIGITS = open_data("digits?split=train")
NET = "mlp:32"


class Linear(nn.Module):
    """x (B, 1, 2, 2) -> weights @ x, two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2, bias=False)
        self.layer.weight.data = torch.tensor([[1.0, -2.0, 0.0, 3.0], [0.5, 1.0, 0.0, 4.0]])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x.flatten(1))
        return out


class Counted:
    """A victim of nearest class means of the digits, that remembers what it was asked."""

    def __init__(self) -> None:
        x, labels = DIGITS.batch(range(len(DIGITS)))
        self.means = torch.stack([x[labels == c].mean(0) for c in range(10)])
        self.asked: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.asked += list(x)
        return -8 * (x[:, None] - self.means).flatten(2).square().sum(2)

    def victim(self, access: Access = Access.SCORES) -> Victim:
        labels = access is Access.LABELS
        forward = (lambda x: nn.functional.one_hot(self(x).argmax(1), 10).float()) if labels else self
        return Victim(forward, access=access, name="means")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        monkeypatch.setenv("BRITTLE_CACHE", folder)
        yield


def _extract(target: Victim, queries: int = 200, method: str = "knockoff", **more: Any) -> brittle.Extraction:
    asked: dict[str, Any] = {"held_out": 100, "net": NET, "progress": False, **more}
    return brittle.extract(target, "digits", queries=queries, method=method, **asked)


def _always(outputs: Tensor) -> Victim:
    return Victim(lambda x: outputs[: len(x)])


def _lessons(x: Tensor, answers: Tensor) -> Lessons:
    return Lessons(x, answers, (0.0, 1.0), "lessons", tuple(map(str, range(answers.shape[1]))))


# What is asked


def test_a_step_along_the_jacobian_is_the_one_computed_by_hand() -> None:
    """d p_0 / dx = p_0 p_1 (w_0 - w_1), and w_0 - w_1 = (0.5, -3, 0, -1)."""
    x = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.95, 0.05, 0.5, 0.5]]).view(2, 1, 2, 2)
    moved = augmented(as_victim(Linear().eval()), x, torch.tensor([0, 0]), 0.1)
    assert torch.allclose(moved[0].flatten(), torch.tensor([0.6, 0.4, 0.5, 0.4]))
    assert torch.allclose(moved[1].flatten(), torch.tensor([1.0, 0.0, 0.5, 0.4]))  # cut to the bounds
    other = augmented(as_victim(Linear().eval()), x, torch.tensor([1, 1]), 0.1)
    assert torch.allclose(other[0].flatten(), torch.tensor([0.4, 0.6, 0.5, 0.6]))
    sure = Linear().eval()
    sure.layer.weight.data *= 1e4  # p_0 is 0 in float32, and so is its derivative
    assert torch.equal(augmented(as_victim(sure), x, torch.tensor([0, 0]), 0.1), moved)


def test_rounds_double_the_set_then_draw_and_the_step_turns() -> None:
    target, steps = Counted(), []

    class Recorded(FromNothing):
        def fit(self, lessons: Lessons) -> Victim:
            steps.append(len(lessons))
            return super().fit(lessons)

    method = JacobianAugmentation(seeds=20, step=0.05, period=2, doublings=2, reservoir=15)
    teacher = Teacher.of(target.victim(), 117, Access.LABELS)
    pool = Pool(DIGITS, tuple(range(50, 400)))
    known = method(teacher, pool, Recorded(net=NET, epochs=20), torch.Generator().manual_seed(0))
    assert steps == [20, 40, 80, 95, 110]
    assert len(known) == len(target.asked) == 117
    seeds = known.x[:20].flatten(1)
    given = pool.inputs(torch.arange(len(pool))).flatten(1)
    assert float(torch.cdist(seeds, given).min(1).values.max()) == 0
    for start, end, before in ((20, 40, 20), (40, 80, 40), (80, 95, 80), (95, 110, 95)):
        apart = (known.x[start:end, None] - known.x[None, :before]).flatten(2).abs().amax(2).min(1).values
        assert float(apart.max()) <= 0.05 + 1e-6  # each a step from one that was known
    assert set(known.answers.flatten().tolist()) == {0.0, 1.0}


def test_the_step_is_taken_along_the_targets_own_class_and_turns_with_the_period() -> None:
    """A learner that always answers with the linear network shows the direction of every round."""

    class Fixed:
        def fit(self, lessons: Lessons) -> Victim:
            return as_victim(Linear().eval())

    def first(x: Tensor) -> Tensor:
        return torch.tensor([[1.0, 0.0]]).expand(len(x), 2)

    middle = torch.full((8, 1, 2, 2), 0.5)
    pool = Pool(as_data((middle, torch.zeros(8, dtype=torch.int64))), tuple(range(8)))
    method = JacobianAugmentation(seeds=1, step=0.1, period=2, doublings=9)
    known = method(Teacher.of(Victim(first), 8, Access.LABELS), pool, Fixed(), torch.Generator())  # type: ignore[arg-type]
    second = known.x[:, 0, 0, 1].double()  # its weight is -3: down by a step, down again, then up
    assert known.x[0].eq(0.5).all()
    assert torch.allclose(second[1], torch.tensor(0.4, dtype=torch.float64))
    assert sorted(round(float(v), 3) for v in second[2:4]) == [0.3, 0.4]
    assert sorted(round(float(v), 3) for v in second[4:8]) == [0.4, 0.5, 0.5, 0.6]


def test_a_bandit_learns_as_computed_by_hand() -> None:
    """pi = (1/2, 1/2) at first; reward 1 after a mean of 0 counts half, for the mean has moved to 1 by then."""
    bandit = Bandit(torch.zeros(2, dtype=torch.float64)).learnt([0], torch.tensor([1.0]))
    assert torch.equal(bandit.preferences, torch.zeros(2, dtype=torch.float64))  # the first reward is its own mean
    bandit = bandit.learnt([1], torch.tensor([0.0]))  # mean 1/2: -1/2 x (1 - 1/2) for the arm, +1/2 x 1/2 for the other
    assert torch.allclose(bandit.preferences, torch.tensor([0.25, -0.25], dtype=torch.float64))
    assert bandit.pulls == (1, 1)
    there = torch.tensor([False, True])
    assert {bandit.arm(there, torch.Generator().manual_seed(i)) for i in range(9)} == {1}


def test_rewards_are_certainty_diversity_and_loss() -> None:
    before = _lessons(torch.zeros(1, 1, 2, 2), torch.tensor([[1.0, 0.0]]))
    new = _lessons(torch.zeros(3, 1, 2, 2), torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]))
    found = rewards(new, before, Victim(lambda x: torch.tensor([[0.0, 5.0]]).expand(len(x), 2)))
    assert torch.allclose(found, torch.tensor([(1 + 0 + 1) / 3, (0 + 0.5 + 0.5) / 3, (1 + 1 + 0) / 3]), atol=1e-6)


# How much is asked


@pytest.mark.parametrize("method", ["knockoff", "adaptive:round=70", "jacobian:seeds=30"])
@pytest.mark.parametrize("access", [Access.SCORES, Access.LABELS], ids=lambda access: access.value)
def test_the_target_is_asked_exactly_what_is_allowed(method: str, access: Access) -> None:
    target = Counted()
    found = _extract(target.victim(access), 150, method, held_out=40, epochs=3)
    assert len(target.asked) == found.queries == 190
    assert (found.learnt, found.agreement.n) == (150, 40)
    assert found.surrogate.access is Access.GRADIENT


def test_held_out_samples_are_not_learnt_from() -> None:
    target, data = Counted(), open_data("digits")
    small = as_data(data.batch(range(100)))
    found = brittle.extract(target.victim(), small, queries=1000, held_out=1000, net=NET, epochs=2, progress=False)
    assert (found.learnt, found.agreement.n, found.queries) == (75, 25, 100)
    assert len({one.numpy().tobytes() for one in target.asked}) == len(
        {x.numpy().tobytes() for x in small.batch(range(100))[0]}
    )


@pytest.mark.parametrize("wrong", ["", "drop", "500"])
def test_a_server_is_sent_no_more_rows_than_allowed(wrong: str) -> None:
    means = Counted()
    with Served(means, mischief=lambda number: wrong if number % 3 == 2 else "") as server:
        target = open_victim(f"{server.url}?wait=0.002&batch=16&journal={tempfile.mkdtemp()}/j.sqlite")
        found = _extract(target, 100, held_out=20, epochs=2)
        sent = len(server.rows)
    assert found.queries == sent <= 120
    assert found.agreement.n <= 20
    if not wrong:
        assert sent == 120  # the first 8 rows are asked three times, to learn how the server answers
        assert (found.learnt, found.agreement.n) == (84, 20)
    else:
        assert found.learnt < 84


@pytest.mark.parametrize("method", ["knockoff", "adaptive:round=20", "jacobian:seeds=20"])
def test_the_budget_of_a_server_goes_before_and_what_was_answered_is_learnt(tmp_path: Path, method: str) -> None:
    with Served(Counted(), labels=True) as server:
        target = open_victim(f"{server.url}?wait=0.002&answers=labels&classes=10&budget=60&journal={tmp_path}/j.sqlite")
        found = _extract(target, 100, method, held_out=20, epochs=2, out=tmp_path / "s.safetensors")
        assert found.queries == len(server.rows) == 60
        assert 44 <= found.learnt < 50  # a step may lead to what was asked before, which is free
    assert found.agreement.n == 0  # nothing was left to measure it with
    assert open_victim(str(tmp_path / "s.safetensors")).access is Access.GRADIENT
    with (
        Served(Counted()) as server,
        pytest.raises(InputError, match="gave no answer to learn from: its budget is spent"),
    ):
        _extract(open_victim(f"{server.url}?wait=0.002&budget=2&journal={tmp_path}/k.sqlite"), 100)


def test_answers_in_the_journal_are_free(tmp_path: Path) -> None:
    with Served(Counted()) as server:
        text = f"{server.url}?wait=0.002&journal={tmp_path}/j.sqlite"
        first = _extract(open_victim(text), 60, held_out=20, epochs=2)
        again = _extract(open_victim(text), 44, held_out=20, epochs=2)
    assert (first.queries, first.learnt) == (80, 44)
    assert (again.queries, again.learnt) == (0, 44)
    assert again.agreement == first.agreement


# What is learnt


@pytest.mark.parametrize("access", [Access.SCORES, Access.LABELS], ids=lambda access: access.value)
def test_agreement_rises_with_the_queries(access: Access) -> None:
    few, many = (_extract(Counted().victim(access), queries, held_out=350) for queries in (20, 1000))
    assert many.agreement.value > 0.9 > 0.8 > few.agreement.value
    assert many.agreement.low > few.agreement.high


def test_the_target_is_learnt_and_not_the_labels() -> None:
    """A target that takes every digit for the next one."""
    means = Counted()
    target = Victim(lambda x: means(x).roll(1, 1), access=Access.SCORES)
    found = _extract(target, 600)
    assert found.agreement.value > 0.85
    assert found.accuracy.value < 0.05
    assert found.target_accuracy.value < 0.05


def test_scores_are_learnt_as_probabilities_and_labels_as_certain() -> None:
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    logits = torch.tensor([[1.0, 0.0, -1.0]]).expand(40, 3)
    wanted = logits[0].softmax(0)
    for outputs in (logits, logits.softmax(1), 5 + logits.log_softmax(1)):  # probabilities are taken as they are
        told = Teacher.of(_always(outputs), 40, Access.SCORES).teach(x)
        assert torch.allclose(told.answers, wanted.expand(40, 3), atol=1e-6)
    surrogate = FromNothing(net="mlp:4", epochs=600).fit(told)
    assert torch.allclose(surrogate(x).softmax(1).mean(0), wanted, atol=0.05)
    said = Teacher.of(_always(logits), 40, Access.LABELS).teach(x)
    assert torch.equal(said.answers, torch.tensor([[1.0, 0.0, 0.0]]).expand(40, 3))
    assert FromNothing(net="mlp:4", epochs=600).fit(said)(x).softmax(1)[:, 0].mean() > 0.95


def test_the_same_arguments_give_the_same_surrogate() -> None:
    x, _ = open_data("digits").batch(range(20))
    one, other = (_extract(Counted().victim(), 60, "jacobian:seeds=20", epochs=3).surrogate for _ in range(2))
    assert torch.equal(one(x), other(x))


def test_the_file_opens_as_a_victim_that_transfers(tmp_path: Path) -> None:
    target = Counted()
    path = tmp_path / "new" / "surrogate.safetensors"
    found = _extract(target.victim(), 600, out=path)
    opened = open_victim(str(path))
    x, labels = open_data("digits").batch(range(100))
    assert torch.equal(opened(x), found.surrogate(x))
    matrix = brittle.transfer(
        {"s": opened}, {"t": target.victim()}, (x, labels), "linf:0.2", attacks=["mifgsm"], progress=False
    )
    noise, crafted, _ = matrix.rows
    assert crafted.wrong["t"].low > noise.wrong["t"].high


def test_a_head_on_a_backbone_learns_soft_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wide.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def net():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 200), nn.Tanh(), nn.Linear(200, 7)).eval()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    target = Counted()
    with torch.random.fork_rng(devices=[]):
        found = brittle.extract(
            target.victim(),
            "digits",
            queries=800,
            held_out=100,
            backbone="py:wide:net",
            out="head.safetensors",
            progress=False,
        )
        opened = open_victim("head.safetensors", trust=True)
    assert found.agreement.value > 0.85
    x, _ = open_data("digits").batch(range(20))
    assert torch.allclose(opened(x), found.surrogate(x))


# What is refused, and what is printed


def test_what_cannot_be_is_one_sentence() -> None:
    target = Counted().victim()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"queries": 0}, "queries=0 is too few"),
        ({"queries": 5, "held_out": 0}, "held_out=0 is too few"),
        ({"queries": 5, "method": "jacobean"}, "unknown method 'jacobean'; did you mean jacobian"),
        ({"queries": 5, "method": "jacobian:step=-1"}, "step=-1 is not positive; give more than 0"),
        ({"queries": 5, "method": "jacobian:seed=1"}, "unknown option of jacobian 'seed'; did you mean seeds"),
        ({"queries": 5, "out": "s.pt"}, "'s.pt' does not end in .safetensors"),
        ({"queries": 5, "backbone": "timm:resnet18"}, "net and epochs are of networks trained from nothing"),
    ]
    for more, sentence in wrong:
        with pytest.raises(InputError, match=sentence):
            _extract(target, **more)
    with pytest.raises(InputError, match="3 samples, too few to hold some out; name others with test="):
        brittle.extract(target, as_data(DIGITS.batch(range(3))), queries=5, progress=False)


def test_the_command_says_what_it_asked_and_what_came_of_it(tmp_path: Path) -> None:
    run_brittle("train", "digits", "--epochs", "3", "--out", "target.safetensors", cwd=tmp_path)
    said = run_brittle(
        *("extract", "target.safetensors", "digits", "--queries", "300", "--held-out", "50", "--labels"),
        *("--net", "mlp:32", "--method", "jacobian:seeds=100", "--out", "s.safetensors"),
        cwd=tmp_path,
    )
    assert "350 queries: 300 answers learnt from, 50 held out" in said
    assert "agreement with the target" in said
    assert "saved as s.safetensors" in said
    refused = run_brittle(
        *("extract", "target.safetensors", "digits", "--queries", "9", "--backbone", "timm:resnet18", "--out", "s.safetensors"),
        cwd=tmp_path, code=2,
    )  # fmt: skip
    assert "--backbone VICTIM and --freeze belong together" in refused
