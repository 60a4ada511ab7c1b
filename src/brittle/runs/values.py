"""Frozen dataclasses to plain JSON data and back: how attacks and threats are written into a plan."""

from __future__ import annotations

import base64
import hashlib
import importlib
import inspect
import types
import typing
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from ..errors import InputError, unknown
from ..outside import reading

_LEAVES = (bool, int, float, str, bytes, type(None))


def encode(value: Any, where: str = "value") -> Any:
    """Plain JSON data from which `decode` makes an equal value.

    A dataclass becomes {"type": "module:QualName", field: ...}, a tuple a list, bytes {"type": "bytes", "base64": ...}.
    The type of a class from outside this package ends in `@` and a digest of its source file, so that edited code is
    never taken for what it was. Raises InputError for anything else: lists, arrays, functions, classes made inside
    functions, nan (which equals nothing, not even what was written).
    """
    if is_dataclass(value) and not isinstance(value, type):
        cls = type(value)
        if "<locals>" in cls.__qualname__:
            raise InputError(
                f"{where} is a {cls.__qualname__}, which cannot be imported; move the class to the top of its module"
            )
        hints = _hints(cls)
        data = {"type": _type_name(cls)}
        for field in _settable(cls):
            inner = f"{where}.{field.name}"
            if field.name == "type":
                raise InputError(f"{inner} cannot be written down, 'type' names the class; rename the field")
            data[field.name] = encode(_fitted(getattr(value, field.name), hints.get(field.name, Any), inner), inner)
        return data
    if isinstance(value, tuple):
        return [encode(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, bytes):
        return {"type": "bytes", "base64": base64.b64encode(value).decode()}
    if isinstance(value, _LEAVES) and value == value:
        return value
    got = "nan" if isinstance(value, float) else f"a {type(value).__name__}"
    raise InputError(
        f"{where} is {got}; a plan holds numbers, strings, bools, None, tuples, bytes and frozen dataclasses of these"
    )


def decode(data: Any, where: str = "value") -> Any:
    """The value that `encode` wrote. Imports the modules that `data` names: read only plans whose modules you trust.

    Raises InputError naming the field by its full path, as in `plan.attacks[0].value.steps`.
    """
    with reading(f"{where} cannot be read", "write it as a plan of a finished run has it"):
        return _decoded(data, where)


def _decoded(data: Any, where: str) -> Any:
    if isinstance(data, list | tuple):
        return tuple(_decoded(item, f"{where}[{i}]") for i, item in enumerate(data))
    if not isinstance(data, dict):
        return data
    name = data.get("type")
    if name == "bytes" and isinstance(data.get("base64"), str):
        return base64.b64decode(data["base64"], validate=True)
    if not isinstance(name, str):
        raise InputError(f'{where} has no type; write {{"type": "module:Class", ...}}')
    cls = _import(name, where)
    settable = {field.name: field for field in _settable(cls)}
    for key in data:
        if key != "type" and key not in settable:
            raise InputError(f"{where}.{key}: {unknown('field', key, settable)}")
    lacking = [
        n for n, f in settable.items() if n not in data and f.default is MISSING and f.default_factory is MISSING
    ]
    if lacking:
        raise InputError(f"{where} lacks {', '.join(lacking)}, which {name} needs")
    hints = _hints(cls)
    given = {
        n: _fitted(_decoded(data[n], f"{where}.{n}"), hints.get(n, Any), f"{where}.{n}") for n in settable if n in data
    }
    try:
        return cls(**given)
    except ValueError as error:  # what the class itself refuses, in its own words
        raise InputError(f"{where}: {error}") from error


def _settable(cls: type) -> list[Field[Any]]:
    return [field for field in fields(cls) if field.init]


def _import(name: str, where: str) -> type:
    path, _, digest = name.partition("@")
    module, _, qualname = path.partition(":")
    with reading(f"{where}: the type {path!r} cannot be imported", "write module:Class"):
        cls = attrgetter(qualname)(importlib.import_module(module))
    if not (isinstance(cls, type) and is_dataclass(cls) and cls.__dataclass_params__.frozen):  # type: ignore[attr-defined]
        raise InputError(f"{where}: {path!r} is not a frozen dataclass; write module:Class of one")
    if digest and digest != _source(cls):
        raise InputError(
            f"{where}: the code of {path} has changed since this plan was made; run it anew with another --out"
        )
    return cls


def _type_name(cls: type) -> str:
    name = f"{cls.__module__}:{cls.__qualname__}"
    source = _source(cls)
    return f"{name}@{source}" if source else name


@cache
def _source(cls: type) -> str:
    """Digest of the file of a foreign class; "" within this package, whose code `identity.source_digest` covers."""
    if cls.__module__.partition(".")[0] == __name__.partition(".")[0]:
        return ""
    try:
        return hashlib.sha256(Path(inspect.getfile(cls)).read_bytes()).hexdigest()[:12]
    except (OSError, TypeError):  # typed into an interpreter: no file to read
        return ""


@cache
def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except NameError:  # names imported for type checkers only: such a class is taken at its word
        return {}


def _fitted(value: Any, hint: Any, where: str) -> Any:
    """`value` as its annotation wants it (an int becomes a float where a float is asked for), or InputError."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if Any in options:
        return value
    if isinstance(value, tuple):
        items = next((typing.get_args(option) for option in options if typing.get_origin(option) is tuple), None)
        if items is None:
            if tuple in options:
                return value
            raise _mismatch(value, hint, where)
        if len(items) == 2 and items[1] is Ellipsis:
            items = (items[0],) * len(value)
        elif len(items) != len(value):
            raise InputError(f"{where} has {len(value)} items; give {len(items)}")
        return tuple(
            _fitted(item, kind, f"{where}[{i}]") for i, (item, kind) in enumerate(zip(value, items, strict=True))
        )
    if isinstance(value, _LEAVES):
        plain = tuple(option for option in options if option in _LEAVES or typing.get_origin(option) is typing.Literal)
        try:
            return msgspec.convert(value, typing.Union[plain] if plain else None)  # noqa: UP007
        except msgspec.ValidationError:
            raise _mismatch(value, hint, where) from None
    wanted = [option for option in options if isinstance(option, type) and not getattr(option, "_is_protocol", False)]
    if len(wanted) == len(options) and not isinstance(value, tuple(wanted)):
        raise _mismatch(value, hint, where)
    return value


def _mismatch(value: Any, hint: Any, where: str) -> InputError:
    wanted = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
    shown = value if isinstance(value, _LEAVES) else type(value).__name__
    return InputError(f"{where}={shown!r} is a {type(value).__name__}; give {wanted}")
