"""`net:FILE.safetensors`, a network that `brittle train` wrote, and `torch:FILE.pt`, a whole pickled module."""

from __future__ import annotations

import torch
from torch import nn

from ..core.victim import Victim, as_victim
from ..data.options import check_options, required_file
from ..errors import InputError
from ..outside import reading
from ..user_code import see_current_folder
from .heads import is_head, open_head
from .networks import load
from .request import Request


def open_net(request: Request) -> Victim:
    check_options(request.source, ())
    path = required_file(request.source, "a .safetensors file that `brittle train` wrote")
    if is_head(path):
        return open_head(path, request)
    module, card = load(path)
    return as_victim(module, card.bounds, request.device, request.text)


def open_torch(request: Request) -> Victim:
    check_options(request.source, ("bounds",))
    path = required_file(request.source, "a .pt file that torch.save wrote")
    if not request.trust:
        raise InputError(
            f"{path} is a pickle, which can run any code when read; if you trust its origin add --trust (trust=True), "
            "else load weights from safetensors in a function of yours and give py:MODULE:FUNCTION"
        )
    see_current_folder()  # a pickle names the modules of its classes
    with reading(f"{path} cannot be unpickled", "give a module that torch.save wrote, with its classes at hand"):
        model = torch.load(path, map_location="cpu", weights_only=False)
    if not isinstance(model, nn.Module):
        kind = "a state dict, weights without their network" if isinstance(model, dict) else f"a {type(model).__name__}"
        raise InputError(f"{path} holds {kind}; give py:MODULE:FUNCTION, a function that builds the network")
    return as_victim(model.eval(), request.bounds, request.device, request.text)  # nobody else holds it: eval() is safe
