"""A victim: the model under attack, as a value with bounds and an identity."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..errors import InputError
from .access import Access

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Victim:
    """A classifier `forward(x) -> logits (B, C)` on inputs (B, *S) in [lower, upper].

    Normalisation and any other preprocessing live inside `forward`. `module` is kept, where there is one, so that its weights can be
    frozen during an attack and its mode checked. `digest` identifies the weights and the architecture. `access` is the most that the
    model gives: one behind an API has scores or labels and no gradient. `shape` and `classes` are what is known of one input and of the
    outputs' names; empty where nothing is.
    """

    forward: Callable[[Tensor], Tensor]
    lower: float = 0.0
    upper: float = 1.0
    name: str = "model"
    digest: str = ""
    module: nn.Module | None = None
    device: torch.device = CPU
    access: Access = Access.GRADIENT
    shape: tuple[int, ...] = ()  # of one input: (3, 224, 224)
    classes: tuple[str, ...] = ()  # in the order of the outputs

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, which inputs must have too; float32 where there are none to see."""
        weights = self.module.parameters() if self.module is not None else ()
        return next((p.dtype for p in weights if p.is_floating_point()), torch.float32)

    def __call__(self, x: Tensor) -> Tensor:  # (B, *S) -> (B, C)
        return self.forward(x)

    def averaged(self, draws: int) -> Victim:
        """Of a model that answers at random: the classifier whose probabilities are the means over `draws` answers, as their logarithms.

        The model itself for 1 draw.
        """
        if draws == 1:
            return self

        def forward(x: Tensor) -> Tensor:
            answers = torch.stack([self.forward(x).double().log_softmax(1) for _ in range(draws)])
            return answers.logsumexp(0) - math.log(draws)

        return replace(self, forward=forward)

    @contextlib.contextmanager
    def undisturbed(self, seed: int) -> Iterator[None]:
        """Freeze the weights and seed the model's own randomness; put both back afterwards, whatever happens."""
        parameters = [p for p in self.module.parameters() if p.requires_grad] if self.module is not None else []
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            try:
                for p in parameters:
                    p.requires_grad_(False)
                yield
            finally:
                for p in parameters:
                    p.requires_grad_(True)


def as_victim(
    model: Victim | nn.Module | Callable[[Tensor], Tensor],
    bounds: tuple[float, float] = (0.0, 1.0),
    device: torch.device | str | None = None,
    name: str | None = None,
) -> Victim:
    """Wrap a module or a callable. The module is never moved: for another `device` a copy of it is made."""
    if isinstance(model, Victim):
        return model
    lower, upper = float(bounds[0]), float(bounds[1])
    if not lower < upper:
        raise InputError(f"bounds=({lower:g}, {upper:g}) are empty; the first must be below the second")
    if isinstance(model, nn.Module):
        refuse_training_mode(model)
        home = next((t.device for t in [*model.parameters(), *model.buffers()]), torch.device("cpu"))
        wanted = torch.device(device) if device is not None else home
        if wanted.type != home.type or (wanted.index is not None and wanted.index != home.index):
            import copy

            model = copy.deepcopy(model).to(wanted)
        return Victim(model, lower, upper, name or type(model).__name__, digest_of(model), model, wanted)
    if not callable(model):
        raise InputError(f"the model is a {type(model).__name__}; give an nn.Module, a callable or a Victim")
    return Victim(
        model,
        lower,
        upper,
        name or str(getattr(model, "__name__", type(model).__name__)),
        _callable_digest(model),
        None,
        torch.device(device or "cpu"),
    )


def refuse_training_mode(module: nn.Module) -> None:
    """Dropout and BatchNorm in training mode make every number wrong and change the model: refuse, naming the layers."""
    training = [name or "the model" for name, m in module.named_modules() if m.training]
    if training:
        more = f" and {len(training) - 3} more" if len(training) > 3 else ""
        raise InputError(f"the model is in training mode ({', '.join(training[:3])}{more}); call model.eval() first")


def digest_of(module: nn.Module) -> str:
    """Hash of the architecture's print, and of every parameter and buffer: names, types, shapes, bytes."""
    hasher = hashlib.sha256(f"{type(module).__qualname__}\n{module}".encode())
    for name, value in module.state_dict().items():
        hasher.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        hasher.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()[:32]


def _callable_digest(function: Callable[[Tensor], Tensor]) -> str:
    """A callable's weights cannot be seen; its name and source are the best identity there is."""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = repr(type(function))
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    return hashlib.sha256(f"{name}\n{source}".encode()).hexdigest()[:32]
