"""brittle measures how brittle a machine-learning model is, finds out why, and hardens it.

    outcome = brittle.attack(brittle.pgd(steps=40), module, x, labels, brittle.linf(8 / 255))
    report = brittle.evaluate(module, (x, labels), brittle.linf(8 / 255))

The public names are those of `__init__.pyi`. Each is imported when first used, so that parts which need no torch start without it.
"""

from __future__ import annotations

import ast
from difflib import get_close_matches
from importlib import import_module
from inspect import isfunction
from pathlib import Path
from typing import Any

from .keywords import naming

__version__ = "0.1.0"


def _public() -> dict[str, tuple[str, str]]:
    """Each public name to its module and its name there."""
    public, others = {}, {}
    for line in ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8")).body:
        match line:
            case ast.ImportFrom(module=module, names=names):
                for name in names:
                    (public if name.asname else others)[name.name] = (f".{module}", name.name)
            case ast.Assign(targets=[ast.Name(id=renamed)], value=ast.Name(id=name)):
                public[renamed] = others[name]
    return public


_HOMES = _public()
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        near = get_close_matches(name, __all__, n=3, cutoff=0.6)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise AttributeError(f"module 'brittle' has no attribute {name!r}{hint}")
    module, there = _HOMES[name]
    value = getattr(import_module(module, __name__), there)
    globals()[name] = value = naming(value) if isfunction(value) else value
    return value


def __dir__() -> list[str]:
    return __all__
