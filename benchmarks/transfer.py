"""Transfer of each method against those of torchattacks and TransferAttack: same networks, same images, same numbers of copies, one run.

    python benchmarks/transfer.py --surrogate mobilenet_v2_1.0_224_qat --images 200 --copies 20 --out transfer.json

Needs BRITTLE_DATA with weights/ and data/imagenet_1000, timm and torchvision, and for the comparison torchattacks, and a checkout of
github.com/Trustworthy-AI-Group/TransferAttack in $BRITTLE_CHECKOUTS. Only images count that every network gets right. Linf 16/255 or
another, 10 steps of a tenth of it, momentum 1; what is not named below is each library's default.
`--surrogate A,B --sides none` crafts on both.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import brittle
from brittle.app.transfer import shuffled
from brittle.attacks.directions import Admix, Pictures
from brittle.core.victim import as_victim
from brittle.data.open import open_data
from brittle.files import write_whole
from brittle.victims.ensemble import ensemble
from peers import without_torchvision
from published import loader

STEPS = 10
NETWORKS = (
    "mobilenet_v2_1.0_224_qat",
    "squeezenet1_0_deepcompression",
    "resnet18_pqf_large",
    "resnet50_pqf_large",
    "mobilenet_v1_1.0_224_qat",
)
# name: our text with {n} copies; the torchattacks class and its options; the TransferAttack module, class and options
METHODS: dict[str, tuple[str, tuple[str, dict[str, Any]] | None, tuple[str, str, dict[str, Any]] | None]] = {
    "MI": ("mifgsm", ("MIFGSM", {}), ("gradient.mifgsm", "MIFGSM", {})),
    "NI": ("nifgsm", ("NIFGSM", {}), ("gradient.nifgsm", "NIFGSM", {})),
    "DI": ("mifgsm+di", ("DIFGSM", {"decay": 1.0}), ("input_transformation.dim", "DIM", {})),
    "TI": ("mifgsm+ti", None, ("input_transformation.tim", "TIM", {})),
    "DI+TI": ("mifgsm+di+ti", ("TIFGSM", {"decay": 1.0}), None),
    "SI": ("mifgsm+si", None, ("input_transformation.sim", "SIM", {})),
    "SI+NI": ("nifgsm+si", ("SINIFGSM", {}), None),
    "BSR": ("mifgsm+bsr:copies={n}", None, ("input_transformation.bsr", "BSR", {"num_scale": "n"})),
    "SIA": ("mifgsm+sia:copies={n}", None, ("input_transformation.sia", "SIA", {"num_scale": "n"})),
    "SSA": ("mifgsm+ssa:copies={n}", None, ("input_transformation.ssm", "SSM", {"num_spectrum": "n"})),
    "Admix": ("mifgsm+admix:mixed={m}", None, ("input_transformation.admix", "Admix", {"num_admix": "m"})),
    "VMI": (
        "mifgsm+vt:neighbours={n}",
        ("VMIFGSM", {"N": "n"}),
        ("gradient.vmifgsm", "VMIFGSM", {"num_neighbor": "n"}),
    ),
    "SIA+DI+TI": ("mifgsm+sia:copies={n}+di+ti", None, None),
    "SIA+DI": ("mifgsm+sia:copies={n}+di", None, None),
    "SIA+SGM": ("mifgsm+sia:copies={n}+sgm", None, None),
    "SIA+ILPD": ("mifgsm+sia:copies={n}+ilpd", None, None),
    "SIA+EMI": ("mifgsm+sia:copies={n}+emi:samples=4", None, None),
    "SIA+PGN": ("mifgsm+sia:copies={n}+pgn:neighbours=2", None, None),
    "BSR+SI": ("mifgsm+bsr:copies={n}+si:copies=2", None, None),
    "PI": ("mifgsm+pi", None, None),
    "EMI": ("mifgsm+emi", None, ("gradient.emifgsm", "EMIFGSM", {})),
    "GNP": ("mifgsm+gnp", None, ("gradient.gnp", "GNP", {})),
    "GRA": ("mifgsm+gra:neighbours={n}", None, ("gradient.gra", "GRA", {"num_neighbor": "n"})),
    "PGN": ("mifgsm+pgn:neighbours={n}", None, ("gradient.pgn", "PGN", {"num_neighbor": "n"})),
    "MEF": (
        "mifgsm:momentum=0.5+mef:neighbours={n}",
        None,
        ("gradient.mef", "MEF", {"num_neighbor": "n", "epoch": 10}),
    ),
    "IG": ("mifgsm:loss=probability+ig:samples={n}", None, ("gradient.mig", "MIG", {"s_factor": "n"})),
    "DeCoWA": ("mifgsm+decowa:copies={n}", None, ("input_transformation.decowa", "DeCowA", {"num_warping": "n"})),
    "ODI": ("mifgsm+odi", None, None),
    "L2T": ("mifgsm+l2t:copies={n}", None, ("input_transformation.l2t", "L2T", {})),
    "SGM": ("mifgsm+sgm", None, None),
    "LinBP": ("mifgsm+linbp", None, None),
    "Ghost": ("mifgsm+ghost", None, None),
    "ILPD": ("mifgsm+ilpd", None, None),
    "FIA": ("mifgsm+fia", None, None),
    "NAA": ("mifgsm+naa", None, None),
    "SGM+DI": ("mifgsm+sgm+di", None, None),
    "LinBP+DI": ("mifgsm+linbp+di", None, None),
    "Ghost+DI": ("mifgsm+ghost+di", None, None),
    "ILPD+DI": ("mifgsm+ilpd+di", None, None),
    "FIA+DI": ("mifgsm+fia+di", None, None),
    "NAA+DI": ("mifgsm+naa+di", None, None),
}
CHEAP = ("MI", "DI", "TI", "SI", "BSR", "SIA", "SSA", "Admix", "VMI", "SIA+DI+TI")


class Resized(nn.Module):
    """The network on pictures of another size, resized inside; `half`: it calculates in bfloat16."""

    def __init__(self, module: nn.Module, side: int, half: bool = False) -> None:
        super().__init__()
        self.module, self.side, self.half = module, side, half

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.side:
            x = F.interpolate(x, (self.side, self.side), mode="bilinear")
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.half):
            logits: Tensor = self.module(x)
        return logits.float()


def networks(names: tuple[str, ...], device: str) -> dict[str, Resized]:
    found = {}
    for name in names:
        module, card = loader().load(name)
        module = module.to(device, memory_format=torch.channels_last)
        found[name] = Resized(module, card["preprocessing"]["crop"]).eval().requires_grad_(False)
    return found


def right_for_all(modules: dict[str, Resized], count: int, device: str) -> tuple[Tensor, Tensor]:
    """The first images (count, 3, 224, 224) that every network gets right, and their labels."""
    data = open_data(f"images:{os.environ['BRITTLE_DATA']}/data/imagenet_1000?size=224")
    kept: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(data), 25):
        x, labels = (part.to(device) for part in data.batch(range(start, min(start + 25, len(data)))))
        with torch.no_grad():
            for module in modules.values():
                right = module(x).argmax(1) == labels
                x, labels = x[right], labels[right]
        kept.append((x, labels))
        if sum(len(part) for _, part in kept) >= count:
            break
    images, classes = (torch.cat(parts)[:count] for parts in zip(*kept, strict=True))
    return images, classes


def filled(options: dict[str, Any], copies: int) -> dict[str, Any]:
    counts = {"n": copies, "m": max(1, copies // 5)}
    return {key: counts.get(value, value) if isinstance(value, str) else value for key, value in options.items()}


def transferattack(where: str, kind: str, options: dict[str, Any], module: nn.Module) -> Callable[..., Tensor]:
    """An attack of TransferAttack on our module; the library loads networks by name and calls .cuda() throughout."""
    import importlib
    from types import ModuleType

    importlib.import_module("torchvision")  # before pandas has a stand-in, which torch would look into
    sys.modules.setdefault("pandas", ModuleType("pandas"))  # it only reads its tables of labels with that
    sys.path.insert(0, str(Path(os.environ["BRITTLE_CHECKOUTS"]) / "TransferAttack"))
    where_to = next(module.parameters()).device
    for owner in (torch.Tensor, nn.Module):
        owner.cuda = lambda self, *_, **__: self.to(where_to)  # type: ignore[method-assign]
    base = importlib.import_module("transferattack.attack").Attack
    base.load_model = lambda self, given: given
    attack = getattr(importlib.import_module(f"transferattack.{where}"), kind)(module, **options)
    return lambda x, labels: x + attack(x, labels)


def crafts(
    name: str, modules: list[nn.Module], copies: int, pictures: Pictures, sides: str, eps: float
) -> Iterator[tuple[str, Callable[[Tensor, Tensor], Tensor]]]:
    """Each side's attack on the surrogates, which are several for ours alone."""
    text, torchattacks_side, transferattack_side = METHODS[name]
    victim, module = ensemble([as_victim(module) for module in modules]), modules[0]
    attack = brittle.parse_attack(text.format(n=copies, m=max(1, copies // 5)))
    if "admix" in text:
        mixed = max(1, copies // 5)
        attack = brittle.compose(brittle.mifgsm(), Admix(pictures=pictures, mixed=mixed))
    yield "brittle", lambda x, labels: brittle.attack(attack, victim, x, labels, brittle.linf(eps)).x_adv
    if torchattacks_side and "torchattacks" in sides:
        import torchattacks

        kind, options = torchattacks_side
        made = getattr(torchattacks, kind)(module, eps=eps, alpha=eps / STEPS, steps=STEPS, **filled(options, copies))
        yield "torchattacks", made
    if transferattack_side and "transferattack" in sides:
        where, kind, options = transferattack_side
        yield (
            "TransferAttack",
            transferattack(where, kind, {"epsilon": eps, "alpha": eps / STEPS, **filled(options, copies)}, module),
        )


class Record:
    """How many images of each block each network got wrong, in a file; the same command later goes on where it stopped."""

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self.path, self.settings, self.rows = path, settings, list[dict[str, Any]]()
        if path and path.exists():
            kept = json.loads(path.read_text())
            if kept["settings"] != settings:
                sys.exit(f"{path} holds a run with {kept['settings']}, not {settings}: name another file")
            self.rows = kept["rows"]

    def has(self, method: str, side: str, first: int) -> bool:
        return any((row["method"], row["library"], row["first"]) == (method, side, first) for row in self.rows)

    def add(self, method: str, side: str, first: int, images: int, seconds: float, wrong: dict[str, int]) -> None:
        print(f"{first:4} {method:14} {side:14} {seconds:6.0f} s {list(wrong.values())}", file=sys.stderr, flush=True)
        row = {"method": method, "library": side, "first": first, "images": images, "seconds": seconds, "wrong": wrong}
        self.rows.append(row)
        if self.path:
            write_whole(self.path, json.dumps({"settings": self.settings, "rows": self.rows}, indent=1).encode())

    def table(self, surrogates: list[str], targets: list[str]) -> str:
        """Percent taken for another class, over all blocks of a method; the mean is that of the targets."""
        names = surrogates + targets
        lines = [f"| method | library | images | seconds | {' | '.join(names)} | mean |"]
        lines.append("|---|---|" + "---:|" * (len(names) + 3))
        for method, side in dict.fromkeys((row["method"], row["library"]) for row in self.rows):
            blocks = [row for row in self.rows if (row["method"], row["library"]) == (method, side)]
            images, seconds = (sum(row[key] for row in blocks) for key in ("images", "seconds"))
            rates = [100 * sum(row["wrong"][name] for row in blocks) / images for name in names]
            shown = " | ".join(f"{rate:.1f}" for rate in (*rates, sum(rates[len(surrogates) :]) / len(targets)))
            lines.append(f"| {method} | {side} | {images} | {seconds:.0f} | {shown} |")
        return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--surrogate", default=NETWORKS[0])
    parser.add_argument("--targets", default=",".join(NETWORKS))
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--eps", type=float, default=16, help="in pixel levels")
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--methods", default=",".join(CHEAP))
    parser.add_argument("--sides", default="torchattacks,transferattack")
    parser.add_argument("--block", type=int, default=20, help="images that every method sees before the next ones")
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--half", action="store_true", help="the surrogate crafts in bfloat16, on every side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the record; with it, the same command goes on after an interruption")
    given = parser.parse_args()
    without_torchvision()
    own = given.surrogate.split(",")
    if len(own) > 1 and given.sides != "none":
        parser.error("only ours crafts on several surrogates here: add --sides none")
    modules = networks(tuple(dict.fromkeys((*own, *given.targets.split(",")))), given.device)
    surrogates: list[nn.Module] = [
        Resized(modules[name].module, modules[name].side, given.half).eval().requires_grad_(False) for name in own
    ]
    x, labels = right_for_all(modules, given.images, given.device)
    pictures = Pictures.of(x[:: max(1, len(x) // 20)])
    eps = given.eps / 255
    settings = {key: getattr(given, key) for key in ("surrogate", "targets", "eps", "copies", "half", "seed", "block")}
    record = Record(given.out, settings)

    def note(method: str, side: str, first: int, seconds: float, x_adv: Tensor) -> None:
        before, truth = x[first : first + given.block], labels[first : first + given.block]
        assert float((x_adv - before).abs().max()) <= eps + 1e-6
        with torch.no_grad():
            wrong = {name: int((module(x_adv).argmax(1) != truth).sum()) for name, module in modules.items()}
        record.add(method, side, first, len(before), seconds, wrong)

    for first in range(0, len(x), given.block):
        some, truth = x[first : first + given.block], labels[first : first + given.block]
        if not record.has("uniform noise", "brittle", first):
            victim, noise = as_victim(modules[own[0]]), brittle.uniform_noise()
            note(
                "uniform noise",
                "brittle",
                first,
                0.0,
                brittle.attack(noise, victim, some, truth, brittle.linf(eps)).x_adv,
            )
        for name in given.methods.split(","):
            for side, craft in crafts(name, surrogates, given.copies, pictures, given.sides, eps):
                if record.has(name, side, first):
                    continue
                torch.manual_seed(given.seed + first)
                begun = time.process_time()
                batches = zip(some.split(given.batch), truth.split(given.batch), strict=True)
                x_adv = torch.cat([craft(*batch).detach() for batch in batches])
                note(name, side, first, time.process_time() - begun, x_adv)
                if name == "MI" and side == "brittle":
                    mixed = shuffled(some, x_adv, torch.arange(len(some)), given.seed)
                    note("MI, shuffled", side, first, 0.0, mixed)
    precision = "bfloat16" if given.half else "float32"
    print(f"{len(x)} images, eps {given.eps:g}/255, {given.copies} copies, crafted on {given.surrogate} in {precision}")
    print(record.table(own, [name for name in modules if name not in own]))


if __name__ == "__main__":
    main()
