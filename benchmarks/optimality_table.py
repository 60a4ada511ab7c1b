"""From the files of `optimality.py` to tables: the envelope over all attacks, and how far each attack is from it.

Local optimality (Cina et al., AttackBench, AAAI 2025): 1 - (A - A*) / (clean * d - A*), where A is the area under the attack's robust
accuracy against distance up to d, A* that of the envelope, which takes for every sample the smallest size that any attack found,
and d the largest size in the envelope. 1: as good as all attacks together on every sample; 0: nothing found within d. The area is that of
the step function, the mean of min(size, d). AttackBench's code joins the steps by straight lines, from the smallest size on: "by
trapezoids". That leaves out the more the larger an attack's smallest size is, unless a sample is wrong untouched, and can exceed 1.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
ORDER = ("linf", "l2", "l1", "l0")


def optimality(sizes: Floats, envelope: Floats) -> float:
    """Local optimality; samples (N,), 0 where the network is wrong untouched, inf where nothing was found."""
    farthest = float(envelope[np.isfinite(envelope)].max())
    best = np.minimum(envelope, farthest).mean()
    worst = np.count_nonzero(envelope) / len(envelope) * farthest
    return _ratio(np.minimum(sizes, farthest).mean() - best, worst - best)


def optimality_by_trapezoids(sizes: Floats, envelope: Floats) -> float:
    """The same with the areas as AttackBench's code takes them."""
    farthest = float(envelope[np.isfinite(envelope)].max())
    best = _trapezoids(np.minimum(envelope, farthest))
    worst = np.count_nonzero(envelope) / len(envelope) * farthest
    return _ratio(_trapezoids(np.minimum(sizes, farthest)) - best, worst - best)


def _trapezoids(sizes: Floats) -> float:
    distances, counts = np.unique(sizes, return_counts=True)
    return float(np.trapezoid(1 - counts.cumsum() / len(sizes), distances))


def _ratio(excess: float, room: float) -> float:
    return 1 - excess / room if room > 0 else 1.0


def tables(folder: Path) -> str:
    """Markdown over all cells of a folder; those of one norm, sample count, budget and seed are compared."""
    groups: dict[tuple[Any, ...], dict[str, dict[str, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    failed = []
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text())
        if record["error"]:
            failed.append(f"- {record['network']} {record['norm']} {record['attack']}: {record['error'][:150]}")
            continue
        record["size"] = np.array([math.inf if size is None else size for size in record["size"]])
        record["queries"] = np.mean(record["forwards"]) + np.mean(record["backwards"])
        group = (ORDER.index(record["norm"]), record["samples"], record["budget"], record["seed"])
        groups[group][record["network"]][record["attack"]] = record
    parts = []
    for (norm, samples, budget, seed), networks in sorted(groups.items()):
        parts.append(f"## {ORDER[norm]}, {samples} samples, {budget} forwards + backwards a sample, seed {seed}")
        for cells in networks.values():
            envelope = np.min([cell["size"] for cell in cells.values()], axis=0)
            for cell in cells.values():
                cell["optimality"] = optimality(cell["size"], envelope)
                cell["by_trapezoids"] = optimality_by_trapezoids(cell["size"], envelope)
        parts += [_overview(networks), _contest(networks), _namesakes(networks)]
        parts += [f"### {ORDER[norm]}, {network}\n\n{_details(cells)}" for network, cells in networks.items()]
    return "\n\n".join([*filter(None, parts), *(["## Not measured", "\n".join(failed)] if failed else [])])


def _overview(networks: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Attacks against networks; first those that ran on most networks, then by mean."""
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for network, cells in networks.items():
        for attack, cell in cells.items():
            scores[attack][network] = cell["optimality"]
    lines = [["local optimality of", "mean", *networks]]
    for attack, found in sorted(scores.items(), key=lambda item: (-len(item[1]), -np.mean(list(item[1].values())))):
        each = [f"{found[network]:.3f}" if network in found else "" for network in networks]
        lines.append([attack, f"{np.mean(list(found.values())):.3f}", *each])
    return _markdown(lines)


def _contest(networks: dict[str, dict[str, dict[str, Any]]]) -> str:
    """One attack of brittle, the one whose smallest lead is largest, beside the best that any peer has on each network."""
    peers: dict[str, tuple[float, str]] = {}
    leads: dict[str, dict[str, float]] = defaultdict(dict)
    for network, cells in networks.items():
        found = [(cell["optimality"], attack) for attack, cell in cells.items() if not attack.startswith("brittle:")]
        if found:
            peers[network] = max(found)
            for attack, cell in cells.items():
                if attack.startswith("brittle:"):
                    leads[attack][network] = cell["optimality"] - peers[network][0]
    if not leads:
        return ""
    ours = max(leads, key=lambda attack: (len(leads[attack]), min(leads[attack].values())))
    lines = [["network", ours, "best peer", "", "at least as good"]]
    for network, lead in leads[ours].items():
        best, name = peers[network]
        lines.append([network, f"{best + lead:.4f}", f"{best:.4f}", name, "yes" if lead >= 0 else "no"])
    return _markdown(lines)


def _namesakes(networks: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Each attack of brittle beside the best peer attack of the same name, in the mean over the networks where both ran."""
    best: dict[str, dict[str, dict[str, tuple[float, str]]]] = {"brittle": defaultdict(dict), "peer": defaultdict(dict)}
    for network, cells in networks.items():
        for attack, cell in cells.items():
            library, _, rest = attack.partition(":")
            name = rest.partition(":")[0]
            here = best["brittle" if library == "brittle" else "peer"][SAME.get(name, name)]
            here[network] = max(here.get(network, (-math.inf, "")), (cell["optimality"], attack))
    lines = [["attack", "networks", "ours", "best peer", "lead", "peers"]]
    for name, ours in sorted(best["brittle"].items()):
        theirs = best["peer"].get(name, {})
        both = [network for network in ours if network in theirs]
        if both:
            mine, other = (float(np.mean([found[network][0] for network in both])) for found in (ours, theirs))
            libraries = ", ".join(sorted({theirs[network][1].partition(":")[0] for network in both}))
            lines.append([name, str(len(both)), f"{mine:.3f}", f"{other:.3f}", f"{mine - other:+.3f}", libraries])
    return _markdown(lines) if len(lines) > 1 else ""


SAME = {  # what peers call an attack, and what we call it
    "bb": "brendel_bethge",
    "bim": "pgd",
    "cw_l2": "cw",
    "cw_linf": "cw",
    "fab_targeted": "fabt",
    "apgd_targeted": "apgdt",
    "tr": "trust_region",
}


def _details(cells: dict[str, dict[str, Any]]) -> str:
    lines = [
        [
            "attack",
            "optimality",
            "by trapezoids",
            "median size",
            "success",
            "forwards",
            "backwards",
            "processor s",
            "batch",
        ]
    ]
    for attack, cell in sorted(cells.items(), key=lambda item: -item[1]["optimality"]):
        right = cell["size"] > 0
        lines.append(
            [
                attack,
                f"{cell['optimality']:.4f}",
                f"{cell['by_trapezoids']:.4f}",
                f"{np.median(cell['size'][right]):.4g}",
                f"{100 * np.isfinite(cell['size'][right]).mean():.0f} %",
                f"{np.mean(np.array(cell['forwards'])[right]):.0f}",
                f"{np.mean(np.array(cell['backwards'])[right]):.0f}",
                f"{cell['seconds']:.1f}",
                str(cell["batch"]),
            ]
        )
    return _markdown(lines)


def _markdown(lines: list[list[str]]) -> str:
    head, *rows = lines
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rows])
