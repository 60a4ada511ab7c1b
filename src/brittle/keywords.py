"""An option that a function of ours does not take gets a sentence with the nearest that it takes, and not Python's TypeError."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import cache, wraps
from typing import Any

from .errors import InputError, unknown

ELSEWHERE = {  # what other libraries call it
    "epsilon": "eps",
    "alpha": "step_size",
    "eps_iter": "step_size",
    "eps_step": "step_size",
    "stepsize": "step_size",
    "rel_stepsize": "step_size",
    "iterations": "steps",
    "iters": "steps",
    "max_iter": "steps",
    "n_iter": "steps",
    "nb_iter": "steps",
    "num_iter": "steps",
    "num_steps": "steps",
    "n_restarts": "restarts",
    "num_random_init": "restarts",
    "num_restarts": "restarts",
    "loss_fn": "loss",
    "n_samples": "samples",
    "num_samples": "samples",
    "n_queries": "queries",
    "max_queries": "queries",
}


@cache
def naming(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, or the class with such an `__init__`, refusing options that it does not take with InputError."""
    if isinstance(function, type):
        type.__setattr__(function, "__init__", _refusing(vars(function)["__init__"], function.__name__))
        return function
    return _refusing(function, function.__name__)


def unknown_option(of: str, option: str, known: Iterable[str]) -> InputError:
    """The sentence for an option that is none of those known."""
    names = list(known)
    if option in ("eps", "epsilon") and "eps" not in names:
        return InputError(f"unknown option of {of} {option!r}; how far is said by the threat, as in linf(8 / 255)")
    if ELSEWHERE.get(option) in names:
        return InputError(f"unknown option of {of} {option!r}; did you mean {ELSEWHERE[option]}?")
    return unknown(f"option of {of}", option, names)


def _refusing(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    parameters = inspect.signature(function).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return function
    known = {key for key, one in parameters.items() if one.kind is not one.VAR_POSITIONAL} - {"self"}

    @wraps(function)
    def refusing(*args: Any, **options: Any) -> Any:
        if not options.keys() <= known:
            raise unknown_option(name, next(key for key in options if key not in known), known)
        return function(*args, **options)

    return refusing
