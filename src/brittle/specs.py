"""The small language of the command line: `mnist?split=train`, `py:module:function`, `pgd:steps=40,loss=dlr`."""

from __future__ import annotations

from dataclasses import dataclass, field

from .errors import InputError


@dataclass(frozen=True)
class Source:
    """A victim or data string `SCHEME[:REST][?key=value&key=value]`, as in `images:photos?size=224`."""

    scheme: str
    rest: str = ""
    options: dict[str, str] = field(default_factory=dict)


def parse_source(text: str) -> Source:
    """`py:nets:build?width=4` -> Source("py", "nets:build", {"width": "4"})."""
    if not _is_text(text):  # it is kept in files, as UTF-8
        raise InputError(f"{text!r} holds bytes that are no UTF-8 text; rename what it names")
    head, _, query = text.strip().partition("?")
    scheme, _, rest = head.partition(":")
    if not scheme:
        raise InputError(f"{text!r} names nothing; write for example 'mnist', 'images:FOLDER' or 'py:module:function'")
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise InputError(f"{part!r} in {text!r} is not key=value")
        options[key] = value
    return Source(scheme, rest, options)


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


@dataclass(frozen=True)
class Call:
    """An attack or threat string `NAME[:VALUE,...,key=value,...]`, as in `pgd:steps=40,loss=dlr` or `linf:8/255`."""

    name: str
    positional: tuple[str, ...] = ()
    named: dict[str, str] = field(default_factory=dict)


def parse_call(text: str) -> Call:
    """`linf:8/255` -> Call("linf", ("8/255",)); `pgd:steps=40` -> Call("pgd", (), {"steps": "40"})."""
    name, _, rest = text.strip().partition(":")
    positional: list[str] = []
    named: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in rest.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            if named:
                raise InputError(f"{part!r} in {text!r} stands after a key=value; put plain values first")
            positional.append(part)
        elif key.strip() in named:
            raise InputError(f"{key.strip()!r} is given twice in {text!r}")
        else:
            named[key.strip()] = value.strip()
    return Call(name, tuple(positional), named)


def parse_whole(text: str) -> int | None:
    """`40` -> 40; None for what is no whole number of 0 or more that fits into 64 bits."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def parse_number(text: str) -> float:
    """A float or a fraction: `0.1`, `8/255`, `1e-3`."""
    top, slash, bottom = text.partition("/")
    try:
        return float(top) / float(bottom) if slash else float(top)
    except (ValueError, ZeroDivisionError):
        raise InputError(f"{text!r} is not a number; write for example 0.1 or 8/255") from None
