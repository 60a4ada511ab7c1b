"""What determines a model's answers, as far as it can be seen: an identity, the modules in it, and what stays hidden."""

from __future__ import annotations

import dis
import enum
import functools
import hashlib
import pathlib
import sys
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .code import OUTSIDE, chains, changed_in, code_of, full_name, library, nested, root, written_in

MOST = 20_000  # values that are looked at
READERS = {"_io.open", "torch.serialization.load", "torch.jit._serialization.load", "numpy.load", "pickle.load"}
_BARE = (type(None), bool, int, float, complex, str, bytes, bytearray, type(...), range, slice)
_NAMED = (torch.dtype, torch.device, torch.layout, np.dtype, np.generic, enum.Enum, pathlib.PurePath, torch.Generator)
_DYNAMIC = {"getattr", "vars", "__dict__", "attrgetter"}  # with one of these the code may read any attribute
_OWN = {*vars(nn.Module())}  # what torch keeps in every module
_LOCKS = ("lock", "RLock", "_RLock", "Condition", "Event")


@dataclass(frozen=True, eq=False)
class Seen:
    """Of a model. modules: the outermost ones in it. hidden: in words what of it cannot be seen; empty where all is."""

    digest: str
    modules: tuple[nn.Module, ...]
    hidden: str


def see(model: Callable[..., Any]) -> Seen:
    """Look through a module or a callable: its weights, and of a person's own code the functions themselves, their defaults, what they
    are closed over, what they are bound to, and the globals that they name. What a call writes into is state, and no part of it.

    Code of the libraries that models are made of is known by its name; a module of nothing but such layers has the digest of its
    architecture's print and its weights alone. Two models of one digest give the same answers, where nothing stays hidden.
    """
    look = _Look()
    base = digest_of(model) if isinstance(model, nn.Module) else ""
    if isinstance(model, nn.Module):
        look.module(model, frozenset(), weights=False)
    else:
        look.value(model, frozenset({"__call__"}))
    own = look.hasher.hexdigest()[:32] if look.found else ""
    both = base if not own else hashlib.sha256(f"{base} {own}".encode()).hexdigest()[:32] if base else own
    return Seen(both, tuple(look.modules), ", ".join(look.hidden))


def digest_of(module: nn.Module) -> str:
    """Hash of the architecture's print, and of every parameter and buffer: names, types, shapes, bytes."""
    hasher = hashlib.sha256(f"{type(module).__qualname__}\n{module}".encode())
    for name, value in module.state_dict().items():
        if isinstance(value, Tensor):
            hasher.update(f"{name} ".encode())
            _hash(value, hasher.update)
        else:  # packed weights of a quantised layer, or what get_extra_state returns
            look = _Look()
            look.value(value, frozenset())
            hasher.update(f"{name} {look.hasher.hexdigest()}".encode())
    return hasher.hexdigest()[:32]


def _hash(value: Tensor, update: Callable[[bytes], Any]) -> None:
    """Type, shape and bytes."""
    if isinstance(value, nn.parameter.UninitializedParameter | nn.parameter.UninitializedBuffer):
        update(b"without a shape")
        return
    update(f"{value.dtype} {tuple(value.shape)}".encode())
    if value.is_quantized:
        update(f"{value.qscheme()}".encode())
        scales = (
            (value.q_per_channel_scales(), value.q_per_channel_zero_points())
            if value.qscheme() in (torch.per_channel_affine, torch.per_channel_affine_float_qparams)
            else (torch.tensor(value.q_scale()), torch.tensor(value.q_zero_point()))
        )
        for part in (value.int_repr(), *scales):
            _hash(part, update)
        return
    value = value.detach().resolve_conj().resolve_neg()
    value = value.to_dense() if value.layout is not torch.strided else value
    update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


@dataclass(eq=False)
class _Look:
    """Walks through values once. `found`: whether anything was met that the print and the weights of a module do not say."""

    hasher: Any = field(default_factory=hashlib.sha256)
    modules: list[nn.Module] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    met: dict[Any, int] = field(default_factory=dict)
    kept: list[Any] = field(default_factory=list)  # alive, so that an id stands for one value
    found: bool = False

    def note(self, text: str) -> None:
        self.found = True
        self.hasher.update(f"{text}\n".encode())

    def hide(self, what: str) -> None:
        self.note(f"hidden {what}")
        if what not in self.hidden:
            self.hidden.append(what)

    def value(self, value: Any, names: frozenset[str]) -> None:
        """`names`: those that the code mentions from which the value was reached."""
        if isinstance(value, _BARE + _NAMED):
            self.note(
                type(value).__name__ if isinstance(value, torch.Generator) else f"{type(value).__name__} {value!r}"
            )
            return
        whole = isinstance(value, Tensor | np.ndarray | types.FunctionType)
        key = id(value), frozenset() if whole else names  # what is looked at in others depends on the names
        if key in self.met:
            self.note(f"again {self.met[key]}")
            return
        if len(self.met) >= MOST:
            self.hide("more than can be looked through")
            return
        self.met[key] = len(self.met)
        self.kept.append(value)
        match value:
            case Tensor():
                self.note("tensor")
                _hash(value, self.hasher.update)
            case np.ndarray() if value.dtype != object:
                self.note(f"array {value.dtype} {value.shape}")
                self.hasher.update(np.ascontiguousarray(value).tobytes())
            case np.ndarray():
                self.values("array", value.ravel().tolist(), names)
            case nn.Module():
                if all(value is not one for one in self.modules):
                    self.modules.append(value)
                self.module(value, names, weights=True)
            case list() | tuple():
                self.values(type(value).__name__, value, names)
            case set() | frozenset():
                self.values(type(value).__name__, sorted(value, key=repr), names)
            case dict() | types.MappingProxyType():
                self.note(f"dict {len(value)}")
                for key, item in value.items():
                    self.value(key, names)
                    self.value(item, names)
            case types.ModuleType():
                self.package(value, {(name,) for name in names}, names)
            case type():
                if root(value.__module__) in OUTSIDE:
                    self.hide(full_name(value))
                self.note(f"class {full_name(value)}")
                if not library(value.__module__):
                    self.methods(value, names | {"__new__", "__init__", "__call__", "forward"})
            case _:
                self.callable_or_object(value, names)

    def values(self, what: str, items: Iterable[Any], names: frozenset[str]) -> None:
        items = list(items)
        self.note(f"{what} {len(items)}")
        for item in items:
            self.value(item, names)

    def callable_or_object(self, value: Any, names: frozenset[str]) -> None:
        match value:
            case functools.partial():
                self.values("partial", (value.func, value.args, value.keywords), names | {"__call__"})
            case types.MethodType():
                self.values("method", (value.__func__, value.__self__), names | {value.__name__})
            case types.FunctionType():
                self.function(value)
            case staticmethod() | classmethod():
                self.value(value.__func__, names)
            case property():
                self.value(value.fget, names)
            case functools.cached_property():
                self.value(value.func, names)
            case types.BuiltinFunctionType() | types.MethodWrapperType() | np.ufunc():
                self.builtin(value, names)
            case _:
                self.instance(value, names)

    def builtin(self, value: Any, names: frozenset[str]) -> None:
        owner = getattr(value, "__self__", None)
        bound = owner is not None and not isinstance(owner, types.ModuleType | type)
        home = getattr(value, "__module__", None) or (
            full_name(type(owner)) if bound else getattr(owner, "__module__", None) or getattr(owner, "__name__", "")
        )
        name = f"{home}.{getattr(value, '__qualname__', value)}"
        if name in READERS or not library(str(home)):
            self.hide(name)
        else:
            self.note(f"builtin {name}")
        if bound:
            self.value(owner, names)

    def function(self, function: types.FunctionType) -> None:
        name = f"{function.__module__}.{function.__qualname__}"
        if name in READERS or root(function.__module__) in OUTSIDE:
            self.hide(name)
        elif library(function.__module__):
            self.note(f"function {name}")
            if function.__closure__:  # made by a library of somebody's own things
                self.closed(function, frozenset())
        else:
            self.note(f"function {function.__qualname__}")
            named = self.code(function.__code__, function.__globals__, frozenset())
            self.value(function.__defaults__, named)
            self.value(function.__kwdefaults__, named)
            self.closed(function, named)

    def closed(self, function: types.FunctionType, names: frozenset[str]) -> None:
        written = written_in(function.__code__, "STORE_DEREF") | changed_in(function.__code__)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                content = cell.cell_contents
            except ValueError:  # not filled yet
                continue
            self.named("cell", name, content, names, written)

    def named(self, what: str, name: str, value: Any, names: frozenset[str], written: frozenset[str]) -> None:
        """A value under its name; of what the code writes into only the networks in it, which may have been opened late."""
        if name in written:
            held = value.values() if isinstance(value, dict) else value if isinstance(value, list | set) else [value]
            value = [one for one in held if isinstance(one, nn.Module)]
        self.note(f"{what} {name}")
        self.value(value, names)

    def code(self, code: types.CodeType, scope: dict[str, Any], names: frozenset[str]) -> frozenset[str]:
        """The code and the globals that it names; returns all names that it mentions."""
        parts = list(nested(code))
        names |= {name for part in parts for name in (*part.co_names, *part.co_freevars)}
        written = written_in(code, "STORE_GLOBAL") | changed_in(code)
        for part in parts:
            self.note(f"code {part.co_name} {part.co_code.hex()} {part.co_names} {part.co_varnames} {part.co_freevars}")
            self.values("constants", (one for one in part.co_consts if not isinstance(one, types.CodeType)), names)
            for step in dis.get_instructions(part):
                if step.opname == "IMPORT_NAME" and not library(str(step.argval)):
                    self.imported(str(step.argval), names)
        loaded = chains(code)
        for name in sorted(names):
            ways = loaded.get(name, {()})
            if name in scope and isinstance(scope[name], types.ModuleType) and () not in ways:
                self.package(scope[name], ways, names)
            elif name in scope:
                self.named("global", name, scope[name], names, written)
            elif name == "open":
                self.hide("what it opens")
        return names

    def imported(self, name: str, names: frozenset[str]) -> None:
        module = sys.modules.get(name)
        if module is None:
            self.hide(f"what it imports as {name or '.'}")
        else:
            self.value(module, names)

    def package(self, module: types.ModuleType, ways: set[tuple[str, ...]], names: frozenset[str]) -> None:
        """What the code takes of a module, one attribute after the other; of a library only what reads files or asks outside."""
        self.note(f"package {module.__name__}")
        if root(module.__name__) in OUTSIDE:
            self.hide(module.__name__)
            return
        for first in sorted({way[0] for way in ways if way} & {*vars(module)}):
            value = vars(module)[first]
            if isinstance(value, types.ModuleType):
                self.package(value, {way[1:] for way in ways if way[:1] == (first,)}, names)
            elif not library(module.__name__):
                self.note(f"in it {first}")
                self.value(value, names)
            elif getattr(value, "__qualname__", "") and f"{value.__module__}.{value.__qualname__}" in READERS:
                self.hide(f"{module.__name__}.{first}")

    def module(self, module: nn.Module, names: frozenset[str], weights: bool) -> None:
        """What is not in the print: hooks, and of a person's own classes the code, plain attributes and buffers that are not saved."""
        if weights:
            self.note(f"module {digest_of(module)}")
        for name, part in module.named_modules():
            hooks = [*part._forward_pre_hooks.values(), *part._forward_hooks.values()]
            own = not library(type(part).__module__)
            if own:
                self.note(f"part {name}")
                inside = vars(part) | {key: part._buffers.get(key) for key in part._non_persistent_buffers_set}
                self.attributes(part, {key: inside[key] for key in inside if key not in _OWN}, names | {"forward"})
            for hook in hooks:
                if own or not library(getattr(hook, "__module__", None) or type(hook).__module__):
                    self.value(hook, names)

    def instance(self, value: Any, names: frozenset[str]) -> None:
        kind = type(value)
        if root(kind.__module__) in OUTSIDE:
            self.hide(full_name(kind))
            return
        self.note(f"a {full_name(kind)}")
        if kind.__name__ in _LOCKS:
            return
        inside = getattr(value, "__dict__", None)
        if isinstance(inside, dict):
            self.attributes(value, inside, names | {"__call__"})
            return
        try:
            parts = list(value.__reduce_ex__(4))
        except Exception:  # whatever an object raises that cannot be taken apart
            self.hide(f"a {full_name(kind)}")
            return
        self.values("parts", parts, names)

    def attributes(self, value: Any, inside: dict[str, Any], names: frozenset[str]) -> None:
        """Of a thing of a person's own class the attributes that its code mentions, where that can be told; otherwise all."""
        mentioned, written = frozenset(inside), frozenset[str]()
        if not library(type(value).__module__):
            reached, written = self.methods(type(value), names)
            mentioned = mentioned if reached & _DYNAMIC else mentioned & (reached | names)
        for key in sorted(mentioned):
            self.named("attribute", key, inside[key], names, written)

    def methods(self, kind: type, names: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
        """The code of a person's own class that those names reach; returns what it mentions, and the attributes that it writes."""
        homes = [one for one in kind.__mro__ if not library(one.__module__)]
        waiting, done, written = sorted(names), set[str](), set[str]()
        self.note(f"class {full_name(kind)}")
        while waiting:
            name = waiting.pop()
            if name in done:
                continue
            done.add(name)
            for home in homes:
                member = vars(home).get(name)
                code = code_of(member)
                if code is not None:
                    waiting += sorted({one for part in nested(code) for one in part.co_names} - done)
                    if name not in ("__init__", "__new__"):
                        written |= written_in(code, "STORE_ATTR") | changed_in(code)
                if member is not None:
                    self.note(f"member {name}")
                    self.value(member, names)
        return frozenset(done), frozenset(written)
