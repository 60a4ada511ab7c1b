"""Attacks at a fixed budget, with gradients: the highest loss inside the region."""

from __future__ import annotations

from ..entry import Entry
from . import recipes
from .adam_pgd import AdamPGD
from .constraint_relaxation import ConstraintRelaxation
from .input_optimisation import InputOptimisation
from .jitter import Jitter
from .lbfgsb import LBFGSB
from .pgd0 import PGD0
from .slide import SLIDE
from .tpgd import TPGD

ATTACKS: dict[str, Entry] = {
    "fgsm": Entry(recipes.fgsm, "Goodfellow 2015, arXiv:1412.6572", "F + B"),
    "ifgsm": Entry(recipes.ifgsm, "Kurakin 2017, arXiv:1607.02533", "steps x (F + B)"),
    "repeated_fgsm": Entry(recipes.repeated_fgsm, "Kurakin 2017, arXiv:1611.01236", "at most steps x (F + B)"),
    "pgd": Entry(recipes.pgd, "Madry 2018, arXiv:1706.06083", "at most restarts x (steps x draws x (F + B) + 2 x F)"),
    "eotpgd": Entry(
        recipes.eotpgd, "Athalye 2018, arXiv:1707.07397", "at most restarts x (steps x draws x (F + B) + 2 x F)"
    ),
    "apgd": Entry(
        recipes.apgd,
        "Croce 2020, arXiv:2003.01690; Croce 2021, arXiv:2103.01208",
        "at most restarts x (steps x draws x (F + B) + (draws + 1) x F)",
    ),
    "apgdt": Entry(
        recipes.apgdt,
        "Croce 2020, arXiv:2003.01690",
        "at most targets x restarts x (steps x draws x (F + B) + (draws + 2) x F) + F",
    ),
    "pma": Entry(
        recipes.pma,
        "Xie 2025, arXiv:2411.15210",
        "at most restarts x (steps x draws x (F + B) + (draws + 1) x F)",
    ),
    "mtpgd": Entry(
        recipes.mtpgd,
        "Gowal 2019, arXiv:1910.09338",
        "at most targets x restarts x (steps x (F + B) + 3 x F) + F",
    ),
    "odi_pgd": Entry(
        recipes.odi_pgd,
        "Tashiro 2020, arXiv:2003.06878",
        "at most restarts x ((steps + diversity) x (F + B) + 2 x F)",
    ),
    "acg": Entry(recipes.acg, "Yamamura 2022, arXiv:2206.09628", "at most restarts x (steps x (F + B) + 2 x F)"),
    "reacg": Entry(
        recipes.reacg, "Yamamura 2024, github.com/yamamura-k/ReACG", "at most restarts x (steps x (F + B) + 2 x F)"
    ),
    "gama_pgd": Entry(
        recipes.gama_pgd, "Sriramanan 2020, arXiv:2011.14969", "at most restarts x (steps x (F + B) + 3 x F)"
    ),
    "adam_pgd": Entry(AdamPGD, "Uesato 2018, arXiv:1802.05666", "at most steps x (F + B) + F", "linf box"),
    "tpgd": Entry(TPGD, "Zhang 2019, arXiv:1901.08573", "at most steps x (F + B) + 2 x F"),
    "jitter": Entry(Jitter, "Schwinn 2021, arXiv:2105.10304", "at most steps x (F + B) + F"),
    "pgd_cd": Entry(recipes.pgd_cd, "Doldo 2025, arXiv:2503.19347", "at most steps x (F + B) + F"),
    "cr": Entry(
        ConstraintRelaxation,
        "AAAI 2025, Constraint Relaxation",
        "at most cycle / 3 x (F + B) + F + restarts x targets x cycles x (cycle x (F + B) + (cycle / 3 + 1) x F)",
    ),
    "slide": Entry(SLIDE, "Tramer 2019, arXiv:1904.13000", "at most steps x (F + B) + F", "l1"),
    "pgd0": Entry(PGD0, "Croce 2019, arXiv:1909.05040", "at most steps x (F + B) + F", "l0"),
    "mifgsm": Entry(recipes.mifgsm, "Dong 2018, arXiv:1710.06081", "steps x (F + B)"),
    "nifgsm": Entry(recipes.nifgsm, "Lin 2020, arXiv:1908.06281", "steps x (F + B)"),
    "input_optimisation": Entry(InputOptimisation, "Simonyan 2014, arXiv:1312.6034", "steps x draws x (F + B)"),
    "lbfgsb": Entry(LBFGSB, "Sabour 2016, arXiv:1511.05122", "at most (steps + 1) x (F + B)", "linf box"),
    "stadv": Entry(recipes.stadv, "Xiao 2018, arXiv:1801.02612", "at most steps x (F + B)", "flow"),
    "uniform_noise": Entry(recipes.uniform_noise, "baseline", "at most draws x F", role="noise"),
    "gaussian_noise": Entry(recipes.gaussian_noise, "baseline", "at most draws x F", role="noise"),
}
