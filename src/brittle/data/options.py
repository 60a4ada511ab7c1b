"""The values of `?key=value` options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..core.bounds import Bounds, as_bounds, read_table
from ..errors import InputError, unknown
from ..files import regular_file, status, user_path
from ..specs import Source, parse_number, parse_whole

LARGEST = 50_000_000  # pixels that a picture may be scaled to


def check_options(source: Source, known: Iterable[str]) -> None:
    """Raises InputError, with the nearest names, for an option the scheme does not take."""
    names = tuple(known)
    for key in source.options:
        if not names:
            raise InputError(f"{source.scheme} takes no options; leave {key}={source.options[key]} away")
        if key not in names:
            raise unknown(f"option of {source.scheme}", key, names)


def parse_bounds(text: str) -> Bounds:
    """`0..255` -> (0.0, 255.0); `low.npy..high.npy`: files with a number for each feature."""
    low, dots, high = text.partition(".npy..") if ".npy.." in text else text.partition("..")
    if not dots:
        raise InputError(f"bounds={text} is no range; write lower..upper, for example bounds=0..1 or low.npy..high.npy")
    low += dots.removesuffix("..")
    lower, upper = (read_table(end, "bounds") if end.endswith(".npy") else parse_number(end) for end in (low, high))
    return as_bounds((lower, upper))


def parse_choice(options: Mapping[str, str], key: str, accepted: tuple[str, ...], default: str) -> str:
    """The option's value, one of `accepted`."""
    value = options.get(key, default)
    if value not in accepted:
        raise InputError(f"{key}={value} is not accepted; write {' or '.join(f'{key}={a}' for a in accepted)}")
    return value


def parse_size(text: str) -> tuple[int, int]:
    """Height and width in pixels: `224` -> (224, 224), `180x240` -> (180, 240)."""
    height, _, width = text.partition("x")
    high, wide = parse_whole(height), parse_whole(width or height)
    if not high or not wide:
        raise InputError(f"size={text} is no size; write pixels as size=224, or height x width as size=180x240")
    if high * wide > LARGEST:
        raise InputError(f"size={text} makes pictures of {high * wide:,} pixels; give at most {LARGEST:,}")
    return high, wide


def parse_count(options: Mapping[str, str], key: str, default: int, least: int = 1) -> int:
    """The option's value, a whole number of `least` or more."""
    if key not in options:
        return default
    number = parse_whole(options[key])
    if number is None or number < least:
        raise InputError(f"{key}={options[key]} is not accepted; give a whole number of {least} or more")
    return number


def required_path(source: Source, what: str) -> Path:
    """The path after the scheme. Raises InputError when there is none or nothing is there."""
    if not source.rest:
        raise InputError(f"{source.scheme} needs {what}; write {source.scheme}:PATH")
    path = user_path(source.rest)
    if status(path) is None:
        raise InputError(f"{source.rest} does not exist; give {what}")
    return path


def required_file(source: Source, what: str) -> Path:
    """The same where it must be a file."""
    return regular_file(required_path(source, what), what)
