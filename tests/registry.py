"""The registered attacks, each with options that are quick: what the tests over the whole registry share."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from typing import Any

import pytest

from brittle.attacks import ATTACKS

NAMES = [name for name, entry in ATTACKS.items() if entry.given_access is None]
# A cheap one of each kind: what is left of the tests over the whole registry where those marked slow are left out.
SAMPLE = {"fgsm", "pgd", "deepfool", "square", "pointwise"}

OPTIONS: dict[str, dict[str, Any]] = {  # where six steps, or the defaults, are not what the laws need
    "odi_pgd": {"steps": 6, "restarts": 2},
    "eotpgd": {"steps": 6, "draws": 2},
    "apgdt": {"steps": 6, "targets": 3},
    "mtpgd": {"steps": 6, "targets": 3},
    "brendel_bethge": {"steps": 10},
    "sparse_rs": {"queries": 60},
    "patch_rs": {"queries": 60, "side": 2},
    "frame_rs": {"queries": 60, "width": 1},
    "one_pixel": {"queries": 60, "population": 10},
    "bisect_pgd": {"steps": 6, "rounds": 7},
    "minimal": {"budget": 200},
    "autoattack": {"steps": 6, "queries": 20},
    "relaxation_if_near": {"cycles": 2, "climb": 4, "queries": 10},
    "walk_if_stuck": {"steps": 6},
    "square_if_near": {"queries": 20, "probe": 10, "climb": 4},
    "targets_if_near": {"steps": 4, "targets": 2, "more": 6},
    "far_walks": {"starts": 1, "steps": 6, "climb": 6},
    "ddn": {"steps": 200},
    "lbfgs": {"steps": 8, "rounds": 4},
    "ead": {"steps": 6, "rounds": 3},
    "cr": {"restarts": 1, "cycles": 2, "cycle": 6, "targets": 2},
    "pgd_cd": {"steps": 16},
    "jitter": {"steps": 12},
    **{
        name: {"queries": 20}
        for name in ("square", "sign_hunter", "simba", "nes", "spsa", "finite_differences", "bandits")
    },
    "nattack": {"queries": 40, "population": 10},
    "parsimonious": {"queries": 40},
    "genattack": {"queries": 40},
    "pixle": {"queries": 40},
    "zoo": {"queries": 2000},
    "signflip": {"queries": 400},
    "tangent": {"queries": 1200},
    "pointwise": {"queries": 300},
    "fmn": {"steps": 60},
    "newtonfool": {"steps": 100},
    "trust_region": {"steps": 30},
    "sparsefool": {"steps": 5, "inner": 5},
    "cw_l0": {"rounds": 4, "steps": 15, "weights": 2},
    "boundary": {"queries": 300},
    "blended_noise": {"queries": 40, "draws": 12, "steps": 3},
    "salt_and_pepper": {"queries": 60, "draws": 12, "steps": 5},
    "geoda": {"queries": 800},
    "hop_skip_jump": {"queries": 1200},
    "qeba": {"queries": 800},
    "rays": {"queries": 500},
    "cgba": {"queries": 1000},
    "surfree": {"queries": 500},
    "sign_opt": {"queries": 600},
    "input_optimisation": {"steps": 40, "step_size": 0.05, "loss": "margin"},
}
RATIOS: dict[str, float] = {  # size / optimum on linear victims, where it is not 1.02
    "ddn": 1.1,
    "newtonfool": 1.15,  # its direction blends those to all other classes
    "bisect_pgd": 1.1,
    "boundary": 3.0,  # at so few queries
    "blended_noise": float("inf"),  # random directions
    "salt_and_pepper": float("inf"),
    "geoda": 1.5,
    "hop_skip_jump": 1.4,  # 1.25 from 4000 queries on
    "qeba": 1.5,
    "rays": 1.25,
    "cgba": 1.25,
    "surfree": 1.25,
    "sign_opt": 1.45,
    "signflip": 1.35,
    "zoo": 1.1,
    "tangent": 1.25,
    "binarization_refinement": math.inf,  # it refines for models that binarise, which these do not
}


def each(norms: Iterable[str] | None = None) -> list[Any]:
    """For parametrize: the names of the attacks, of those alone that take one of the norms; all but a sample are slow."""
    names = [name for name in NAMES if norms is None or any(takes(name, norm) for norm in norms)]
    return [pytest.param(name, marks=[] if name in SAMPLE else [pytest.mark.slow]) for name in names]


def quick(name: str, **more: Any) -> Any:
    """The registered attack with options that are quick, and more of them."""
    recipe = ATTACKS[name].recipe
    few = {"steps": 6} if "steps" in inspect.signature(recipe).parameters else {}
    return recipe(**{**OPTIONS.get(name, few), **more})


def takes(name: str, norm: str) -> bool:
    """Whether the attack works under the norm."""
    return norm in ATTACKS[name].norms.split()
