"""Attacks at a fixed budget, with gradients: the highest loss inside the region."""

from __future__ import annotations

from ..entry import Entry
from . import recipes

ATTACKS: dict[str, Entry] = {
    "fgsm": Entry(recipes.fgsm, "Goodfellow 2015, arXiv:1412.6572", "F + B"),
    "ifgsm": Entry(recipes.ifgsm, "Kurakin 2017, arXiv:1607.02533", "steps x (F + B)"),
    "repeated_fgsm": Entry(recipes.repeated_fgsm, "Kurakin 2017, arXiv:1611.01236", "at most steps x (F + B)"),
    "pgd": Entry(recipes.pgd, "Madry 2018, arXiv:1706.06083", "at most restarts x (steps x draws x (F + B) + F)"),
    "mifgsm": Entry(recipes.mifgsm, "Dong 2018, arXiv:1710.06081", "steps x (F + B)"),
    "nifgsm": Entry(recipes.nifgsm, "Lin 2020, arXiv:1908.06281", "steps x (F + B)"),
    "uniform_noise": Entry(recipes.uniform_noise, "baseline", "at most draws x F", role="noise"),
    "gaussian_noise": Entry(recipes.gaussian_noise, "baseline", "at most draws x F", role="noise"),
}
