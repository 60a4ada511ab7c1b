"""Models as people have them: working in place, called without gradients, of int8, with other outputs and with more inputs than x."""

from __future__ import annotations

import types
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from typer.testing import CliRunner

import brittle
from brittle.certify import parse_certifier, prove
from brittle.cli.main import app
from brittle.core.context import Context
from brittle.core.victim import as_victim
from brittle.errors import InputError
from brittle.victims.ensemble import ensemble

torch.manual_seed(0)
X = torch.rand(23, 6)
INNER = nn.Linear(6, 4).eval()
BODY = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4)).eval()
ONE = nn.Linear(6, 1).eval()
THREAT = brittle.linf(0.05)


class After(nn.Module):
    """INNER behind a first operation."""

    def __init__(self, first: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.inner = first, INNER

    def forward(self, x: Tensor) -> Any:
        return self.inner(self.first(x))


def by_numpy(x: Tensor) -> Tensor:
    held = x.detach().numpy()
    held *= 2
    return x


IN_PLACE: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "sub_": (lambda x: x.sub_(0.5).mul_(2), lambda x: (x - 0.5) * 2),
    "ReLU": (nn.ReLU(inplace=True), torch.relu),
    "data": (lambda x: (x.data.mul_(2), x)[1], lambda x: x + x.detach()),
}
ATTACKS = ("fgsm", "pgd:steps=5", "square:queries=40", "deepfool", "hop_skip_jump:queries=60", "uniform_noise")


@pytest.mark.parametrize("way", IN_PLACE)
@pytest.mark.parametrize("name", ATTACKS)
def test_a_model_that_works_in_place_is_attacked_like_one_that_does_not(way: str, name: str) -> None:
    writing, apart = (After(first).eval() for first in IN_PLACE[way])
    x, labels = X.clone(), apart(X).argmax(1)
    threat = brittle.l2(0.3) if "fool" in name or "hop" in name else THREAT
    one, other = (brittle.attack(brittle.parse_attack(name), model, x, labels, threat) for model in (writing, apart))
    assert torch.equal(x, X)
    assert torch.equal(one.x_adv, other.x_adv)
    assert torch.equal(one.success, other.success)


def test_wherever_a_model_that_works_in_place_is_asked_it_answers_like_one_that_does_not() -> None:
    writing, apart = (After(first).eval() for first in IN_PLACE["sub_"])
    x, labels = X.clone(), apart(X).argmax(1)
    made = []
    for model in (writing, apart):
        victim = as_victim(model)
        made.append(
            [
                ensemble([victim, as_victim(BODY)])(x),
                brittle.universal(model, (x, labels), THREAT, epochs=2).delta,
                brittle.mimic(model, x[:5], x[5:10], THREAT).x_adv,
                brittle.mimic(model, x[:5], x[5:10], THREAT, layer="inner").x_adv,
                brittle.attack(brittle.mifgsm(), ensemble([victim, as_victim(BODY)]), x, labels, THREAT).x_adv,
                brittle.attack(
                    brittle.transfer_start(model, "square:queries=20"), BODY, x, BODY(x).argmax(1), THREAT
                ).x_adv,
            ]
        )
    assert torch.equal(x, X)
    for one, other in zip(*made, strict=True):
        assert torch.equal(one, other)


def test_a_network_that_cannot_write_into_its_input_is_handed_no_copy() -> None:
    free = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(6, 4), nn.ReLU(inplace=True)), After(torch.relu)).eval()
    for model in (INNER, BODY, free):
        assert as_victim(model).reads
    with_hook = nn.Sequential(nn.Linear(6, 4)).eval()
    with_hook[0].register_forward_hook(lambda module, args, output: args[0].zero_())
    writing = (
        nn.Sequential(nn.Flatten(), nn.Dropout(), nn.ReLU(inplace=True), INNER),
        nn.Sequential(nn.Identity(), After(lambda x: x.mul_(2)), INNER),
        nn.Sequential(nn.Softsign(), nn.ReLU(inplace=True)),  # whose memory is not known to be new
        with_hook,
    )
    for model in writing:
        assert not as_victim(model.eval()).reads
    asked: list[int] = []
    victim = as_victim(INNER)
    with INNER.register_forward_pre_hook(lambda module, args: asked.append(args[0].data_ptr())):
        victim(X)
        as_victim(INNER)(X)
    assert asked[0] == X.data_ptr() != asked[1]


def test_a_model_that_answers_in_the_same_memory_each_time_does_not_change_its_former_answers() -> None:
    held = torch.empty(23, 4)

    def ask(x: Tensor) -> Tensor:
        held[: len(x)] = INNER(x).detach()
        return held[: len(x)]

    victim = as_victim(ask)
    first = victim(X)
    assert not torch.equal(victim(1 - X), first)
    assert torch.equal(first, INNER(X))


class Overwriting(nn.Module):
    """The ReLU's result is not taken, and x is another one afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.inner = nn.ReLU(inplace=True), INNER

    def forward(self, x: Tensor) -> Any:
        x = x - 0.5
        self.relu(x)
        return self.inner(x)


def test_a_certificate_refuses_a_network_that_overwrites_what_it_uses_again() -> None:
    with pytest.raises(InputError, match="works in place, and what it overwrites is used again"):
        prove(
            parse_certifier("interval"),
            as_victim(Overwriting().eval()),
            brittle.linf(0.001),
            X,
            INNER((X - 0.5).relu()).argmax(1),
        )


PUBLIC: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "attack": lambda x, y: brittle.attack(brittle.cw(steps=20), BODY, x, y, brittle.l2(0.4)).x_adv,
    "features": lambda x, y: (
        brittle.attack(brittle.parse_attack("mifgsm:steps=2+fia:layer=1"), BODY, x, y, THREAT).x_adv
    ),
    "evaluate": lambda x, y: torch.tensor(
        brittle.evaluate(BODY, (x, y), THREAT, attacks=["pgd:steps=5"]).robust_accuracy
    ),
    "universal": lambda x, y: brittle.universal(BODY, (x, y), THREAT, epochs=2).delta,
    "mimic": lambda x, y: brittle.mimic(BODY, x[:5], x[5:10], THREAT).x_adv,
    "fool": lambda x, y: brittle.fool(BODY, [1, 2], (6,), confidence=0.5).x_adv,
    "diagnose": lambda x, y: torch.tensor([len(f.measured) for f in brittle.diagnose(BODY, (x, y), THREAT).findings]),
    "prove": lambda x, y: prove(parse_certifier("standard"), as_victim(BODY), brittle.linf(0.01), x, y),
    "patch": lambda x, y: (
        brittle.patch(
            nn.Sequential(nn.Flatten(), BODY).eval(), (x.view(-1, 1, 2, 3), y), 1, steps=3, side=(0.5, 0.6)
        ).patch
    ),
}


@pytest.mark.parametrize("call", [one for one in PUBLIC if one != "patch"])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_had_where_the_caller_has_switched_them_off(call: str, mode: Callable[[], Any]) -> None:
    labels = BODY(X).argmax(1)
    wanted = PUBLIC[call](X, labels)
    with mode():
        inside = PUBLIC[call](X + 0, labels + 0)
        made = X + 0, labels + 0
    assert torch.equal(inside, wanted)
    assert torch.equal(PUBLIC[call](*made), wanted)  # tensors that autograd refuses


def test_weights_made_in_inference_mode_are_copied() -> None:
    torch.manual_seed(3)
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)).eval()
    torch.manual_seed(3)
    same = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)).eval()
    labels = same(X).argmax(1)
    one, other = (brittle.attack(brittle.pgd(steps=5), net, X, labels, THREAT) for net in (model, same))
    assert torch.equal(one.x_adv, other.x_adv)
    assert model[0].weight.is_inference()
    with pytest.raises(InputError, match="callable's weights were made under torch.inference_mode"):
        brittle.attack(brittle.pgd(), lambda x: model(x), X, labels, THREAT)


def _of_int8() -> tuple[nn.Module, nn.Module]:
    class Static(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into, self.body = torch.ao.quantization.QuantStub(), nn.Sequential(nn.Linear(6, 8), nn.ReLU())
            self.out, self.last = nn.Linear(8, 4), torch.ao.quantization.DeQuantStub()

        def forward(self, x: Tensor) -> Any:
            return self.last(self.out(self.body(self.into(x))))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        floats = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4)).eval()
        nn.init.orthogonal_(floats[2].weight, 3)
        dynamic = torch.ao.quantization.quantize_dynamic(floats, {nn.Linear}, dtype=torch.qint8).eval()
        static = Static().eval()
        static.qconfig = torch.ao.quantization.get_default_qconfig(torch.backends.quantized.engine)  # type: ignore[assignment]
        torch.ao.quantization.prepare(static, inplace=True)
        static(X)
        torch.ao.quantization.convert(static, inplace=True)
    return dynamic, static.eval()


@pytest.mark.parametrize("net", _of_int8(), ids=["dynamic", "static"])
def test_a_network_of_int8_is_attacked_without_gradients(net: nn.Module) -> None:
    labels = net(X).argmax(1)
    for model in (net, lambda x: net(x)):
        with pytest.raises(InputError, match=r"needs gradients .* its layers .*Linear\) are quantised \(int8\)"):
            brittle.attack(brittle.pgd(), model, X, labels, THREAT)
    outcome = brittle.attack(brittle.square(queries=50), net, X, labels, brittle.linf(0.5))
    assert outcome.success.any()
    assert bool((net(outcome.x_adv).argmax(1) != labels)[outcome.success].all())
    report = brittle.evaluate(net, (X, labels), brittle.linf(0.5), effort="quick")
    assert report.robust_accuracy < 1
    assert any("quantised (int8)" in warning for warning in report.warnings)


def test_a_lazy_layer_without_weights_is_named() -> None:
    net = nn.Sequential(nn.Flatten(), nn.LazyLinear(4)).eval()
    for model in (net, lambda x: net(x)):
        with pytest.raises(InputError, match=r"layer 1 \(LazyLinear\) has no weights .* call model\(x\) once"):
            brittle.attack(brittle.pgd(), model, X, torch.zeros(23).long(), THREAT)
    net(X)
    brittle.attack(brittle.fgsm(), net, X, net(X).argmax(1), THREAT)


@pytest.mark.parametrize("call", ["attack", "evaluate", "universal", "diagnose"])
def test_reentrant_checkpointing_is_named(call: str) -> None:
    saving = After(lambda x: torch.utils.checkpoint.checkpoint(torch.tanh, x, use_reentrant=True)).eval()
    labels = saving(X).argmax(1)
    with warnings.catch_warnings(), pytest.raises(InputError, match=r"checkpoint\(..., use_reentrant=False\)"):
        warnings.simplefilter("ignore")
        if call == "attack":
            brittle.attack(brittle.pgd(), saving, X, labels, THREAT)
        elif call == "evaluate":
            brittle.evaluate(saving, (X, labels), THREAT, attacks=["fgsm"])
        elif call == "diagnose":
            brittle.diagnose(saving, (X, labels), THREAT)
        else:
            brittle.universal(saving, (X, labels), THREAT, epochs=1)


LOGITS = torch.cat([-ONE(X), ONE(X)], 1).detach() / 2
LABELS = (ONE(X) > ONE(X).median()).long().flatten().detach()  # half of them wrong
REACHED = (
    ONE(X).detach().abs().flatten() < 0.05 * ONE.weight.detach().abs().sum()
)  # where an Linf ball crosses the plane

BINARY: dict[str, tuple[str, Callable[[Tensor], Any]]] = {
    "a logit (B, 1)": ("logit", ONE),
    "a logit (B,)": ("logit", lambda x: ONE(x)[:, 0]),
    "a sigmoid (B, 1)": ("probability", lambda x: ONE(x).sigmoid()),
    "a sigmoid (B,)": ("probability", lambda x: ONE(x).sigmoid().flatten()),
    "softmax rows": ("probability", lambda x: torch.cat([ONE(x) * 0, ONE(x)], 1).softmax(1)),
    "a logit in a dictionary": ("score:logit", lambda x: {"score": ONE(x), "other": x}),
    "a probability in a tuple": ("1:probability", lambda x: (x, ONE(x).sigmoid())),
}


@pytest.mark.parametrize("kind", BINARY)
def test_one_output_for_two_classes_is_a_classifier_of_two(kind: str) -> None:
    option, model = BINARY[kind]
    asked = as_victim(model, output=option)(X)
    torch.testing.assert_close(asked[:, 1] - asked[:, 0], ONE(X)[:, 0], rtol=1e-4, atol=1e-4)
    labels = (ONE(X)[:, 0] > 0).long()
    outcome = brittle.attack(brittle.pgd(steps=5), model, X, labels, THREAT, output=option)
    assert bool(outcome.clean_correct.all())
    assert torch.equal(outcome.success, REACHED)
    report = brittle.evaluate(model, (X, labels), THREAT, attacks=["pgd:steps=5"], output=option)
    assert report.robust_accuracy == pytest.approx(float((~REACHED).double().mean()))


@pytest.mark.parametrize("kind", ["a logit (B, 1)", "a logit (B,)", "a sigmoid (B, 1)", "a sigmoid (B,)"])
def test_the_sentence_about_one_output_names_the_option_that_gives_the_right_numbers(kind: str) -> None:
    option, model = BINARY[kind]
    for call in (
        lambda: brittle.attack(brittle.pgd(), model, X, LABELS, THREAT),
        lambda: brittle.evaluate(model, (X, LABELS), THREAT),
    ):
        with pytest.raises(InputError, match=f"give output='{option}'") as raised:
            call()
        assert ("sigmoid's probability" in str(raised.value)) == (option == "probability")


def test_a_saturated_probability_stays_finite_and_values_that_are_none_are_refused() -> None:
    certain = as_victim(lambda x: torch.tensor([0.0, 0.5, 1.0]), output="probability")(X[:3])
    assert bool(certain.isfinite().all())
    assert certain.argmax(1)[[0, 2]].tolist() == [0, 1]
    with torch.no_grad(), pytest.raises(InputError, match="returns values from .*; give output='logit'"):
        as_victim(ONE, output="probability")(X)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda x: types.SimpleNamespace(logits=INNER(x)), "a SimpleNamespace; its .logits are what is attacked"),
        (lambda x: (INNER(x), x), r"a tuple of 2; number 0, of shape \(23, 4\), is what is attacked"),
        (lambda x: ["text", INNER(x)], r"a list of 2; number 1, of shape \(23, 4\)"),
    ],
)
def test_logits_that_are_plain_are_taken_and_that_is_said(returned: Callable[[Tensor], Any], said: str) -> None:
    labels = INNER(X).argmax(1)
    with pytest.warns(UserWarning, match=said):
        outcome = brittle.attack(brittle.pgd(steps=5), returned, X, labels, THREAT)
    assert torch.equal(outcome.x_adv, brittle.attack(brittle.pgd(steps=5), INNER, X, labels, THREAT).x_adv)


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (lambda x: {"logits": INNER(x), "x": x}, r"a dict.*output='logits', or wrap it as lambda x: model\(x\)\['logits'\]"),
        (lambda x: OrderedDict(p=ONE(x)), "an? OrderedDict.*output='p:logit', or output='p:probability'"),
        (lambda x: (x[0], INNER(x)), r"a tuple.*output=1, or wrap it as lambda x: model\(x\)\[1\]"),
        (lambda x: [{"boxes": x, "scores": x} for _ in x], "object detector .* not supported yet"),
        (lambda x: INNER(x)[:, :, None, None].expand(-1, -1, 5, 5), "segmentation, which is not supported yet"),
        (lambda x: {"out": x[:, :, None, None]}, r"'out' of shape \(23, 6, 1, 1\) looks like .*segmentation.*\['out'\]\[:, :, i, j\]"),
        (lambda x: {"loss": x.mean()}, r"it holds 'loss' \(\), and a classifier gives one row"),
        (lambda x: INNER(x).detach().numpy(), "an? ndarray.*give torch.from_numpy"),
    ],
)  # fmt: skip
def test_outputs_that_are_no_logits_are_named_truly(returned: Callable[[Tensor], Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as raised:
        brittle.attack(brittle.pgd(), returned, X, torch.zeros(23).long(), THREAT)
    assert "boxes" not in sentence or "[0]" not in str(raised.value)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ((torch.arange(23 * 5).view(23, 5) % 3 > 0).float(), r"multi-label.*labels\[:, k\].long\(\).*output='logit'"),
        ((torch.arange(23 * 5).view(23, 5) % 3 > 0).long(), "multi-label"),
        (nn.functional.one_hot(torch.arange(23) % 5), r"one-hot labels: give labels.argmax\(1\)"),
        (torch.rand(23), "target of a regression, which is not supported yet; brittle.mimic"),
        (torch.rand(23, 3), "target of a regression"),
        (torch.zeros(23, 8, 8).long(), "segmentation, which is not supported yet"),
        (torch.arange(46).view(23, 2), "a class for each position, as of words"),
    ],
)
def test_labels_that_are_no_classes_are_named_truly(labels: Tensor, sentence: str) -> None:
    for call in (
        lambda: brittle.attack(brittle.pgd(), INNER, X, labels, THREAT),
        lambda: brittle.evaluate(INNER, (X, labels), THREAT),
    ):
        with pytest.raises(InputError, match=sentence):
            call()


def test_the_mend_for_several_labels_a_sample_works() -> None:
    labels = (INNER(X) > 0).float()
    outcome = brittle.attack(
        brittle.pgd(steps=5), lambda x: INNER(x)[:, 2], X, labels[:, 2].long(), THREAT, output="logit"
    )
    reached = INNER(X)[:, 2].abs() < 0.05 * INNER.weight[2].abs().sum()
    assert torch.equal(outcome.success, reached)
    assert bool(outcome.clean_correct.all())


@pytest.mark.parametrize(
    ("option", "sentence"),
    [("scors", "did you mean scores"), ("", "names no part"), ("scores:logit", r"shape \(23, 4\); leave it away")],
)
def test_an_option_that_does_not_fit_is_refused(option: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        brittle.attack(brittle.pgd(), lambda x: {"scores": INNER(x)}, X, LABELS, THREAT, output=option)


def test_the_option_is_part_of_the_digest() -> None:
    held = {output: as_victim(lambda x: (INNER(x), -INNER(x)), output=output).digest for output in (None, 0, 1)}
    assert len(set(held.values())) == 3


class Beside(nn.Module):
    """Turned by a mask a sample."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = BODY

    def forward(self, x: Tensor, turn: Tensor, shift: Tensor | None = None) -> Any:
        outputs = self.inner(x * turn)
        return outputs if shift is None else outputs + shift


TURN = 4 * torch.randn(23, 6)


@pytest.mark.parametrize("name", ["fgsm", "pgd:steps=8,restarts=2", "deepfool", "square:queries=50", "cw:steps=20"])
@pytest.mark.parametrize("batch_size", [None, 5])
def test_what_the_model_takes_beside_x_goes_with_its_row(name: str, batch_size: int | None) -> None:
    """Each sample alone has the network that its own row of inputs makes."""
    net, attack = Beside().eval(), brittle.parse_attack(name)
    labels, threat = net(X, TURN).argmax(1), brittle.l2(0.5) if name[0] in "dc" else brittle.linf(0.1)
    whole = brittle.attack(attack, net, X, labels, threat, inputs=TURN, batch_size=batch_size)
    assert bool(whole.clean_correct.all())
    assert bool(whole.success.any())
    for i in (0, 7, 22):
        alone = brittle.attack(
            attack, lambda x, i=i: net(x, TURN[i]), X[i : i + 1], labels[i : i + 1], threat, ids=torch.tensor([i])
        )  # fmt: skip
        torch.testing.assert_close(alone.x_adv[0], whole.x_adv[i], rtol=1e-4, atol=1e-4)
        assert alone.success[0] == whole.success[i]
        assert alone.forwards[0] == whole.forwards[i]
        assert alone.backwards[0] == whole.backwards[i]


def test_inputs_are_given_by_position_or_by_name() -> None:
    net, shift, attack = Beside().eval(), torch.randn(23, 4), brittle.pgd(steps=5)
    labels = net(X, TURN, shift).argmax(1)
    by_place = brittle.attack(attack, net, X, labels, THREAT, inputs=(TURN, shift))
    by_name = brittle.attack(attack, net, X, labels, THREAT, inputs={"shift": shift, "turn": TURN})
    assert torch.equal(by_place.x_adv, by_name.x_adv)
    assert bool(by_place.clean_correct.all())


def test_inputs_that_do_not_fit_are_refused() -> None:
    net, labels = Beside().eval(), LABELS
    with pytest.raises(InputError, match=r"inputs\[0\] is shape \(22, 6\); give a tensor with one row for each of 23"):
        brittle.attack(brittle.pgd(), net, X, labels, THREAT, inputs=TURN[1:])
    with pytest.raises(InputError, match="cannot be called with x and inputs= .*turned"):
        brittle.attack(brittle.pgd(), net, X, labels, THREAT, inputs={"turned": TURN})
    with pytest.raises(InputError, match="asked about 22 inputs beside 23 rows"):
        as_victim(net).beside(Context.of(TURN, 23, X.device))(X[1:])


def test_a_plan_and_a_victim_string_say_how_outputs_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "binary.py").write_text(
        "import torch\n\ndef build():\n    torch.manual_seed(0)\n    return torch.nn.Linear(6, 1).eval()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    torch.manual_seed(0)
    net = nn.Linear(6, 1)
    labels = (net(X)[:, 0] > 0).long()
    np.savez(tmp_path / "table.npz", x=X.numpy(), y=labels.numpy())
    run: dict[str, Any] = {"attacks": ["fgsm"], "out": tmp_path / "run", "progress": False}
    report = brittle.evaluate("py:binary:build", f"npz:{tmp_path / 'table.npz'}", THREAT, output="logit", **run)
    reached = net(X)[:, 0].abs() < 0.05 * net.weight.abs().sum()
    assert report.clean_accuracy == 1
    assert report.robust_accuracy == pytest.approx(float((~reached).double().mean()))
    assert report.plan.victim == "py:binary:build?output=logit"
    shown = CliRunner().invoke(
        app, ["evaluate", "--plan", str(tmp_path / "run" / "plan.json"), "--out", str(tmp_path / "again")]
    )
    assert shown.exit_code == 0, shown.output
    again = brittle.evaluate(
        "py:binary:build?output=logit",
        f"npz:{tmp_path / 'table.npz'}",
        THREAT,
        **(run | {"out": tmp_path / "again"}),
    )
    assert [row.margin for row in again.rows] == [row.margin for row in report.rows]
    with pytest.raises(InputError, match="returns values from .*; give output='logit'"):
        brittle.evaluate("py:binary:build", f"npz:{tmp_path / 'table.npz'}", THREAT, output="probability", **run)


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = INNER

    def forward(self, x: Tensor) -> Any:
        return [{"boxes": one[None], "scores": one[:1]} for one in self.backbone(x)]


def test_the_mends_for_detectors_and_regressions_work() -> None:
    model = Detector().eval()
    with pytest.raises(
        InputError, match="give brittle.mimic the part of it that computes features, such as model.backbone"
    ):
        brittle.attack(brittle.pgd(), model, X, LABELS, THREAT)
    for part in (model.backbone, ONE, lambda x: ONE(x)[:, 0]):
        moved = brittle.mimic(part, X[:5], X[5:10], THREAT)
        assert bool((moved.share < 1).all())
