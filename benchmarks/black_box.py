"""How many queries black-box attacks need: ours and our peers' on the same images, counted by one meter, in one run.

    python benchmarks/black_box.py --network cifar10_resnet20 --threat linf --eps 8/255 --images 50 --queries 1000 \\
        --attacks "square sign_hunter simba:basis=pixel torchattacks:square art:square autoattack:square"
    python benchmarks/black_box.py --network squeezenet1_0_deepcompression --threat l2 --eps 5 --images 20 --queries 500

Needs BRITTLE_DATA with weights/ beside data/, and benchmarks/requirements.txt. auto-attack (fra31) is read from the folders inside
--checkouts, or inside what BRITTLE_CHECKOUTS names. An attack is one of `brittle list attacks` with its options, scores or labels alike,
or LIBRARY:NAME for a peer's. `queries=` is set to --queries where the attack has it and the text does not say.

The meter wraps the network, and an attack gets one correctly classified image at a time: it counts the inputs that it sends (the untouched
image is free), and ends the attack at the first that wins inside the ball and the box, or when the queries are spent. So it does not
matter what a library says it needed, nor when it would have stopped. Seconds are of the processor, for all images.
--target: the next class.
"""

from __future__ import annotations

import argparse
import inspect
import math
import os
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import brittle
from brittle.attacks.registry import ATTACKS, parse_attack
from brittle.core.goal import Classify
from brittle.core.trial import attempt
from brittle.core.victim import as_victim
from brittle.data.open import open_data
from optimality_peers import use_checkouts
from published import loader

OURS = "square sign_hunter simba bandits nes spsa"
LABELS = "rays hop_skip_jump cgba sign_opt surfree geoda art:hop_skip_jump foolbox:hop_skip_jump art:geoda art:sign_opt"
OTHERS = "torchattacks:square art:square art:simba autoattack:square torchattacks:spsa"
SIZE = {
    "linf": lambda d: d.abs().max(),
    "l2": lambda d: d.norm(),
    "l1": lambda d: d.abs().sum(),
    "l0": lambda d: (d != 0).sum(),
}


class Over(Exception):
    """The image is won, or the queries are spent."""


class Meter(nn.Module):
    """The network, counting for one image x (1, *S) until an input inside the ball wins."""

    def __init__(self, network: nn.Module, threat: brittle.Threat, x: Tensor, goal: Classify, queries: int) -> None:
        super().__init__()
        self.network, self.threat, self.x, self.goal, self.queries = network, threat, x, goal, queries
        self.asked, self.won = 0, False

    def forward(self, points: Tensor) -> Tensor:
        points = points.float()  # ART asks in float64
        outputs: Tensor = self.network(points)
        for point, output in zip(points, outputs, strict=True):
            delta = point - self.x[0]
            if not bool(delta.any()):
                continue
            self.asked += 1
            if self.asked > self.queries:
                raise Over
            allowed = float(point.min()) >= 0 and float(point.max()) <= 1
            inside = allowed and float(SIZE[self.threat.name](delta)) <= self.threat.eps * (1 + 1e-4) + 1e-6
            if inside and float(self.goal.margin(output[None])) > 0:
                self.won = True
                raise Over
        return outputs


@dataclass(frozen=True)
class Result:
    """Queries of each image that was won, in all images so many, and processor seconds."""

    won: list[int]
    images: int
    queries: int
    seconds: float

    def row(self, name: str) -> str:
        everyone = sorted(self.won + [self.queries] * (self.images - len(self.won)))
        mean, median = (f(self.won) if self.won else math.nan for f in (statistics.mean, statistics.median))
        share = len(self.won) / self.images
        return (
            f"| {name} | {share:.3f} | {mean:.1f} | {median:g} | {statistics.median(everyone):g} | {self.seconds:.1f} |"
        )


Peer = Callable[[Meter, Tensor, Tensor, bool, int], None]


def torchattacks_square(meter: Meter, x: Tensor, wanted: Tensor, targeted: bool, queries: int) -> None:
    import torchattacks

    norm = {"linf": "Linf", "l2": "L2"}[meter.threat.name]
    _torchattack(torchattacks.Square(meter, norm=norm, eps=meter.threat.eps, n_queries=queries), x, wanted, targeted)


def torchattacks_spsa(meter: Meter, x: Tensor, wanted: Tensor, targeted: bool, queries: int) -> None:
    import torchattacks

    eps = {"linf": meter.threat.eps}[meter.threat.name]
    pairs = 10
    attack = torchattacks.SPSA(
        meter, eps=eps, delta=eps / 4, lr=eps / 5, nb_iter=queries // (2 * pairs), nb_sample=pairs
    )
    _torchattack(attack, x, wanted, targeted)


def _torchattack(attack: Any, x: Tensor, wanted: Tensor, targeted: bool) -> None:
    if targeted:
        attack.set_mode_targeted_by_label(quiet=True)
    attack(x, wanted)


def autoattack_square(meter: Meter, x: Tensor, wanted: Tensor, targeted: bool, queries: int) -> None:
    from autoattack.square import SquareAttack

    norm = {"linf": "Linf", "l2": "L2", "l1": "L1"}[meter.threat.name]
    attack = SquareAttack(
        meter,
        norm=norm,
        eps=meter.threat.eps,
        n_queries=queries,
        targeted=targeted,
        loss="ce" if targeted else "margin",
    )
    attack.perturb(x, wanted)


def _art(meter: Meter, x: Tensor, softmax: bool) -> Any:
    from art.estimators.classification import PyTorchClassifier

    module = nn.Sequential(meter, nn.Softmax(1)) if softmax else meter
    with torch.no_grad():
        classes = meter.network(x).shape[1]
    return PyTorchClassifier(
        module.eval(), nn.CrossEntropyLoss(), tuple(x.shape[1:]), classes, clip_values=(0, 1), device_type="cpu"
    )


def art_square(meter: Meter, x: Tensor, wanted: Tensor, targeted: bool, queries: int) -> None:
    from art.attacks.evasion import SquareAttack

    norm = {"linf": np.inf, "l2": 2}[meter.threat.name]
    model = _art(meter, x, softmax=False)
    attack = SquareAttack(model, norm=norm, eps=meter.threat.eps, max_iter=queries, p_init=0.8, verbose=False)
    attack.generate(x.numpy(), np.eye(model.nb_classes)[wanted.numpy()])


def art_simba(meter: Meter, x: Tensor, wanted: Tensor, targeted: bool, queries: int) -> None:
    from art.attacks.evasion import SimBA

    model = _art(meter, x, softmax=True)
    step = meter.threat.eps / {"l2": 5, "linf": 1}[meter.threat.name]  # in Linf it is the step that keeps to the ball
    attack = SimBA(model, attack="dct", max_iter=queries, epsilon=step, freq_dim=4, targeted=targeted, verbose=False)
    attack.generate(x.numpy(), np.eye(model.nb_classes)[wanted.numpy()])


def art_decision(kind: str, **options: Any) -> Peer:
    def run(meter: Meter, x: Tensor, wanted: Tensor, targeted: bool, queries: int) -> None:
        import art.attacks.evasion

        model = _art(meter, x, softmax=False)
        norm = {"linf": np.inf, "l2": 2}[meter.threat.name]
        more = {"norm": norm} if kind in ("HopSkipJump", "GeoDA") else {}
        attack = getattr(art.attacks.evasion, kind)(model, verbose=False, **more, **options)
        attack.generate(x.numpy(), np.eye(model.nb_classes)[wanted.numpy()] if targeted else None)

    return run


def foolbox_decision(kind: str, **options: Any) -> Peer:
    def run(meter: Meter, x: Tensor, wanted: Tensor, targeted: bool, queries: int) -> None:
        import foolbox

        model = foolbox.PyTorchModel(meter, bounds=(0, 1))
        criteria = foolbox.criteria
        criterion = criteria.TargetedMisclassification(wanted) if targeted else criteria.Misclassification(wanted)
        more = {"constraint": meter.threat.name} if kind == "HopSkipJumpAttack" else {}
        getattr(foolbox.attacks, kind)(**more, **options).run(model, x, criterion)

    return run


PEERS: dict[str, Peer] = {
    "art:hop_skip_jump": art_decision("HopSkipJump", max_iter=64),
    "art:geoda": art_decision("GeoDA", max_iter=100_000),
    "art:sign_opt": art_decision("SignOPTAttack", targeted=False, query_limit=100_000),
    "art:boundary": art_decision("BoundaryAttack", targeted=False, max_iter=5000),
    "foolbox:hop_skip_jump": foolbox_decision("HopSkipJumpAttack", steps=64),
    "foolbox:boundary": foolbox_decision("BoundaryAttack", steps=25_000),
    "torchattacks:square": torchattacks_square,
    "torchattacks:spsa": torchattacks_spsa,
    "autoattack:square": autoattack_square,
    "art:square": art_square,
    "art:simba": art_simba,
}


def run(name: str, meter: Meter, seed: int) -> None:
    """One attack on the image of the meter, to the end or until the meter says Over."""
    goal, x = meter.goal, meter.x
    wanted = goal.labels if goal.targets is None else goal.targets
    torch.manual_seed(seed)
    np.random.seed(seed)
    if name in PEERS:
        PEERS[name](meter, x, wanted, goal.targeted, meter.queries)
        return
    recipe = ATTACKS[name.partition(":")[0]].recipe
    if "queries" in inspect.signature(recipe).parameters and "queries=" not in name:
        name += f"{',' if ':' in name else ':'}queries={meter.queries}"
    attempt(parse_attack(name), as_victim(meter), meter.threat, x, goal, torch.tensor([seed]), 0)


def measure(name: str, network: nn.Module, x: Tensor, labels: Tensor, options: argparse.Namespace) -> Result:
    threat = getattr(brittle, options.threat)(options.eps)
    won: list[int] = []
    begin = time.process_time()
    for row in range(len(x)):
        label = labels[row : row + 1]
        goal = Classify(label, (label + 1) % options.classes if options.target else None)
        meter = Meter(network, threat, x[row : row + 1], goal, options.queries).eval()
        try:
            run(name, meter, row)
        except Over:
            won += [meter.asked] * meter.won
    return Result(won, len(x), options.queries, time.process_time() - begin)


def images(network: nn.Module, card: dict[str, Any], options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """The first that are classified right."""
    data = options.network.split("_")[0]
    if data not in ("mnist", "cifar10"):
        side = card["input_size"][-1]
        folder = Path(os.environ["BRITTLE_DATA"]) / "data" / "imagenet_1000"
        data = f"images:{folder}?size={side}"
    samples = open_data(data)
    xs, ys = [], []
    for begin in range(0, len(samples), 20):
        x, labels = samples.batch(range(begin, min(begin + 20, len(samples))))
        with torch.no_grad():
            right = network(x).argmax(1) == labels
        xs.append(x[right])
        ys.append(labels[right])
        if sum(map(len, xs)) >= options.images:
            break
    return torch.cat(xs)[: options.images], torch.cat(ys)[: options.images]


def number(text: str) -> float:
    above, _, below = text.partition("/")
    return float(above) / float(below or 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="cifar10_resnet20", help="a name in weights/")
    parser.add_argument("--threat", default="linf", choices=sorted(SIZE))
    parser.add_argument("--eps", type=number, default=8 / 255)
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument(
        "--attacks", default=f"{OURS} {OTHERS}", help="space between them; `labels`: those that see the class alone"
    )
    parser.add_argument("--target", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkouts", type=Path, default=os.environ.get("BRITTLE_CHECKOUTS"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    use_checkouts(Path(options.checkouts) if options.checkouts else None)
    network, card = loader().load(options.network)
    x, labels = images(network.eval(), card, options)
    with torch.no_grad():
        options.classes = network(x[:1]).shape[1]
    suffix = ", targeted" if options.target else ""
    print(
        f"{options.network}, {options.threat} {options.eps:.4g}, {len(x)} images, {options.queries} queries{suffix}\n"
    )
    print(
        "| attack | won | mean queries of won | median of won | median of all | seconds |\n|---|---:|---:|---:|---:|---:|"
    )
    for name in options.attacks.replace("labels", LABELS).split():
        try:
            print(measure(name, network, x, labels, options).row(name), flush=True)
        except Exception as error:  # a peer that cannot do it costs its own row
            print(f"| {name} | {type(error).__name__}: {str(error)[:80]} |", flush=True)


if __name__ == "__main__":
    main()
