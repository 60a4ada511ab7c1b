"""The versions that are tested together are none with a hole that is known, and hold what the package asks for."""

from __future__ import annotations

import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = chain.from_iterable(PROJECT["optional-dependencies"].values())
ASKED = [Requirement(text) for text in (*PROJECT["dependencies"], *EXTRAS)]
# The first version in which nothing is known to break the promise of --trust, or to give away what is read.
HOLES = {
    "torch": "2.10",
    "keras": "3.14",
    "skops": "0.13",
    "pillow": "12.2",
    "jinja2": "3.1.6",
    "requests": "2.32.4",
    "filelock": "3.20.3",
    "onnx": "1.21",
}


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.lower().split("==") for line in lines if "==" in line and not line.startswith("#"))


@pytest.mark.parametrize(("name", "first"), HOLES.items())
def test_a_version_with_a_known_hole_is_not_accepted(name: str, first: str) -> None:
    (asked,) = [one for one in ASKED if one.name == name]
    assert Version(first) in asked.specifier
    assert Version(f"{first}rc1") not in asked.specifier


def test_what_is_tested_together_is_what_is_asked_for() -> None:
    held = constraints()
    for asked in ASKED:
        version = held.get(asked.name.lower())
        assert version is None or Version(version) in asked.specifier, f"{asked} and {version}"
