"""The values of `?key=value` options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import InputError, unknown
from ..specs import Source, parse_number
from .samples import as_bounds


def check_options(source: Source, known: Iterable[str]) -> None:
    """Raises InputError, with the nearest names, for an option the scheme does not take."""
    names = tuple(known)
    for key in source.options:
        if not names:
            raise InputError(f"{source.scheme} takes no options; leave {key}={source.options[key]} away")
        if key not in names:
            raise unknown(f"option of {source.scheme}", key, names)


def parse_bounds(text: str) -> tuple[float, float]:
    """`0..255` -> (0.0, 255.0)."""
    low, dots, high = text.partition("..")
    if not dots:
        raise InputError(f"bounds={text} is no range; write lower..upper, for example bounds=0..1")
    return as_bounds((parse_number(low), parse_number(high)))


def parse_choice(options: Mapping[str, str], key: str, accepted: tuple[str, ...], default: str) -> str:
    """The option's value, one of `accepted`."""
    value = options.get(key, default)
    if value not in accepted:
        raise InputError(f"{key}={value} is not accepted; write {' or '.join(f'{key}={a}' for a in accepted)}")
    return value


def parse_size(text: str) -> tuple[int, int]:
    """Height and width in pixels: `224` -> (224, 224), `180x240` -> (180, 240)."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and (width or height).isdecimal() and int(height) > 0 and int(width or height) > 0):
        raise InputError(f"size={text} is no size; write pixels as size=224, or height x width as size=180x240")
    return int(height), int(width or height)


def required_path(source: Source, what: str) -> Path:
    """The path after the scheme. Raises InputError when there is none or nothing is there."""
    if not source.rest:
        raise InputError(f"{source.scheme} needs {what}; write {source.scheme}:PATH")
    path = Path(source.rest).expanduser()
    if not path.exists():
        raise InputError(f"{source.rest} does not exist; give {what}")
    return path
