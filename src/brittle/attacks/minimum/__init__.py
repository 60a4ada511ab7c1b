"""Minimum-norm attacks, with gradients: the smallest perturbation that wins."""

from __future__ import annotations

from ..entry import Entry
from . import recipes
from .alma import ALMA
from .brendel_bethge import BrendelBethge
from .carlini_wagner import CW
from .ddn import DDN
from .deepfool import DeepFool
from .ead import EAD
from .fab import FAB
from .fmn import FMN
from .jsma import JSMA
from .lbfgs import LBFGS
from .newtonfool import NewtonFool
from .primal_dual import PDGD, PDPGD
from .sigma_zero import SigmaZero
from .sparsefool import SparseFool
from .superdeepfool import SuperDeepFool
from .trust_region import TrustRegion
from .vfga import VFGA

_BOUNDARY = "linf l2 l1 box"

ATTACKS: dict[str, Entry] = {
    "ddn": Entry(DDN, "Rony 2019, arXiv:1811.09600", "at most steps x (F + B) + (1 + search) x F", norms="l2"),
    "cw": Entry(
        CW,
        "Carlini 2017, arXiv:1608.04644",
        "at most (rounds x steps + 2 + search) x F + (rounds x steps + candidates) x B",
        norms="l2 linf box",
    ),
    "deepfool": Entry(
        DeepFool,
        "Moosavi-Dezfooli 2016, arXiv:1511.04599",
        "at most steps x (2 x F + candidates x B) + (1 + search) x F",
        norms=_BOUNDARY,
    ),
    "superdeepfool": Entry(
        SuperDeepFool,
        "Abdolahpourrostam 2024, arXiv:2303.12481",
        "at most steps x (2 x F + candidates x B) + (2 + search) x F",
        norms="l2",
    ),
    "fab": Entry(
        FAB,
        "Croce 2020, arXiv:1907.02044",
        "at most restarts x (steps x (F + candidates x B) + F) + (1 + search) x F",
        norms=_BOUNDARY,
    ),
    "fabt": Entry(
        recipes.fabt,
        "Croce 2020, arXiv:2003.01690",
        "at most targets x (steps x (F + B) + (3 + search) x F) + F",
        norms=_BOUNDARY,
    ),
    "fmn": Entry(
        FMN,
        "Pintor 2021, arXiv:2102.12827",
        "at most steps x F + (steps - 1 + candidates) x B + (2 + search) x F",
    ),
    "pdgd": Entry(
        PDGD,
        "Matyasko 2021, arXiv:2106.01538",
        "at most (steps + 2 + search) x F + (steps + candidates) x B",
        norms="l2",
    ),
    "pdpgd": Entry(
        PDPGD, "Matyasko 2021, arXiv:2106.01538", "at most (steps + 2 + search) x F + (steps + candidates) x B"
    ),
    "alma": Entry(
        ALMA,
        "Rony 2021, arXiv:2011.11857",
        "at most (steps + 2 + search) x F + (steps + candidates) x B",
        norms="l2 l1",
    ),
    "sigma_zero": Entry(SigmaZero, "Cina 2025, arXiv:2402.01879", "at most steps x F + (steps - 1) x B", norms="l0"),
    "brendel_bethge": Entry(
        BrendelBethge,
        "Brendel 2019, arXiv:1907.01003",
        "at most (steps + 10) x (F + B) + (32 + starts) x F",
        norms="linf l2 l1 l0",
    ),
    "vfga": Entry(VFGA, "Hajri 2022, arXiv:2011.12423", "at most steps x ((1 + 2 x draws) x F + B)", norms="l0"),
    "ead": Entry(EAD, "Chen 2018, arXiv:1709.04114", "at most (rounds x steps + 1) x (F + B) + search x F", norms="l1"),
    "lbfgs": Entry(
        LBFGS,
        "Szegedy 2014, arXiv:1312.6199",
        "at most (rounds x steps + 1) x F + (rounds x steps + candidates) x B + search x F",
        norms="l2",
    ),
    "newtonfool": Entry(NewtonFool, "Jang 2017, ACSAC", "at most steps x (F + B) + (2 + search) x F", norms="l2"),
    "trust_region": Entry(
        TrustRegion,
        "Yao 2019, arXiv:1812.06371",
        "at most steps x (F + B) + (2 + search) x F + (candidates - 1) x B",
        norms="linf l2 box",
    ),
    "sparsefool": Entry(
        SparseFool,
        "Modas 2019, arXiv:1811.02248",
        "at most steps x (inner x (2 x F + (1 + candidates) x B) + F) + (1 + search) x F",
        norms="l1 l0",
    ),
    "cw_l0": Entry(
        recipes.cw_l0,
        "Carlini 2017, arXiv:1608.04644",
        "at most rounds x ((weights x steps + 9) x F + (weights x steps + 4) x B) + F",
        norms="l0",
    ),
    "jsma": Entry(JSMA, "Papernot 2016, arXiv:1511.07528", "at most steps x (F + 2 x B) + F", norms="l0"),
}
