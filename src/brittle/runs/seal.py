"""A file's seal: the digest of all its bytes, kept among them, so that no damage passes for content.

A format's own checks leave holes: Parquet's page checksums cover no footer, no header and no dictionary, safetensors and JSON have none.
The seal stands where the format takes a text of ours, and covers every byte, its own taken as zeros.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

_NAME, _DIGITS = b"brittle-seal:", 64
_SEAL = re.compile(_NAME + rb"([0-9a-f]{%d})" % _DIGITS)
BLANK = (_NAME + b"0" * _DIGITS).decode()  # the text to put into a file that is to be sealed
FIELD = "seal"  # where a JSON object has it


def sealed(data: bytes) -> bytes:
    """The file with its seal in the place of BLANK, which must be in it, uncompressed and as the last text of this kind."""
    start = data.rindex(BLANK.encode()) + len(_NAME)
    found = data[:start] + _digest(data) + data[start + _DIGITS :]
    check(found)
    return found


def check(data: bytes) -> None:
    """ValueError where the file is not as it was when it was sealed."""
    seals = [*_SEAL.finditer(data)]
    if not seals:
        raise ValueError("it has no seal: it is damaged, or was written by something else or an earlier version")
    start, end = seals[-1].span(1)
    if _digest(data[:start] + b"0" * _DIGITS + data[end:]) != seals[-1][1]:
        raise ValueError("it is damaged: its seal is broken")


def to_json(record: Mapping[str, Any], indent: int | None = None) -> bytes:
    """The record as a sealed JSON object, with a line break at its end."""
    return sealed(json.dumps({**record, FIELD: BLANK}, indent=indent, ensure_ascii=False).encode() + b"\n")


def from_json(data: bytes) -> dict[str, Any]:
    """The inverse, without the seal. Raises whatever it will where that is broken or the text is no JSON object."""
    check(data)
    record = json.loads(data)
    if not isinstance(record, dict):
        raise ValueError(f"it is a {type(record).__name__}, not an object with fields")
    return {name: value for name, value in record.items() if name != FIELD}


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()
