"""`py:MODULE:FUNCTION?key=value`: a function of the user's that returns a module or a Victim. It runs the user's code."""

from __future__ import annotations

from torch import nn

from ..core.victim import Victim, as_victim
from ..errors import InputError
from ..user_code import called
from .request import Request, as_value


def open_py(request: Request) -> Victim:
    module_name, colon, function_name = request.source.rest.partition(":")
    if not (colon and module_name and function_name):
        raise InputError(f"{request.text!r} names no function; write py:MODULE:FUNCTION, for example py:nets:build")
    where = f"{module_name}:{function_name}"
    arguments = {key: as_value(text) for key, text in request.source.options.items() if key != "bounds"}
    model = called(where, arguments, beside=("bounds", "output"))
    if isinstance(model, Victim):
        return _as_wanted(as_victim(model), request, where)
    if not isinstance(model, nn.Module):
        raise InputError(f"{where} returned a {type(model).__name__}; let it return an nn.Module or a Victim")
    return as_victim(model, request.bounds, request.device, request.text)


def _as_wanted(victim: Victim, request: Request, where: str) -> Victim:
    """A Victim the user made says itself where it runs and what its bounds are; contradicting it is refused."""
    own = victim.bounds
    if request.given is not None and request.given != own:
        raise InputError(f"{where} returned a Victim with bounds {own[0]:g}..{own[1]:g}; leave bounds= away")
    if request.device is not None and request.device != victim.device:
        raise InputError(
            f"{where} returned a Victim on {victim.device}, not {request.device}; let it build the Victim there"
        )
    return victim
