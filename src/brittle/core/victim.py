"""A victim: the model under attack, as a value with bounds and an identity."""

from __future__ import annotations

import contextlib
import copy
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, Unreachable
from ..outside import reason
from .access import Access
from .bounds import Bounds, Edge, Given, as_bounds, between, clamped, shared
from .context import Bound, Context
from .devices import as_device
from .outputs import Output, Reading, logits_of
from .recording import recording
from .seen import digest_of, see

__all__ = ["CPU", "Victim", "as_victim", "digest_of", "refuse_training_mode"]

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Victim:
    """A classifier `forward(x) -> logits (B, C)` on inputs (B, *S) in [lower, upper].

    Normalisation and any other preprocessing live inside `forward`. `module` is what it computes with, where that can be seen (the model
    itself, or what a callable holds), so that its weights can be frozen during an attack and its mode checked. `digest` identifies the
    weights and the architecture; `hidden` says in words what of them cannot be seen. `access` is the most that the model gives: one
    behind an API has scores or labels and no gradient; `because` says why it gives no more, where that is not plain. `shape` and `classes`
    are what is known of one input and of the outputs' names; empty where nothing is. `reads`: `module` is known to write into
    none of its inputs.
    """

    forward: Callable[[Tensor], Tensor]
    lower: Edge = 0.0
    upper: Edge = 1.0
    name: str = "model"
    digest: str = ""
    module: nn.Module | None = None
    device: torch.device = CPU
    access: Access = Access.GRADIENT
    shape: tuple[int, ...] = ()  # of one input: (3, 224, 224)
    classes: tuple[str, ...] = ()  # in the order of the outputs
    hidden: str = ""
    because: str = ""
    reads: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, which inputs must have too; float32 where there are none to see."""
        weights = self.module.parameters() if self.module is not None else ()
        return next((p.dtype for p in weights if p.is_floating_point()), torch.float32)

    def __post_init__(self) -> None:
        lower, upper = as_bounds((self.lower, self.upper))
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)

    @property
    def bounds(self) -> Bounds:
        """Of its inputs: (lower, upper)."""
        return self.lower, self.upper

    @property
    def range(self) -> tuple[float, float]:
        """The bounds where they are two finite numbers for all features, as those of pictures are; InputError where they are not."""
        return shared(self.lower, self.upper, "what is done with pictures")

    @property
    def width(self) -> float:
        """upper - lower, where they are two finite numbers for all features; InputError where they are not."""
        lower, upper = self.range
        return upper - lower

    def between(self, share: Tensor) -> Tensor:
        """The inputs of which each feature stands at this share (*S) or (B, *S), in [0, 1], of its way from lower to upper."""
        return between(share, *self.bounds)

    def clamp(self, x: Tensor) -> Tensor:
        """x (B, *S), cut to the bounds."""
        return clamped(x, self.lower, self.upper)

    def __call__(self, x: Tensor) -> Tensor:  # (B, *S) -> (B, C)
        """The outputs.

        The model gets a copy, because it may write into what it is given, and so do we, because it may write into what it gave when it is
        asked again; unless it is known to do neither.
        """
        try:
            if self.reads and self.forward is self.module:
                outputs: Tensor = self.forward(x)
                return outputs
            returned = self.forward(x.clone())
            return (returned if isinstance(returned, Tensor) else logits_of(returned, len(x))).clone()
        except (Exception, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # `sys.exit` in the model's code is no end of ours
            raise InputError(f"{self.name} ends with {reason(error)} when it is asked; mend the model") from error

    def reading(self, output: str | int) -> Victim:
        """The same model, where what it returns is read as `output` says, see `Output`."""
        how = Output.parse(output)
        digest = hashlib.sha256(f"{self.digest} output={how}".encode()).hexdigest()[:32]
        return replace(self, forward=Reading(self.forward, how), digest=digest)

    def beside(self, context: Context) -> Victim:
        """The same model as one of x alone, for so many rows as the context has."""
        forward = self.forward
        return replace(
            self, forward=forward.beside(context) if isinstance(forward, Reading) else Bound(forward, context)
        )

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
            except RuntimeError as error:
                if "use_reentrant" not in str(error):
                    raise
                raise Unreachable(
                    "the model saves memory by re-entrant gradient checkpointing, through which torch gives no gradient of an input; "
                    "call torch.utils.checkpoint.checkpoint(..., use_reentrant=False) in it, or switch checkpointing off"
                ) from error
            finally:
                for p in parameters:
                    p.requires_grad_(True)


@recording
def as_victim(
    model: Victim | nn.Module | Callable[..., Any],
    bounds: Given = (0.0, 1.0),
    device: torch.device | str | None = None,
    name: str | None = None,
    output: str | int | None = None,
) -> Victim:
    """Wrap a module or a callable. The module is never moved: for another `device` a copy of it is made.

    output: which part of what the model returns is the logits, and what it is if it is something else, see `Output`.
    """
    if not isinstance(model, Victim):
        model = _wrapped(model, bounds, device, name)
    elif not model.digest:
        model = _identified(model)
    return model if output is None else model.reading(output)


def _wrapped(
    model: nn.Module | Callable[..., Any],
    bounds: Given,
    device: torch.device | str | None,
    name: str | None,
) -> Victim:
    lower, upper = as_bounds(bounds)
    if not callable(model):
        raise InputError(f"the model is a {type(model).__name__}; give an nn.Module, a callable or a Victim")
    if isinstance(model, nn.Module):
        refuse_training_mode(model)
        _refuse_uninitialised(model)
        model = _normal(model)
        home = _home(model)
        wanted = as_device(device) if device is not None else home
        if _elsewhere(wanted, home):
            model = copy.deepcopy(model).to(wanted)
        module: nn.Module | None = model
        seen = see(model)
    else:
        seen = see(model)
        module = _in_callable(seen.modules)
        home = _home(module) if module is not None else CPU
        wanted = as_device(device) if device is not None else home
        if module is not None and _elsewhere(wanted, home):
            raise InputError(
                f"the callable's weights are on {home}, and a callable cannot be copied to {wanted}; give device={str(home)!r}, or move "
                "its module there"
            )
    layers = [] if module is None else quantised_layers(module)
    return Victim(
        model,
        lower,
        upper,
        name or (type(model).__name__ if isinstance(model, nn.Module) else _name_of(model)),
        seen.digest,
        module,
        wanted,
        Access.SCORES if layers else Access.GRADIENT,
        hidden=seen.hidden,
        because=f"its layers {', '.join(layers[:3])} are quantised (int8), which have no gradient" if layers else "",
        reads=isinstance(model, nn.Module) and _reads(model),
    )


def _identified(victim: Victim) -> Victim:
    """The victim of somebody who gave no digest, with that of its forward."""
    seen = see(victim.forward)
    module = victim.module if victim.module is not None else _in_callable(seen.modules)
    return replace(victim, digest=seen.digest, hidden=victim.hidden or seen.hidden, module=module)


def _name_of(model: Callable[..., Any]) -> str:
    return str(getattr(model, "__name__", type(model).__name__))


def _home(module: nn.Module) -> torch.device:
    return next((t.device for t in [*module.parameters(), *module.buffers()]), CPU)


def _elsewhere(wanted: torch.device, home: torch.device) -> bool:
    return wanted.type != home.type or (wanted.index is not None and wanted.index != home.index)


def _in_callable(modules: tuple[nn.Module, ...]) -> nn.Module | None:
    """The module that a callable holds, or all of them in a list."""
    for module in modules:
        refuse_training_mode(module)
        _refuse_uninitialised(module)
        if any(t.is_inference() for t in [*module.parameters(), *module.buffers()]):
            raise InputError(
                "the callable's weights were made under torch.inference_mode(), through which there is no gradient; give the module "
                "itself, which is then copied, or make it outside of inference mode"
            )
    if len(modules) < 2:
        return modules[0] if modules else None
    held = nn.ModuleList(modules)
    held.training = False
    return held


def _normal(module: nn.Module) -> nn.Module:
    """The module, or where its weights were made under inference mode a copy, through which there are gradients."""
    inference = any(t.is_inference() for t in [*module.parameters(), *module.buffers()])
    return copy.deepcopy(module) if inference else module


_FRESH = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm)


def _reads(module: nn.Module) -> bool:
    """Whether what gets hold of the input before there is new memory is torch's own, and none of it works in place or has hooks."""
    hooked = any(part._forward_pre_hooks or part._forward_hooks for part in module.modules())
    return not hooked and _writes_first(module) is not True


def _writes_first(module: nn.Module) -> bool | None:
    """Whether it may write into its input; None where it does not, but what it returns may be the same memory."""
    if type(module) is nn.Sequential:
        return next((said for said in map(_writes_first, module) if said is not None), None)
    if any(
        not type(part).__module__.startswith("torch.nn.modules.") or getattr(part, "inplace", False)
        for part in module.modules()
    ):
        return True
    return False if type(module) in _FRESH else None


def quantised_layers(module: nn.Module) -> list[str]:
    """Names of the layers of int8, as torch.ao.quantization makes them."""
    inside = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")
    return [
        f"{name or 'the model'} ({type(part).__name__})"
        for name, part in module.named_modules()
        if type(part).__module__.startswith(inside)
        and type(part).__name__ not in ("Quantize", "DeQuantize")
        and not type(part).__name__.endswith("PackedParams")
    ]


def _refuse_uninitialised(module: nn.Module) -> None:
    """A lazy layer has no weights before its first input."""
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.lazy.LazyModuleMixin) and part.has_uninitialized_params():  # type: ignore[misc]
            raise InputError(
                f"the layer {name or 'of the model'} ({type(part).__name__}) has no weights before its first input; call model(x) once, "
                "and load its weights if it has any"
            )


def refuse_training_mode(module: nn.Module) -> None:
    """Dropout and BatchNorm in training mode make every number wrong and change the model: refuse, naming the layers."""
    training = [name or "the model" for name, m in module.named_modules() if m.training]
    if training:
        more = f" and {len(training) - 3} more" if len(training) > 3 else ""
        raise InputError(f"the model is in training mode ({', '.join(training[:3])}{more}); call model.eval() first")
