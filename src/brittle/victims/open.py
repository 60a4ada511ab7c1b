"""VICTIM strings: `py:module:function?key=value`, `net:FILE.safetensors`, `torch:FILE.pt`."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ..core.victim import Victim, as_victim
from ..data.options import check_options, parse_bounds, required_path
from ..errors import InputError, unknown
from ..specs import Source, parse_number, parse_source
from .networks import load

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Request:
    """A VICTIM string and how it is wanted. `given` are bounds written in the string itself."""

    text: str
    source: Source
    device: torch.device | None
    trust: bool
    bounds: Bounds
    given: Bounds | None


def open_victim(
    text: str, *, device: torch.device | str | None = None, trust: bool = False, bounds: Bounds = (0.0, 1.0)
) -> Victim:
    """The victim a VICTIM string names, on `device`.

    `bounds` are those of its inputs where it does not bring its own; `?bounds=lo..hi` in the string goes before.
    `trust` allows files that run code when they are read.
    Raises InputError for whatever is wrong with the string or with what it names.
    """
    source = parse_source(text)
    suffix = os.path.splitext(text.strip().partition("?")[0])[1].lower()
    if source.scheme not in SCHEMES and suffix in SUFFIXES:
        source = Source(SUFFIXES[suffix], text.strip().partition("?")[0], source.options)
    if source.scheme not in SCHEMES:
        raise unknown("victim", source.scheme, SCHEMES)
    given = parse_bounds(source.options["bounds"]) if "bounds" in source.options else None
    request = Request(text, source, _device(device), trust, given or bounds, given)
    return SCHEMES[source.scheme](request)


def known_victims() -> dict[str, str]:
    """The schemes of VICTIM strings, each with a line about it."""
    return {
        "py": "py:MODULE:FUNCTION?key=value, a function of yours that returns an nn.Module or a Victim",
        "net": "net:FILE.safetensors, a network that `brittle train` wrote",
        "torch": "torch:FILE.pt, a whole module that torch.save wrote; runs the file's code, so it needs --trust",
    }


def _open_py(request: Request) -> Victim:
    module_name, colon, function_name = request.source.rest.partition(":")
    if not (colon and module_name and function_name):
        raise InputError(f"{request.text!r} names no function; write py:MODULE:FUNCTION, for example py:nets:build")
    _see_current_folder()
    where = f"{module_name}:{function_name}"
    function = _function(_import(module_name), function_name, where)
    arguments = {key: _value(text) for key, text in request.source.options.items() if key != "bounds"}
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


def _open_net(request: Request) -> Victim:
    check_options(request.source, ())
    module, card = load(required_path(request.source, "a .safetensors file that `brittle train` wrote"))
    return as_victim(module, card.bounds, request.device, request.text)


def _open_torch(request: Request) -> Victim:
    check_options(request.source, ("bounds",))
    path = required_path(request.source, "a .pt file that torch.save wrote")
    if not request.trust:
        raise InputError(
            f"{path} is a pickle, which can run any code when read; if you trust its origin add --trust (trust=True), "
            "else load weights from safetensors in a function of yours and give py:MODULE:FUNCTION"
        )
    _see_current_folder()  # a pickle names the modules of its classes
    try:
        model = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # unpickling raises whatever the pickled classes do
        raise InputError(
            f"{path} cannot be unpickled ({type(error).__name__}: {error}); give a module "
            "that torch.save wrote, with its classes at hand"
        ) from error
    if not isinstance(model, nn.Module):
        kind = "a state dict, weights without their network" if isinstance(model, dict) else f"a {type(model).__name__}"
        raise InputError(f"{path} holds {kind}; give py:MODULE:FUNCTION, a function that builds the network")
    return as_victim(model.eval(), request.bounds, request.device, request.text)  # nobody else holds it: eval() is safe


SCHEMES: dict[str, Callable[[Request], Victim]] = {"py": _open_py, "net": _open_net, "torch": _open_torch}
SUFFIXES = {".safetensors": "net", ".pt": "torch", ".pth": "torch"}


def _device(device: torch.device | str | None) -> torch.device | None:
    """The device, tried: a name that parses may still not be there."""
    if device is None:
        return None
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device {str(device)!r} cannot be used ({reason}); give cpu, or cuda on a machine that has it"
        ) from error


def _see_current_folder() -> None:
    """The user's own modules lie in the current folder, and may import more later: it stays on the path."""
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)


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


def _value(text: str) -> int | float | bool | str:
    """An argument as the number or truth value it looks like, else as text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return parse_number(text)
    except InputError:
        return text


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
