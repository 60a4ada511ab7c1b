"""The user's own functions by name: found, called, and in a sentence what is wrong with them. Calling one runs the user's code."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from .errors import InputError, unknown
from .outside import calling


def see_current_folder() -> None:
    """The user's own modules lie in the current folder, and may import more later: it stays on the path."""
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)


def called(name: str, arguments: Mapping[str, Any], beside: tuple[str, ...] = ()) -> Any:
    """What MODULE:FUNCTION returns. `beside`: names that may be given besides its arguments, for the sentence about an unknown one."""
    module_name, _, function_name = name.partition(":")
    see_current_folder()
    function = _function(_import(module_name), function_name, name)
    _check_arguments(function, arguments, name, beside)
    with calling(name, "mend the function"):
        return function(**arguments)


def _import(name: str) -> ModuleType:
    importlib.invalidate_caches()  # the file may be younger than the last look at its folder
    with calling(f"importing {name}", "mend the module"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if missing and (name == missing or name.startswith(f"{missing}.")):
                raise InputError(
                    f"there is no module {name!r} in {os.getcwd()} or installed; give MODULE without .py"
                ) from None
            raise


def _function(module: ModuleType, name: str, where: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if found is None:
        own = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
        raise unknown(f"function in {module.__name__}", name, own)
    if not callable(found):
        raise InputError(f"{where} is a {type(found).__name__}; name a function")
    return found  # type: ignore[no-any-return]


def _check_arguments(
    function: Callable[..., Any], arguments: Mapping[str, Any], where: str, beside: tuple[str, ...]
) -> None:
    """Raises InputError, with the nearest names, for arguments that the function does not take or misses."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some callables in C have none
        return
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    for key in arguments:
        if not takes_any and key not in signature.parameters:
            raise unknown(f"option of {where}", key, [*signature.parameters, *beside])
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise InputError(f"{where} cannot be called ({error}); give its arguments as ?key=value") from None
