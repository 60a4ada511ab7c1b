"""brittle measures how brittle a machine-learning model is, finds out why, and hardens it.

    outcome = brittle.attack(brittle.pgd(steps=40), module, x, labels, brittle.linf(8 / 255))
    report = brittle.evaluate(module, (x, labels), brittle.linf(8 / 255))

Names are imported when first used, so that parts which need no torch start without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    from .app.attack import Outcome, attack
    from .app.evaluate import Report, evaluate
    from .attacks import (
        GradientAscent,
        Noise,
        Restarts,
        fgsm,
        gaussian_noise,
        ifgsm,
        mifgsm,
        nifgsm,
        parse_attack,
        pgd,
        repeated_fgsm,
        uniform_noise,
    )
    from .core.losses import register_loss
    from .core.oracle import Access
    from .core.problem import Attack, Problem
    from .core.victim import Victim, as_victim
    from .threats import Mask, box, l0, l1, l2, linf, parse_threat

__version__ = "0.1.0"

_HOMES = {
    "app.attack": ("Outcome", "attack"),
    "app.evaluate": ("Report", "evaluate"),
    "attacks": (
        "GradientAscent",
        "Noise",
        "Restarts",
        "fgsm",
        "gaussian_noise",
        "ifgsm",
        "mifgsm",
        "nifgsm",
        "parse_attack",
        "pgd",
        "repeated_fgsm",
        "uniform_noise",
    ),
    "core.losses": ("register_loss",),
    "core.oracle": ("Access",),
    "core.problem": ("Attack", "Problem"),
    "core.victim": ("Victim", "as_victim"),
    "threats": ("Mask", "box", "l0", "l1", "l2", "linf", "parse_threat"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Access",
    "Attack",
    "GradientAscent",
    "InputError",
    "Mask",
    "Noise",
    "Outcome",
    "Problem",
    "Report",
    "Restarts",
    "Victim",
    "as_victim",
    "attack",
    "box",
    "evaluate",
    "fgsm",
    "gaussian_noise",
    "ifgsm",
    "l0",
    "l1",
    "l2",
    "linf",
    "mifgsm",
    "nifgsm",
    "parse_attack",
    "parse_threat",
    "pgd",
    "register_loss",
    "repeated_fgsm",
    "uniform_noise",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'brittle' has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
