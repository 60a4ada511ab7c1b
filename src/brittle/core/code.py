"""Whose code something is, and what a function's code names."""

from __future__ import annotations

import dis
import functools
import itertools
import sys
import types
from collections.abc import Iterator
from typing import Any

# fmt: off
LIBRARIES = frozenset((  # code that is known by its name: what it does follows from what it is given
    "torch", "torchvision", "torchaudio", "timm", "transformers", "numpy", "scipy", "sklearn", "skimage", "PIL", "cv2", "einops", "kornia",
    "functorch", "brittle", "jaxtyping", "beartype", "pytest", "_pytest",
))
OUTSIDE = frozenset((  # code whose answers come from elsewhere: another process, machine or language
    "urllib", "http", "socket", "ssl", "requests", "urllib3", "httpx", "aiohttp", "grpc", "xmlrpc", "websockets", "subprocess",
    "multiprocessing", "ctypes", "cffi", "onnxruntime", "tensorflow", "jax", "jaxlib",
))
# fmt: on

_AROUND = ("LOAD_GLOBAL", "LOAD_DEREF")
_MUTATORS = ("append", "appendleft", "extend", "add", "update", "setdefault", "pop", "popleft", "clear", "__setitem__")


def code_of(member: Any) -> types.CodeType | None:
    """Of a class's member what runs when it is used."""
    match member:
        case staticmethod() | classmethod():
            return code_of(member.__func__)
        case property():
            return code_of(member.fget)
        case functools.cached_property():
            return code_of(member.func)
        case types.FunctionType():
            return member.__code__
    return None


def nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code, and that of the functions and classes in it."""
    yield code
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield from nested(one)


def written_in(code: types.CodeType, *how: str) -> frozenset[str]:
    """Names that the code assigns so: attributes, globals, or variables that it is closed over."""
    return frozenset(
        str(step.argval)
        for part in nested(code)
        for step in dis.get_instructions(part)
        if step.opname in how and step.argval not in part.co_cellvars
    )


def changed_in(code: types.CodeType) -> frozenset[str]:
    """Names of what the code appends to or the like; and where it assigns to items, of all that it takes from around it."""
    found = set()
    for part in nested(code):
        steps = [(step.opname, str(step.argval)) for step in dis.get_instructions(part)]
        found |= {
            name
            for (operation, name), (_, method) in itertools.pairwise(steps)
            if operation in (*_AROUND, "LOAD_ATTR") and method in _MUTATORS
        }
        if any(operation == "STORE_SUBSCR" for operation, _ in steps):
            found |= {name for operation, name in steps if operation in _AROUND}
    return frozenset(found)


def chains(code: types.CodeType) -> dict[str, set[tuple[str, ...]]]:
    """Each global that the code loads, with the attributes that it takes of it one after the other: `a.b.c` is a: {(b, c)}."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for part in nested(code):
        steps = [(step.opname, str(step.argval)) for step in dis.get_instructions(part)]
        for i, (operation, name) in enumerate(steps):
            if operation in ("LOAD_GLOBAL", "LOAD_NAME"):
                after = itertools.takewhile(lambda step: step[0] in ("LOAD_ATTR", "LOAD_METHOD"), steps[i + 1 :])
                found.setdefault(name, set()).add(tuple(attribute for _, attribute in after))
    return found


def root(name: str | None) -> str:
    """The package of a module."""
    return (name or "").partition(".")[0]


def library(name: str | None) -> bool:
    """Whether a module of that name is no person's own code, and asks nobody outside."""
    top = root(name)
    return top not in OUTSIDE and (top in LIBRARIES or top in sys.stdlib_module_names)


def full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
