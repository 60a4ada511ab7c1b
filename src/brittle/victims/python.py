"""`py:MODULE:FUNCTION?key=value`: a function of the user's that returns a module or a Victim. It runs the user's code."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from torch import nn

from ..core.victim import Victim, as_victim
from ..errors import InputError, unknown
from .request import Request, as_value, see_current_folder


def open_py(request: Request) -> Victim:
    module_name, colon, function_name = request.source.rest.partition(":")
    if not (colon and module_name and function_name):
        raise InputError(f"{request.text!r} names no function; write py:MODULE:FUNCTION, for example py:nets:build")
    see_current_folder()
    where = f"{module_name}:{function_name}"
    function = _function(_import(module_name), function_name, where)
    arguments = {key: as_value(text) for key, text in request.source.options.items() if key != "bounds"}
    _check_arguments(function, arguments, where)
    try:
        model = function(**arguments)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{where} raised {type(error).__name__}: {error}; mend the function") from error
    if isinstance(model, Victim):
        return _as_wanted(model, request, where)
    if not isinstance(model, nn.Module):
        raise InputError(f"{where} returned a {type(model).__name__}; let it return an nn.Module or a Victim")
    return as_victim(model, request.bounds, request.device, request.text)


def _import(name: str) -> ModuleType:
    importlib.invalidate_caches()  # the file may be younger than the last look at its folder
    try:
        return importlib.import_module(name)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and (name == missing or name.startswith(f"{missing}.")):
            raise InputError(
                f"there is no module {name!r} in {os.getcwd()} or installed; give MODULE without .py"
            ) from None
        raise InputError(f"importing {name} raised {type(error).__name__}: {error}; mend the module") from error


def _function(module: ModuleType, name: str, where: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if found is None:
        own = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
        raise unknown(f"function in {module.__name__}", name, own)
    if not callable(found):
        raise InputError(f"{where} is a {type(found).__name__}; name a function that returns an nn.Module or a Victim")
    return found  # type: ignore[no-any-return]


def _check_arguments(function: Callable[..., Any], arguments: dict[str, Any], where: str) -> None:
    """Raises InputError, with the nearest names, for arguments that the function does not take or misses."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some callables in C have none
        return
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    for key in arguments:
        if not takes_any and key not in signature.parameters:
            raise unknown(f"option of {where}", key, [*signature.parameters, "bounds"])
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise InputError(f"{where} cannot be called ({error}); give its arguments as ?key=value") from None


def _as_wanted(victim: Victim, request: Request, where: str) -> Victim:
    """A Victim the user made says itself where it runs and what its bounds are; contradicting it is refused."""
    own = (victim.lower, victim.upper)
    if request.given is not None and request.given != own:
        raise InputError(f"{where} returned a Victim with bounds {own[0]:g}..{own[1]:g}; leave bounds= away")
    if request.device is not None and request.device != victim.device:
        raise InputError(
            f"{where} returned a Victim on {victim.device}, not {request.device}; let it build the Victim there"
        )
    return victim
