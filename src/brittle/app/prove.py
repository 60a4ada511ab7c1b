"""Which certificate is worth its time on a model: the cheapest that proves what the dearest does on a few samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..certify import parse_certifier, prove
from ..certify.bends import Bend
from ..certify.network import trace
from ..core.problem import Threat
from ..core.victim import Victim
from ..data.samples import Samples
from ..errors import InputError
from ..runs.plan import AttackEntry
from ..runs.values import encode

TRIED = ("crown_ibp", "standard")  # from cheap to dear
SAMPLES = 12  # that they are tried on
LARGEST = 20_000  # ReLUs and pools; beyond, lines to each of them cost more than the attacks
MOST = 10_000_000  # numbers of the widest layer times outputs; beyond, a trial alone costs minutes and gigabytes


@dataclass(frozen=True)
class Provability:
    """The certificate as an entry of a plan, or None and why there is none, in words."""

    entry: AttackEntry | None
    why_none: str = ""


def provability(victim: Victim, data: Samples, threat: Threat, goal: str) -> Provability:
    """Try certificates on the first few samples."""
    if goal != "untargeted":
        return Provability(None, "proofs are for untargeted goals alone")
    x, labels = data.batch(range(min(SAMPLES, len(data))))
    x = victim.clamp(x.to(victim.device, victim.dtype))
    try:
        network = trace(victim, x)
        if network.widest * math.prod(network.nodes[-1].shape) > MOST:
            return Provability(None, "the network is too large: its widest layer times its outputs exceed ten million")
        bends = sum(math.prod(node.shape) for node in network.nodes if isinstance(node.layer, Bend))
        counts = [0]
        for name in TRIED[: 1 if bends > LARGEST else None]:
            counts.append(int(prove(parse_certifier(name), victim, threat, x, labels.long()).sum()))
    except InputError as error:
        return Provability(None, str(error))
    if not max(counts):
        return Provability(None, f"none of {len(x)} samples could be proved")
    chosen = TRIED[counts.index(max(counts)) - 1]
    return Provability(
        AttackEntry(
            name=f"proof: {chosen}",
            role="proof",
            value=encode(parse_certifier(chosen), chosen),
            about="bounds through every layer, which show that nothing allowed changes the class",
        )
    )
